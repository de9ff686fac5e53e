"""Runs that go on where another ended: what is taken over, what runs again, what is kept and what is not."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from crystallize_core import DefinitionError, Pipeline, RunError, WiringError, step
from crystallize_core.cache import Checkpoints
from crystallize_core.engine.run import new_run_id


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache, a home and a count of its own for each test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)
    world.calls.clear()
    world.fails.clear()
    return tmp_path / "cache"


class World:
    """Counts calls of steps and says which fail; to a step it is the same whatever it has counted."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.fails: dict[str, BaseException] = {}

    def __call__(self, name: str) -> None:
        self.calls[name] += 1
        if name in self.fails:
            raise self.fails[name]

    def __getstate__(self):
        return None


world = World()


@step(outputs=["rows"])
def load(n=3):
    world("load")
    return list(range(n))


@step(outputs=["total"], cache=False)
def add(rows, ctx):
    world("add")
    ctx.record("rows", len(rows))
    ctx.emit("added")
    ctx.add("seen", len(rows))
    return sum(rows)


@step(outputs=["nothing"])
def nothing():
    world("nothing")


@step(outputs=["scaled"])
def scale(total, factor=2):
    world("scale")
    return total * factor


@step(outputs=["text"])
def tell(scaled, ctx):
    world("tell")
    return f"{scaled} of {ctx['seen']}"


ALL = (load, add, nothing, scale, tell)


def pipeline(*steps: Any, **options: Any) -> Pipeline:
    """A pipeline whose cache is switched off, so that nothing but an earlier run can answer."""
    return Pipeline(list(steps or ALL), **{"name": "study", "enable_cache": False, **options})


def states(result: Any) -> dict[str, str]:
    return {name: "resumed" if found.resumed else found.state for name, found in result.step_results.items()}


def every(state: str, **others: str) -> dict[str, str]:
    return {**{found.name: state for found in ALL}, **others}


def runs(folder: Path, name: str = "study") -> list[str]:
    return Checkpoints(folder, name).runs()


# Taking over --------------------------------------------------------------------------------------


def test_everything_that_an_earlier_run_finished_is_taken_over():
    """Also with the cache switched off, also of steps that are never cached, also where they returned None."""
    cold = pipeline().run()
    resumed = pipeline().run(resume=True)
    assert states(cold) == every("ok")
    assert states(resumed) == every("resumed")
    assert all(found.cached and found.success for found in resumed.step_results.values())
    assert dict(resumed.outputs) == {"rows": [0, 1, 2], "total": 3, "nothing": None, "scaled": 6, "text": "6 of 3"}
    assert resumed.metrics == {"rows": [3]}
    assert resumed.run_id != cold.run_id
    assert world.calls == {found.name: 1 for found in ALL}


def test_an_async_run_and_one_whose_steps_are_async_are_resumed_alike():
    @step(outputs=["fetched"])
    async def fetch(text):
        world("fetch")
        return text.upper()

    cold = asyncio.run(pipeline(*ALL, fetch).arun())
    resumed = [asyncio.run(pipeline(*ALL, fetch).arun(resume=True)), pipeline(*ALL, fetch).run(resume=True)]
    assert [states(result) for result in resumed] == [{**every("resumed"), "fetch": "resumed"}] * 2
    assert {result.record.digest for result in resumed} == {cold.record.digest}
    assert world.calls["fetch"] == 1


def test_without_resume_everything_runs_again():
    results = [pipeline().run() for _ in range(2)]
    assert list(map(states, results)) == [every("ok"), every("ok")]


def test_cold_warm_and_resumed_runs_have_the_same_digest():
    """The same metrics, artifacts and record, whoever did the work."""

    @step(outputs=["file"])
    def write(text, ctx):
        ctx.artifacts.add("text.txt", text.encode())
        return len(text)

    cold = pipeline(*ALL, write, enable_cache=True).run()
    warm = pipeline(*ALL, write, enable_cache=True).run()
    resumed = pipeline(*ALL, write, enable_cache=True).run(resume=True)
    by_resume_alone = pipeline(*ALL, write).run(resume=resumed.run_id)
    assert states(warm) == {**every("cached", add="ok"), "write": "cached"}
    assert states(resumed) == states(by_resume_alone) == {**every("resumed"), "write": "resumed"}
    assert {result.record.digest for result in (warm, resumed, by_resume_alone)} == {cold.record.digest}
    assert [a.read() for a in resumed.record.artifacts] == [b"6 of 3"]
    assert resumed.lineage == cold.lineage


def test_after_a_failure_only_what_failed_and_stands_on_it_runs_again():
    world.fails["scale"] = ValueError("no")
    failed = pipeline().run()
    assert states(failed) == every("ok", scale="failed", tell="not run")
    world.fails.clear()
    resumed = pipeline().run(resume=True)
    assert states(resumed) == every("resumed", scale="ok", tell="ok")
    assert resumed["text"] == "6 of 3"


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), SystemExit(3)])
def test_an_interrupted_run_can_be_resumed(failure, folder):
    world.fails["scale"] = failure
    with pytest.raises(type(failure)):
        pipeline().run()
    (run_id,) = runs(folder)
    record = json.loads((folder / "runs" / "study" / run_id / "run.json").read_text())
    done = {"load": "ok", "add": "ok", "nothing": "ok"}
    assert record == {"run_id": run_id, "pipeline": "study", "state": "interrupted", "resumed": None, "steps": done}
    world.fails.clear()
    assert states(pipeline().run(resume=True)) == every("resumed", scale="ok", tell="ok")


def test_a_step_that_was_skipped_is_asked_again():
    go: list[int] = []

    @step(outputs=["made"], condition=lambda: bool(go))
    def guarded():
        return 1

    skipped = pipeline(guarded).run()
    go.append(1)
    assert (states(skipped), states(pipeline(guarded).run(resume=True))) == ({"guarded": "skipped"}, {"guarded": "ok"})


def test_an_interrupted_resume_loses_nothing_of_what_the_first_run_did(folder):
    """The second run was stopped before it had come as far as the first; the third takes over from both."""
    world.fails["tell"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        pipeline().run()
    world.fails = {"load": KeyboardInterrupt()}
    first, *_ = runs(folder)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            pipeline(keep_runs=1).run(resume=True, context={"n": 3})
        assert first in runs(folder)  # as long as what it did is in no other
    world.fails.clear()
    assert states(pipeline(keep_runs=1).run(resume=True)) == every("resumed", tell="ok")
    (last,) = runs(folder)
    assert last != first
    assert states(pipeline().run(resume=True)) == every("resumed")


# Running again ------------------------------------------------------------------------------------


def test_changed_context_runs_again_what_reads_it_and_what_stands_on_that():
    pipeline().run(context={"factor": 2})
    resumed = pipeline().run(context={"factor": 5}, resume=True)
    assert states(resumed) == every("resumed", scale="ok", tell="ok")
    assert resumed["text"] == "15 of 3"


def test_changed_inputs_run_again_what_takes_them_and_no_more():
    """What stands on it and is given the same as before is taken over."""

    @step(outputs=["size"])
    def size(data):
        return len(data)

    @step(outputs=["double"])
    def double(size):
        return size * 2

    pipeline(size, double).run(inputs={"data": [1, 2]})
    results = [pipeline(size, double).run(inputs={"data": data}, resume=True) for data in ([3, 4], [5])]
    assert list(map(states, results)) == [{"size": "ok", "double": "resumed"}, {"size": "ok", "double": "ok"}]
    assert [result["double"] for result in results] == [4, 2]


def test_changed_code_runs_again_what_has_it():
    def version(text: str) -> Any:
        return step(outputs=["made"], name="made_by")(lambda rows: f"{text} {len(rows)}")

    pipeline(load, version("old")).run()
    resumed = pipeline(load, version("new")).run(resume=True)
    assert (states(resumed), resumed["made"]) == ({"load": "resumed", "made_by": "ok"}, "new 3")


def test_a_step_that_was_added_runs_and_one_that_is_gone_does_no_harm():
    pipeline(load, add).run()
    resumed = pipeline(load, nothing).run(resume=True)
    assert states(resumed) == {"load": "resumed", "nothing": "ok"}


def test_what_an_earlier_run_could_not_keep_runs_again_without_a_word():
    @step(outputs=["lock"], cache=False)
    def make_lock():
        return threading.Lock()

    @step(outputs=["kind"], cache=False)
    def kind(lock, rows):
        return type(lock).__name__

    first, second = pipeline(load, make_lock, kind).run(), pipeline(load, make_lock, kind).run(resume=True)
    assert states(second) == {"load": "resumed", "make_lock": "ok", "kind": "ok"}
    assert first["kind"] == second["kind"] == "lock"


def test_a_damaged_checkpoint_runs_again(folder):
    pipeline().run()
    for path in (folder / "runs").rglob("*.pkl"):
        path.write_bytes(path.read_bytes()[:-1])
    assert states(pipeline().run(resume=True)) == every("ok")


def test_a_damaged_record_of_a_run_does_no_harm(folder):
    first = pipeline().run()
    for text in ("", "[]", "{", '{"state": 3}'):
        (folder / "runs" / "study" / first.run_id / "run.json").write_text(text)
        assert states(pipeline().run(resume=first.run_id)) == every("resumed")


def test_what_another_user_wrote_is_not_taken_over(folder, tmp_path, monkeypatch):
    """Reading it would run whatever is named in it."""
    pipeline().run()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another home"))
    assert states(pipeline().run(resume=True)) == every("ok")


# Which run ----------------------------------------------------------------------------------------


def test_the_newest_run_is_resumed_also_of_many_in_one_second():
    for n in range(1, 6):
        pipeline().run(context={"n": n})
    world.calls.clear()
    assert states(pipeline().run(context={"n": 5}, resume=True)) == every("resumed")
    assert not world.calls


def test_ids_of_runs_sort_by_time_and_are_unique():
    made = [new_run_id() for _ in range(500)]
    assert len(set(made)) == 500
    assert [found[:22] for found in made] == sorted(found[:22] for found in made)


def test_a_run_can_be_named():
    first = pipeline().run(context={"n": 1})
    pipeline().run(context={"n": 2})
    assert states(pipeline().run(context={"n": 1}, resume=first.run_id)) == every("resumed")


def test_where_nothing_ran_before_a_resume_runs_everything():
    assert states(pipeline().run(resume=True)) == every("ok")


def test_another_pipeline_has_other_runs():
    first = pipeline().run()
    assert states(pipeline(name="other").run(resume=True)) == every("ok")
    with pytest.raises(RunError) as caught:
        pipeline(name="third").run(resume=first.run_id)
    assert str(caught.value) == f"pipeline 'third' has no run '{first.run_id}'; its runs are: none."


@pytest.mark.parametrize("wrong", ["", "..", "../study", "/", "20240101T000000-000000-00000000"])
def test_a_run_that_is_not_there_is_an_error_before_anything_runs(wrong, folder):
    first = pipeline().run()
    world.calls.clear()
    for call in (lambda: pipeline().run(resume=wrong), lambda: pipeline().rerun(wrong)):
        with pytest.raises(RunError) as caught:
            call()
        assert str(caught.value).startswith(f"pipeline 'study' has no run {wrong!r}; ")
    assert (runs(folder), not world.calls) == ([first.run_id], True)


def test_what_cannot_be_a_run_is_refused():
    with pytest.raises(DefinitionError) as caught:
        pipeline().run(resume=3)  # type: ignore[call-overload]
    assert str(caught.value) == (
        "resume must be True for the newest run, False, or the id of a run as text; found 3 in a run of pipeline 'study'"
    )


def test_a_pipeline_that_keeps_no_checkpoints_says_so(folder):
    plain = pipeline(checkpoint=False)
    result = plain.run()
    assert not folder.exists()
    with pytest.raises(RunError) as caught:
        plain.run(resume=True)
    assert str(caught.value) == "pipeline 'study' keeps no checkpoints, so that no run of it can be resumed"
    with pytest.raises(DefinitionError) as refused:
        plain.rerun(result.run_id)
    assert str(refused.value) == (
        "pipeline 'study' keeps no checkpoints, so that no run of it can be run again; make it with checkpoint=True"
    )


def test_a_pipeline_that_cannot_run_leaves_no_run_behind(folder):
    @step
    def lost(missing):
        return missing

    with pytest.raises(WiringError):
        pipeline(load, lost).run()
    assert not (folder / "runs").exists()


# Running again from a step ------------------------------------------------------------------------


def test_a_step_and_everything_that_stands_on_it_run_again():
    first = pipeline().run(inputs={"unused": 1}, context={"n": 4})
    again = pipeline().rerun(first.run_id, from_step="scale")
    assert states(again) == every("resumed", scale="ok", tell="ok")
    assert again["text"] == "12 of 4"  # of what the first run was given
    assert states(pipeline().rerun(first.run_id, from_step="load")) == every("ok", nothing="resumed")


def test_a_step_runs_again_although_the_cache_has_it_and_its_new_output_is_the_cached_one():
    @step(outputs=["number"])
    def draw():
        world("draw")
        return world.calls["draw"]

    cached = pipeline(draw, enable_cache=True)
    first = cached.run()
    assert cached.rerun(first.run_id, "draw")["number"] == 2
    assert (cached.run()["number"], cached.run(resume=first.run_id)["number"]) == (2, 1)


def test_what_stands_on_a_step_by_its_condition_runs_again_too():
    @step(outputs=["made"], condition=lambda scaled: scaled > 0)
    def guarded(rows):
        return len(rows)

    first = pipeline(*ALL, guarded).run()
    again = pipeline(*ALL, guarded).rerun(first.run_id, from_step="scale")
    assert states(again) == {**every("resumed", scale="ok", tell="ok"), "guarded": "ok"}


def test_without_a_step_only_what_changed_runs_again():
    first = pipeline().run(context={"factor": 7})
    assert states(pipeline().rerun(first.run_id)) == every("resumed")


def test_running_again_from_a_step_that_is_not_there_is_an_error():
    first = pipeline().run()
    with pytest.raises(DefinitionError) as caught:
        pipeline().rerun(first.run_id, from_step="sacle")
    assert str(caught.value) == "pipeline 'study' has no step 'sacle'; did you mean 'scale'?"


def test_what_a_run_was_given_that_cannot_be_kept_has_to_be_given_again():
    @step(outputs=["kind"])
    def kind(lock):
        return type(lock).__name__

    plain = pipeline(kind, load)
    first = plain.run(inputs={"lock": threading.Lock()})
    with pytest.raises(RunError) as caught:
        plain.rerun(first.run_id)
    assert str(caught.value) == (
        f"what run '{first.run_id}' of pipeline 'study' was given is not kept, because it cannot be pickled or written; "
        f"give it again: run(inputs=..., context=..., resume='{first.run_id}')"
    )
    again = plain.run(inputs={"lock": threading.Lock()}, resume=first.run_id)
    assert states(again) == {"kind": "ok", "load": "resumed"}


def test_secrets_that_a_run_was_given_are_not_stored(folder):
    @step(outputs=["size"])
    def ask(api_key, url):
        return len(api_key) + len(url)

    plain = pipeline(ask)
    first = plain.run(context={"api_key": "hunter2hunter2"}, inputs={"url": "a.example"})
    assert first["size"] == 23
    stored = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.suffix, reverse=True)
    (last,) = {path.name for path in folder.rglob("last/*")}
    assert [path for path in stored if b"hunter2" in path.read_bytes()] == []
    assert [path.name for path in stored if b"a.example" in path.read_bytes()] == ["run.pkl", last]
    with pytest.raises(RunError) as caught:
        plain.rerun(first.run_id)
    assert str(caught.value) == (
        f"run '{first.run_id}' of pipeline 'study' was given 'api_key', and what may be a secret is not stored; put it into "
        f"the context of the pipeline, or run(inputs=..., context=..., resume='{first.run_id}')"
    )
    with_key = pipeline(ask, context={"api_key": "hunter2hunter2"})
    assert with_key.rerun(first.run_id, "ask")["size"] == 23


# What is kept -------------------------------------------------------------------------------------


def test_the_checkpoints_of_the_newest_runs_are_kept(folder):
    made = [pipeline(keep_runs=2).run().run_id for _ in range(5)]
    assert runs(folder) == made[-2:]
    pipeline(name="other", keep_runs=1).run()
    assert runs(folder) == made[-2:]


def test_a_run_that_may_still_go_on_is_kept(folder):
    """Another process may be at it; after a day nobody is."""
    first = pipeline().run()
    record = folder / "runs" / "study" / first.run_id / "run.json"
    record.write_text(json.dumps({"state": "running"}))
    second = pipeline(keep_runs=1).run()
    assert runs(folder) == [first.run_id, second.run_id]
    then = record.stat().st_mtime - 25 * 3600
    os.utime(record, (then, then))
    third = pipeline(keep_runs=1).run()
    assert runs(folder) == [third.run_id]


def test_an_entry_is_on_the_disk_once(folder):
    """The cache and the checkpoints of five runs share it."""
    big = step(outputs=["big"])(lambda: b"x" * 50_000)
    for _ in range(5):
        pipeline(big, enable_cache=True).run()
    files = [path.stat() for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 50_000]
    assert len(files) == 6
    assert len({(stat.st_dev, stat.st_ino) for stat in files}) == 1


def test_without_links_an_entry_is_copied(folder, monkeypatch):
    def refused(*args: Any, **kwargs: Any) -> None:
        raise OSError("no links here")

    cached = pipeline(load, enable_cache=True)
    cached.run()  # so that there is a key, which is made by a link
    monkeypatch.setattr(os, "link", refused)
    cached.invalidate_cache()
    assert states(cached.run(resume=True)) == {"load": "resumed"}
    assert states(cached.run()) == {"load": "cached"}
    assert states(cached.run(resume=True)) == {"load": "resumed"}


def test_what_was_taken_over_into_the_cache_can_be_counted_and_thrown_away():
    cached = pipeline(load, enable_cache=True)
    cached.run()
    assert cached.invalidate_cache("load") == 1
    assert states(cached.run(resume=True)) == {"load": "resumed"}
    assert {name: found["entries"] for name, found in cached.cache_stats()["steps"].items()} == {"load": 1}
    assert cached.invalidate_cache("load") == 1


@pytest.mark.parametrize("name", ["../x", "..", ".", "a/b", "a\\b", "x\0y", "", " ", "x" * 201])
def test_a_pipeline_whose_name_is_no_folder_is_refused(name):
    with pytest.raises(DefinitionError, match="pipeline name"):
        pipeline(name=name)


@pytest.mark.parametrize("name", ["a.b", "...", "über/../x", "../../x", "%2E", "x" * 400, "NUL", "a:b?*"])
def test_whatever_a_pipeline_is_called_its_runs_stay_below_the_folder(name, tmp_path):
    """Also where the name came about in another way than by the constructor."""
    odd = pipeline(load)
    odd.name = name
    odd.run()
    before = {path.name for path in tmp_path.iterdir()}
    assert states(odd.run(resume=True)) == {"load": "resumed"}
    assert (before, [path.name for path in (tmp_path / "cache").iterdir()]) == ({"cache", "home"}, ["runs"])
    assert len(list((tmp_path / "cache" / "runs").iterdir())) == 1


def test_names_that_differ_have_different_folders(folder):
    names = ["a", "a.", "a%2E", "A", "x" * 300, "x" * 301]
    assert len({Checkpoints(folder, name).folder for name in names}) == len(names)


# Kill ---------------------------------------------------------------------------------------------

STUDY = """
    import os, signal
    from pathlib import Path
    from crystallize_core import Pipeline, step

    @step(outputs=["rows"])
    def load():
        return [1, 2, 3]

    @step(outputs=["nothing"], cache=False)
    def nothing():
        return None

    @step(outputs=["total"])
    def add(rows, nothing, ctx):
        ctx.record("total", sum(rows))
        if "KILLED_AT" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        return sum(rows)

    @step(outputs=["text"])
    def tell(total):
        return f"{total}"

    if __name__ == "__main__":
        pipeline = Pipeline([load, nothing, add, tell], name="killed", enable_cache=False)
        result = pipeline.run(resume=True)
        print(result.record.digest, {n: (r.state, r.resumed) for n, r in result.step_results.items()})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nothing can be killed like this here")
def test_what_was_done_survives_the_process_being_killed(tmp_path, folder):
    script = tmp_path / "study.py"
    script.write_text(textwrap.dedent(STUDY))

    def outcome(**more: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, str(script)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, **more},
        )
        return done.returncode, done.stdout + done.stderr

    assert outcome(KILLED_AT="add") == (-signal.SIGKILL, "")
    assert (
        json.loads((folder / "runs" / "killed" / runs(folder, "killed")[0] / "run.json").read_text())["state"]
        == "running"
    )
    code, resumed = outcome()
    digest, _, found = resumed.strip().partition(" ")
    taken, ran = ("cached", True), ("ok", False)
    assert (code, found) == (0, str({"load": taken, "nothing": taken, "add": ran, "tell": ran}))
    assert outcome() == (0, f"{digest} { {'load': taken, 'nothing': taken, 'add': taken, 'tell': taken} }\n")


def test_entries_of_a_run_are_signed_pickles_of_this_user(folder):
    pipeline(load).run()
    (path,) = (path for path in (folder / "runs").rglob("*.pkl") if path.name != "run.pkl")
    content = path.read_bytes()
    assert content.startswith(b"crystallize-entry-2\n")
    with pytest.raises((pickle.UnpicklingError, ImportError, UnicodeDecodeError)):  # what it stumbles on is chance
        pickle.loads(content)

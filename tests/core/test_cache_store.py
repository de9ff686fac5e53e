"""Where cached outputs are kept: whole or not at all, loaded when they are wanted, in files or in a store of a plugin."""

from __future__ import annotations

import array
import os
import pickle
import time
import warnings
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crystallize_core import (
    BasePlugin,
    DefinitionError,
    Experiment,
    Pipeline,
    StepError,
    content_digest,
    pipeline_step,
    step,
)
from crystallize_core.cache import CacheWarning, FileStore
from crystallize_core.cache import format as entry_format
from crystallize_core.cache.file_store import USED_SECONDS
from crystallize_core.fingerprint import register_hasher
from crystallize_core.fingerprint.lasting import lasting_digest

LARGE = 2 << 20
"""An output of so many bytes is mapped and not read."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache and a home of its own for each test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)
    count.calls.clear()
    return tmp_path / "cache"


class Calls:
    """Counts calls without being part of what the steps depend on."""

    def __init__(self):
        self.calls: Counter[str] = Counter()

    def __call__(self, what):
        self.calls[what] += 1
        return self.calls[what]

    def __getstate__(self):
        return None


count = Calls()


class Block(bytearray):
    """Bytes that are pickled beside the pickle, as arrays are."""

    def __reduce_ex__(self, protocol):
        return Block, (pickle.PickleBuffer(self) if protocol >= 5 else bytes(self),)


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.pkl") if "runs" not in path.parts)


def spoil(path: Path) -> None:
    """Change one byte near the end, in the middle of a buffer."""
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)


@pipeline_step(cacheable=True)
def block(data, count=count):
    count("block")
    return Block(bytes([data]) * LARGE)


@pipeline_step(cacheable=True)
def inverted(data, count=count):
    count("inverted")
    return Block(data.translate(bytes(range(255, -1, -1))))


@pipeline_step()
def size(data):
    return len(data), {"first": data[0], "size": len(data)}


def chain(*steps: Any, **parts: Any) -> Experiment:
    return Experiment(**{"datasource": lambda ctx: 7, "pipeline": list(steps), "autoload": False, **parts})


def metrics(experiment: Experiment) -> dict[str, list[Any]]:
    rows = experiment.run().metrics.baseline.rows()
    return {row.metric: row.value for row in rows}


# The format ---------------------------------------------------------------------------------------

VALUES = [
    None,
    {"a": [1, 2.5, "text"]},
    b"x" * 300_000,
    Block(b"y" * 70_000),
    [Block(b"a" * 70_001), Block(b"b" * 65_536)],
]


@pytest.mark.parametrize("value", VALUES, ids=["none", "dict", "bytes", "buffer", "buffers"])
def test_what_is_kept_is_read_back(value, folder):
    """Small and large outputs, in the pickle or beside it."""
    assert FileStore(folder).write("ab/cd", {"output": value, "metrics": [1]}, step="s")
    found = FileStore(folder).read("ab/cd")
    assert (found["output"].load(), found["metrics"]) == (value, [1])


def test_buffers_are_aligned(folder):
    """Numbers in them can be read where they are."""
    FileStore(folder).write("ab/cd", {"output": [Block(b"a" * 70_001), Block(b"b" * 70_001)]}, step="s")
    content = (folder / "ab" / "cd.pkl").read_bytes()
    assert [content.index(letter * 70_001) % 64 for letter in (b"a", b"b")] == [0, 0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(["small", "large"]), st.sampled_from(["flip", "cut", "append", "drop", "zero"]))
def test_damage_anywhere_is_a_miss_or_does_not_matter(tmp_path, data, kind, damage):
    """Whatever happens to the bytes, what comes back is the right value or nothing; it is never an error."""
    value = {"small": [1, "two"], "large": [Block(b"a" * 70_000), "two"]}[kind]
    store, path = FileStore(tmp_path), tmp_path / "ab" / f"{kind}.pkl"
    store.write(f"ab/{kind}", {"output": value}, step="s")
    content = bytearray(path.read_bytes())
    # The parts before the buffers are small, and would hardly be hit otherwise.
    at = data.draw(st.one_of(st.integers(0, min(700, len(content) - 1)), st.integers(0, len(content) - 1)))
    match damage:
        case "flip":
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del content[at:]
        case "append":
            content += content[at:]
        case "drop":
            del content[at : at + 1]
        case "zero":
            content[at : at + 64] = bytes(len(content[at : at + 64]))
    path.write_bytes(content)
    found = store.read(f"ab/{kind}")
    if found is not None:
        try:
            assert found["output"].load() == value
        except entry_format.Damaged:
            assert kind == "large"  # only what is large is looked at late


def test_an_undamaged_entry_is_no_miss(tmp_path):
    """So that the test above would fail for a store that has nothing."""
    store = FileStore(tmp_path)
    store.write("ab/cd", {"output": 1}, step="s")
    assert store.read("ab/cd")["output"].load() == 1


def test_a_file_that_is_checked_once_is_checked_again_when_it_changes(tmp_path):
    """Reading it twice costs one check; a change is noticed nevertheless."""
    store = FileStore(tmp_path)
    store.write("ab/cd", {"output": Block(b"a" * LARGE)}, step="s")
    for _ in range(2):
        assert store.read("ab/cd")["output"].load() == b"a" * LARGE
    spoil(tmp_path / "ab" / "cd.pkl")
    with pytest.raises(entry_format.Damaged):
        store.read("ab/cd")["output"].load()


class Numbers(array.array):
    """An array whose memory is that of whatever it was read from, as numpy has it."""

    def __reduce_ex__(self, protocol):
        return memoryview, (pickle.PickleBuffer(self),)


@pytest.mark.parametrize("bytes_of_it", [100_000, LARGE], ids=["read", "mapped"])
def test_changing_an_output_in_place_changes_neither_the_file_nor_later_hits(bytes_of_it, folder):
    """What is written into mapped memory is copied first."""
    FileStore(folder).write("ab/cd", {"output": Numbers("B", bytes(bytes_of_it))}, step="s")
    before = (folder / "ab" / "cd.pkl").read_bytes()
    first = FileStore(folder).read("ab/cd")["output"].load()
    first[5] = 1
    assert (first[5], first.readonly) == (1, False)
    assert FileStore(folder).read("ab/cd")["output"].load()[5] == 0
    assert (folder / "ab" / "cd.pkl").read_bytes() == before


def test_an_entry_that_was_found_can_be_removed_and_replaced(folder):
    """Whoever found it has it still."""
    store = FileStore(folder)
    store.write("ab/cd", {"output": Block(b"a" * LARGE)}, step="s")
    first, second = store.read("ab/cd")["output"], store.read("ab/cd")["output"]
    (folder / "ab" / "cd.pkl").unlink()
    assert first.load()[:3] == b"aaa"
    store.write("ab/cd", {"output": Block(b"b" * LARGE)}, step="s")
    assert second.load()[:3] == b"aaa"


def test_use_is_noted_but_not_each_time(folder, monkeypatch):
    """What was used lately is not written down again, and the time of writing stays."""
    store, path = FileStore(folder), folder / "ab" / "cd.pkl"
    store.write("ab/cd", {"output": 1}, step="s")
    noted = []
    note = os.utime
    for ago in (USED_SECONDS * 2, USED_SECONDS / 2):
        then = time.time() - ago
        note(path, (then, then))
        written = path.stat().st_mtime_ns
        monkeypatch.setattr(os, "utime", lambda path, ns: noted.append(ns[0] / 1e9) or note(path, ns=ns))
        store.read("ab/cd")
        assert (path.stat().st_mtime_ns, time.time() - path.stat().st_atime < 60) == (written, True)
    assert len(noted) <= 1  # none, where the system notes it already


# Loaded when it is wanted -------------------------------------------------------------------------


@pytest.fixture
def loads(monkeypatch):
    """The outputs that were loaded, as many as there are items."""
    found: list[Any] = []
    load = entry_format.Packed.load

    def noted(self):
        found.append(self)
        return load(self)

    monkeypatch.setattr(entry_format.Packed, "load", noted)
    return found


def test_a_chain_loads_only_what_a_step_takes(loads):
    """Of two cached steps before one that runs, the second is loaded; of those at the end, none."""
    experiments = [chain(block, inverted, size), chain(block, inverted, inverted)]
    found = [metrics(experiment) for experiment in experiments for _ in range(2)]
    assert found == [{"first": 248, "size": LARGE}] * 2 + [{}, {}]
    assert (dict(count.calls), len(loads)) == ({"block": 1, "inverted": 2}, 1 + 1)


def test_an_output_that_is_in_the_cache_still_is_not_hashed(monkeypatch, loads):
    """Its digest is kept with it, also for the step behind it."""
    chain(block, inverted, inverted).run()
    from crystallize_core.cache import step_cache

    hashed = []
    monkeypatch.setattr(step_cache, "content_digest", lambda value: hashed.append(type(value)) or content_digest(value))
    chain(block, inverted, inverted).run()
    assert (Block in hashed, loads, count.calls["inverted"]) == (False, [], 2)


def ten():
    """Ten steps, each on the output of the one before."""

    def made(number):
        @step(inputs=[f"b{number - 1}"] if number else [], outputs=[f"b{number}"], name=f"step_{number}")
        def one(*given):
            return Block(bytes([number]) * LARGE)

        return (
            one
            if number == 0
            else step(inputs=[f"b{number - 1}"], outputs=[f"b{number}"], name=f"step_{number}")(
                lambda before: Block(bytes([before[0] + 1]) * LARGE)
            )
        )

    return [step(outputs=["b0"], name="step_0")(lambda: Block(LARGE)), *(made(number) for number in range(1, 10))]


def test_a_run_that_needs_the_last_of_ten_loads_one(loads):
    """The others are loaded when somebody asks for them."""
    last = step(name="last", cache=False)(lambda b9: b9[0])
    for _ in range(2):
        loads.clear()
        result = Pipeline.from_steps(*ten(), last).run()
        assert result.outputs["last"] == 9
    assert len(loads) == 1
    assert [result.outputs[f"b{n}"][0] for n in range(10)] == list(range(10))
    assert result.step_results["step_3"].output is result.outputs["b3"]
    assert len(loads) == 10


@step(outputs=["left", "right"])
def halves():
    """Two outputs in one entry."""
    count("halves")
    return Block(b"l" * LARGE), Block(b"r" * LARGE)


def test_several_outputs_of_a_step_are_loaded_when_one_of_them_is_taken(loads):
    """A cached step behind it is answered by the digest of the one that it takes."""
    first = step(name="first")(lambda left: left[:1])
    for _ in range(2):
        result = Pipeline.from_steps(halves, first).run()
    assert ([one.state for one in result.step_results.values()], loads) == (["cached", "cached"], [])
    assert (result.outputs["right"][:1], result.outputs["left"][:1], len(loads)) == (b"r", b"l", 1)


def test_a_result_from_the_cache_can_be_sent_elsewhere():
    """It takes along what was not loaded."""
    for _ in range(2):
        result = Pipeline.from_steps(*ten()[:2]).run()
    sent = pickle.loads(pickle.dumps(result.step_results["step_1"]))
    assert (sent.state, sent.output) == ("cached", b"\1" * LARGE)
    assert sent == result.step_results["step_1"]


def test_lineage_of_cached_outputs_needs_no_output(loads):
    """The digests in it are those that are kept with the outputs."""
    cold, warm = (Pipeline.from_steps(*ten()).run() for _ in range(2))
    assert {name: origin.digest for name, origin in warm.lineage.items()} == {
        name: content_digest(value) for name, value in cold.outputs.items()
    }
    assert loads == []


def test_hooks_get_the_value():
    """A plugin that looks at the data of a step sees data."""
    seen = []

    class Looks(BasePlugin):
        def after_step(self, experiment, step, data, ctx):
            seen.append((step.name, data[:2]))

    for _ in range(2):
        chain(block, inverted, plugins=[Looks()]).run()
    assert seen == [("block", b"\7\7"), ("inverted", b"\xf8\xf8")] * 2


# Digests that last --------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, "a", [1, {"b": (2.5, None)}, {3, 4}], Block(b"x" * 500), Path("a"), range(3)])
def test_a_digest_that_is_kept_is_that_of_the_value(value):
    assert lasting_digest(value) == content_digest(value)


class Color(Enum):
    RED = 1


class Own:
    def __crystallize_digest__(self):
        return b"own"


class Known:
    pass


@pytest.mark.parametrize("value", [len, lambda: 1, Own(), [Own()], Color.RED, {"a": Path}, (x for x in ())])
def test_a_digest_that_depends_on_code_is_not_kept(value):
    """The code may have changed when the value is read back."""
    assert lasting_digest(value) is None


def test_a_digest_that_a_registered_function_makes_is_not_kept():
    undo = register_hasher(Known, lambda value, update: update("known"))
    try:
        assert lasting_digest([Known()]) is None
    finally:
        undo()


def test_a_function_among_the_outputs_counts_by_its_code_as_it_is_now(monkeypatch):
    """The next step runs again when the function that it is given has changed, although the step before is a hit."""
    import sys
    import types

    module = types.ModuleType("chosen")
    monkeypatch.setitem(sys.modules, "chosen", module)

    @pipeline_step(cacheable=True)
    def choose(data):
        return sys.modules["chosen"].rule

    @pipeline_step(cacheable=True)
    def use(data):
        return data()

    found = []
    for source in ("def rule(): return 1", "def rule(): return 2"):
        exec(source, module.__dict__)
        found.append(chain(choose, use, lambda data: (data, {"m": data})).run().metrics.baseline["m"])
    assert found == [[1], [2]]


# Damage that is found late ------------------------------------------------------------------------


def test_damage_in_a_chain_is_mended_by_running_the_step_again(folder):
    """The step before it is read from the cache, and nothing else runs."""
    expected = metrics(chain(block, inverted, size))
    sizes = [path.stat().st_size for path in entries(folder)]
    (second,) = [p for p in entries(folder) if p.read_bytes()[-2000:-1999] == b"\xf8"]
    spoil(second)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics(chain(block, inverted, size)) == expected
    assert dict(count.calls) == {"block": 1, "inverted": 2}
    assert metrics(chain(block, inverted, size)) == expected
    assert dict(count.calls) == {"block": 1, "inverted": 2}
    assert [path.stat().st_size for path in entries(folder)] == sizes


def test_damage_of_everything_runs_everything_again(folder):
    """One step after the other, for the sake of the last."""
    expected = metrics(chain(block, inverted, size))
    for path in entries(folder):
        spoil(path)
    assert [metrics(chain(block, inverted, size)) for _ in range(2)] == [expected, expected]
    assert dict(count.calls) == {"block": 2, "inverted": 2}


def test_a_step_that_runs_again_sees_the_cell_as_it_was(folder):
    """What later steps added is not there for it, and nothing of it is there twice."""

    @pipeline_step(cacheable=True)
    def early(data, ctx):
        ctx.record("seen", sorted(key for key in ctx if key in ("early", "late")))
        ctx.add("early", 1)
        return Block(bytes([len([key for key in ctx if key == "late"])]) * LARGE)

    @pipeline_step(cacheable=True)
    def late(data, ctx):
        ctx.add("late", 2)
        return data

    def outcome():
        cell = next(chain(early, late, size).stream())["baseline"]
        return cell.metrics, cell.error

    expected = outcome()
    assert expected[0] == [("seen", [], None), ("first", 0, None), ("size", LARGE, None)]
    for path in entries(folder):
        spoil(path)
    assert [outcome(), outcome()] == [expected, expected]


def test_damage_in_a_graph_is_mended(folder):
    """Also where the value is asked for after the run."""
    Pipeline.from_steps(*ten()).run()
    for path in entries(folder):
        spoil(path)
    result = Pipeline.from_steps(*ten()).run()
    assert {found.state for found in result.step_results.values()} == {"cached"}
    assert [result.outputs[f"b{n}"][0] for n in (9, 0, 5)] == [9, 0, 5]
    assert result.outputs["b9"] == bytes([9]) * LARGE


def test_an_async_step_runs_again_too(folder):
    """On an event loop of its own, whether or not one is running."""
    import asyncio

    @pipeline_step(cacheable=True)
    async def waits(data, count=count):
        await asyncio.sleep(0)
        count("waits")
        return Block(bytes([data]) * LARGE)

    for run in (lambda e: e.run(), lambda e: asyncio.run(e.arun())):
        chain(waits, size).run()
        for path in entries(folder):
            spoil(path)
        assert run(chain(waits, size)).metrics.baseline["first"] == [7]
    assert count.calls["waits"] == 3


def test_a_step_that_fails_when_it_runs_again_says_why(folder):
    """The error is that of the step whose output was damaged."""

    @pipeline_step(cacheable=True)
    def once(data, count=count):
        if count("once") > 1:
            raise ValueError("gone")
        return Block(LARGE)

    chain(once, size).run()
    for path in entries(folder):
        spoil(path)
    (error,) = chain(once, size).run().errors.values()
    assert isinstance(error, StepError)
    assert error.message == (
        "step 'once' failed: its output in the cache is damaged, and when it ran again: ValueError: gone"
    )
    assert error.address["step"] == "once"


# Stores of plugins --------------------------------------------------------------------------------


class InMemory(BasePlugin):
    """A store that is a dictionary."""

    def __init__(self):
        self.kept: dict[str, bytes] = {}

    def cache_store(self, experiment):
        return self

    def read(self, name):
        return self.kept.get(name)

    def write(self, name, content):
        self.kept[name] = content


def test_a_plugin_can_keep_the_entries(folder):
    """No file is written; what is kept answers another experiment with the same plugin."""
    memory = InMemory()
    expected = metrics(chain(block, inverted, size, plugins=[memory]))
    assert not folder.exists()
    assert metrics(chain(block, inverted, size, plugins=[memory])) == expected
    assert dict(count.calls) == {"block": 1, "inverted": 1}
    assert {name.rpartition(".")[2].rpartition("/")[2] for name in memory.kept} == {"json", "pkl", "step"}


def test_what_a_store_gives_is_not_trusted():
    """Bytes that this user did not sign are never unpickled, and replaced."""
    memory = InMemory()
    chain(block, size, plugins=[memory]).run()
    (name,) = [name for name in memory.kept if name.endswith(".pkl")]
    good = memory.kept[name]
    for bad in (b"", b"\x80\x05K\x01.", good[:-1], good[:200], b"x" + good, good.replace(b"\7" * 99, b"\6" * 99)):
        memory.kept[name] = bad
        assert metrics(chain(block, size, plugins=[memory])) == {"first": 7, "size": LARGE}
        assert memory.kept[name] == good


class Refuses(InMemory):
    """A store whose server is away."""

    def __init__(self, *refused):
        super().__init__()
        self.refused = refused

    def read(self, name):
        if "read" in self.refused:
            raise ConnectionError("no server")
        return super().read(name)

    def write(self, name, content):
        if "write" in self.refused:
            raise ConnectionError("no server")
        super().write(name, content)


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        ("read", "nothing is found in the cache store of plugin 'Refuses', which cannot be read (no server)"),
        (
            "write",
            "nothing is cached from here on: the cache store of plugin 'Refuses' cannot be written (no server)",
        ),
    ],
)
def test_a_store_that_fails_costs_the_cache_and_one_warning(refused, text):
    """The run goes on without it."""
    with pytest.warns(CacheWarning) as caught:
        result = chain(block, inverted, size, plugins=[Refuses(refused)], replicates=2).run()
    assert [
        str(warning.message).replace("ConnectionError: ", "").replace("refuses", "Refuses") for warning in caught
    ] == [text]
    assert result.metrics.baseline["first"] == [248, 248]


def test_what_is_no_store_is_refused():
    """The message says what a store has."""

    class Wrong(BasePlugin):
        def cache_store(self, experiment):
            return "s3://bucket"

    with pytest.raises(Exception) as caught:
        chain(block, plugins=[Wrong()]).run()
    assert "it must return a store with read(name) and write(name, content) or None, found str 's3://bucket'" in str(
        caught.value
    )


def test_a_store_is_asked_for_only_where_something_is_cached():
    """Nobody connects to a server for nothing."""

    class Connects(BasePlugin):
        def cache_store(self, experiment):
            raise ConnectionError("no server")

    assert chain(lambda data: data + 1, plugins=[Connects()]).apply() == 8


# Switched off -------------------------------------------------------------------------------------


def test_the_cache_can_be_disabled_by_the_environment(folder, monkeypatch):
    """Nothing is read or written."""
    chain(block, size).run()
    before = entries(folder)
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", "cache")
    chain(block, inverted, size).run()
    assert (dict(count.calls), entries(folder)) == ({"block": 2, "inverted": 1}, before)


def test_the_cache_can_be_disabled_by_the_project(tmp_path, folder, monkeypatch):
    """Runs of pipelines can be resumed nevertheless."""
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")
    (tmp_path / "crystallize.toml").write_text('plugins = []\ndisable = ["cache"]\n')
    first, second, third = (Pipeline.from_steps(*ten()[:1]).run(resume=resume) for resume in (False, False, True))
    assert [found.step_results["step_0"].state for found in (first, second, third)] == ["ok", "ok", "cached"]
    assert third.step_results["step_0"].resumed
    assert entries(folder) == []


# Limits -------------------------------------------------------------------------------------------


def test_limits_of_a_pipeline_hold_for_its_experiments(folder):
    """After the run, what is too much is gone; the rest is not."""
    kept = [pipeline_step(cacheable=True)(lambda data, n=n: bytes(n)) for n in (1000, 9000)]
    Experiment(lambda ctx: 1, Pipeline(kept, cache_max_bytes=5000), autoload=False).run()
    assert [path.stat().st_size < 2000 for path in entries(folder)] == [True]


def test_the_environment_limits_the_size_where_the_pipeline_does_not(folder, monkeypatch):
    """Also of experiments with a plain list of steps."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_MAX_BYTES", "5kB")
    kept = [pipeline_step(cacheable=True)(lambda data, n=n: bytes(n)) for n in (1000, 9000)]
    Experiment(lambda ctx: 1, kept, autoload=False).run()
    assert [path.stat().st_size < 2000 for path in entries(folder)] == [True]
    Pipeline(kept, cache_max_bytes=50_000).run(inputs={"data": 1})
    assert len(entries(folder)) == 2


@pytest.mark.parametrize(("own", "calls"), [(None, 2), (3600, 1)])
def test_the_environment_limits_the_age_where_the_pipeline_does_not(folder, monkeypatch, own, calls):
    """What is older is not used."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_TTL", "1m")
    pipeline = Pipeline([block], cache_ttl=own, checkpoint=False)
    pipeline.run(inputs={"data": 1})
    (entry,) = entries(folder)
    os.utime(entry, (time.time() - 100, time.time() - 100))
    pipeline.run(inputs={"data": 1})
    assert count.calls["block"] == calls


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TTL", "soon", "must be a whole number with s, m, h, d or w, such as 30d; found 'soon'"),
        ("MAX_BYTES", "5 gb", "has the unknown unit 'gb' in '5 gb'; did you mean 'GB'?"),
    ],
)
def test_a_limit_that_cannot_be_read_is_refused_before_anything_runs(monkeypatch, variable, value, message):
    """By the name of the variable."""
    monkeypatch.setenv(f"CRYSTALLIZE_CACHE_{variable}", value)
    with pytest.raises(DefinitionError) as caught:
        Experiment(lambda ctx: 1, [block], autoload=False).run()
    assert (str(caught.value), count.calls["block"]) == (
        f"environment variable CRYSTALLIZE_CACHE_{variable} {message}",
        0,
    )


# What is remembered of files ----------------------------------------------------------------------


def test_a_small_entry_that_was_read_is_read_again_when_it_changes(folder):
    """Another process may replace it, or remove it."""
    store, path = FileStore(folder), folder / "ab" / "cd.pkl"
    found = []
    for value in ("first", "second, and longer"):
        store.write("ab/cd", {"output": value}, step="s")
        found += [FileStore(folder).read("ab/cd")["output"].load() for _ in range(2)]
    path.unlink()
    assert (found, store.read("ab/cd")) == (["first"] * 2 + ["second, and longer"] * 2, None)


def test_a_small_entry_that_was_read_is_not_trusted_with_another_key(folder, tmp_path, monkeypatch):
    """What one user signed is nothing to another one, also in the same process."""
    FileStore(folder).write("ab/cd", {"output": 1}, step="s")
    assert FileStore(folder).read("ab/cd")["output"].load() == 1
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other-home"))
    assert FileStore(folder).read("ab/cd") is None


def settled(path: Path) -> None:
    """Let a file be so old that it is remembered once it was read."""
    os.utime(path, (time.time() - 10, time.time() - 10))


def test_a_remembered_entry_is_forgotten_when_its_file_changes_or_goes(folder):
    """Whoever did that."""
    path, found = folder / "ab" / "cd.pkl", []
    for value in ("first", "other"):
        FileStore(folder).write("ab/cd", entry_of(value), step="s")
        settled(path)
        found += [FileStore(folder).entry("ab/cd") for _ in range(2)]
    path.unlink()
    assert ([one.output.load() for one in found], FileStore(folder).entry("ab/cd")) == (
        ["first"] * 2 + ["other"] * 2,
        None,
    )
    assert [found[0] is found[1], found[2] is found[3]] == [True, True]


def test_a_remembered_entry_is_nothing_to_another_user(folder, tmp_path, monkeypatch):
    """It has another key."""
    FileStore(folder).write("ab/cd", entry_of(1), step="s")
    settled(folder / "ab" / "cd.pkl")
    assert FileStore(folder).entry("ab/cd") is FileStore(folder).entry("ab/cd")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other-home"))
    assert FileStore(folder).entry("ab/cd") is None


def test_what_a_later_step_changes_in_place_is_as_it_was_in_the_next_hit(folder):
    """The output, a context value, the tags of a metric and the payload of an event."""

    @pipeline_step(cacheable=True)
    def writes(data, ctx):
        count("writes")
        ctx.add("notes", ["a"])
        ctx.record("m", 1, tags={"k": ["t"]})
        ctx.emit("e", of=["p"])
        return ["out"]

    @pipeline_step()
    def changes(data, ctx):
        data.append("changed")
        ctx["notes"].append("changed")
        return list(data), ctx["notes"]

    experiment = chain(writes, changes)
    experiment.run()
    for path in entries(folder):
        settled(path)
    seen = [experiment.apply() for _ in range(3)]
    assert seen == [(["out", "changed"], ["a", "changed"])] * 3
    assert count.calls["writes"] == 1


def test_names_that_another_process_added_are_seen_by_a_miss(folder):
    """They are remembered for hits alone."""
    store = FileStore(folder)
    store.write_text("ab/cd.json", '[["context:a"]]')
    settled(folder / "ab" / "cd.json")
    assert (store.names("ab/cd"), FileStore(folder).known_names("ab/cd")) == ([["context:a"]], [["context:a"]])
    store.write_text("ab/cd.json", '[["context:a"], ["context:b"]]')
    assert store.known_names("ab/cd") == [["context:a"]]
    assert store.names("ab/cd") == [["context:a"], ["context:b"]]


def entry_of(value: Any) -> dict[str, Any]:
    """All that an entry has."""
    return {"output": value, "metrics": [], "artifacts": [], "events": [], "added": {}}

"""Runs are put into place as a whole, whatever was there and whoever was killed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from crystallize_artifacts import Entry
from crystallize_artifacts.manifest import FINISHED, INTERRUPTED, RUNNING, Manifest, read_json, write_json
from crystallize_artifacts.versions import owner, place, prune, recover, unfinished, versions

MB = 1024 * 1024


def a_run(experiment, run, *, folder=None, versioned=False, status=FINISHED, size=1, **about):
    """Write a described folder as a run does."""
    where = experiment / (folder or f".run-{run}")
    path = "replicate_0/baseline/fit/model"
    (where / path).parent.mkdir(parents=True)
    (where / path).write_bytes(run.encode() * size)
    Manifest([Entry("model", "fit", "baseline", 0, size * len(run), "digest", path)]).write(where)
    write_json(where / "metadata.json", {"status": status, "run": run, "versioned": versioned, "folders": {}, **about})
    return where


def runs(experiment):
    """Which run each visible folder holds."""
    found = {path.name: read_json(path / "metadata.json").get("run") for path in experiment.iterdir() if path.is_dir()}
    return dict(sorted(found.items()))


def test_finished_run_replaces_the_earlier_one(tmp_path):
    """Of the earlier run nothing remains."""
    a_run(tmp_path, "one", folder="v0")
    (tmp_path / "v0" / "replicate_7").mkdir()
    a_run(tmp_path, "two")
    assert place(tmp_path, "two", versioned=False) == (tmp_path / "v0", [])
    assert runs(tmp_path) == {"v0": "two"}
    assert not (tmp_path / "v0" / "replicate_7").exists()


def test_versions_take_the_next_number(tmp_path):
    """Every versioned run gets a number of its own, behind the highest there is."""
    for run in ("a", "b", "c"):
        a_run(tmp_path, run, versioned=True)
        place(tmp_path, run, versioned=True)
    (tmp_path / "v3").write_bytes(b"a file that is in the way")
    a_run(tmp_path, "d", versioned=True)
    place(tmp_path, "d", versioned=True)
    assert runs(tmp_path) == {"v0": "a", "v1": "b", "v2": "c", "v4": "d"}


@pytest.mark.parametrize("foreign", ["versioned", "not ours", "link"])
def test_what_no_unversioned_run_wrote_is_not_replaced(tmp_path, foreign):
    """A version that somebody asked to keep, or a folder of somebody else, makes way for nothing."""
    experiment = tmp_path / "experiment"
    experiment.mkdir()
    if foreign == "versioned":
        a_run(experiment, "one", folder="v0", versioned=True)
    elif foreign == "not ours":
        (experiment / "v0").mkdir()
    else:
        (tmp_path / "elsewhere").mkdir()
        (experiment / "v0").symlink_to(tmp_path / "elsewhere")
    a_run(experiment, "two")
    target, said = place(experiment, "two", versioned=False)
    assert target == experiment / "v1"
    assert [text.split(",")[0] for text in said] == [f"{experiment / 'v0'} was not written by an unversioned run"]
    assert runs(experiment)["v1"] == "two"
    assert (experiment / "v0").exists()


def test_files_of_the_user_survive_a_replacement(tmp_path):
    """What a person put beside the artifacts is kept, and the result says where; links are not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    experiment = tmp_path / "experiment"
    old = a_run(experiment, "one", folder="v0")
    (old / "notes.txt").write_bytes(b"mine")
    (old / "link").symlink_to(outside)
    a_run(experiment, "two")
    _, said = place(experiment, "two", versioned=False)
    kept = experiment / "replaced-by-two"
    assert said == [f"files that no run had written were kept in {kept} when v0 was replaced"]
    assert (kept / "notes.txt").read_bytes() == b"mine"
    assert not (kept / "replicate_0" / "baseline" / "fit" / "model").exists()
    assert (outside / "precious").read_bytes() == b"precious"
    assert runs(experiment)["v0"] == "two"


# Each state of the drawing in versions.py in which a process can be killed: folder -> run that it holds.
@pytest.mark.parametrize(
    ("state", "seen", "recovered"),
    [
        ({"v0": "one"}, "one", {"v0": "one"}),
        ({".run-two": "two", "v0": "one"}, "one", {".run-two": "two", "v0": "one"}),
        ({".run-two": "two", ".old-two": "one"}, "two", {"v0": "two"}),
        ({"v0": "two", ".old-two": "one"}, "two", {"v0": "two"}),
        ({".old-two": "one"}, "one", {"v0": "one"}),
    ],
)
def test_every_state_of_a_killed_replacement_is_recovered(tmp_path, state, seen, recovered):
    """Wherever a process is killed, readers see one whole run, and the next process cleans up."""
    for folder, run in state.items():
        a_run(tmp_path, run, folder=folder)
    assert {n: read_json(path / "metadata.json")["run"] for n, path in versions(tmp_path).items()} == {0: seen}
    assert recover(tmp_path) == []
    assert runs(tmp_path) == recovered
    assert recover(tmp_path) == []
    assert runs(tmp_path) == recovered


def test_half_deleted_remains_are_deleted(tmp_path):
    """A process that was killed while it deleted what it had replaced is no reason to keep the rest."""
    a_run(tmp_path, "two", folder="v0")
    old = a_run(tmp_path, "one", folder=".old-two")
    (old / "manifest.json").unlink()
    (old / "replicate_0" / "baseline" / "fit" / "model").unlink()
    recover(tmp_path)
    assert runs(tmp_path) == {"v0": "two"}


def test_failed_replacement_puts_the_earlier_run_back(tmp_path):
    """Where a run cannot be moved, the earlier one is where it was."""
    a_run(tmp_path, "one", folder="v0")
    with pytest.raises(OSError, match=r"\.run-two"):
        place(tmp_path, "two", versioned=False)
    assert runs(tmp_path) == {"v0": "one"}


@pytest.mark.parametrize("versioned", [True, False])
def test_processes_that_finish_at_once(tmp_path, versioned):
    """Many processes that put runs into place at once share no version and lose none."""
    names = [f"run{number}" for number in range(12)]
    for name in names:
        a_run(tmp_path, name, versioned=versioned)
    code = (
        "import sys; from pathlib import Path; from crystallize_artifacts.versions import place\n"
        "sys.stdin.readline()\n"
        "for run in sys.argv[3:]: place(Path(sys.argv[1]), run, versioned=sys.argv[2] == 'True')\n"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(versioned), *names[at::4]], stdin=subprocess.PIPE
        )
        for at in range(4)
    ]
    for worker in workers:
        worker.communicate(b"go\n")
    assert [worker.returncode for worker in workers] == [0] * 4
    found = runs(tmp_path)
    if versioned:
        assert sorted(found) == sorted(f"v{number}" for number in range(12))
        assert sorted(found.values()) == sorted(names)
    else:
        assert list(found) == ["v0"]
        assert found["v0"] in {names[at::4][-1] for at in range(4)}


def test_prune_removes_large_files_of_old_versions_only(tmp_path):
    """The newest versions keep everything, and small files and records stay in all of them."""
    for run in "abcd":
        folder = a_run(tmp_path, run, versioned=True, size=2 * MB if run != "b" else MB)
        (folder / "large and not ours").write_bytes(bytes(2 * MB))
        place(tmp_path, run, versioned=True)
    said = prune(tmp_path, "d", keep=1, limit_mb=1)
    model = "replicate_0/baseline/fit/model"
    assert said == [
        f"removed 1 artifacts of more than 1 MB from {tmp_path / version}, as it is not one of the newest 1 versions "
        f"(artifact_retention=1, big_file_threshold_mb=1): {model}"
        for version in ("v0", "v2")
    ]
    assert [(tmp_path / f"v{n}" / model).exists() for n in range(4)] == [False, True, False, True]
    assert all((tmp_path / f"v{n}" / "large and not ours").exists() for n in range(4))
    pruned = read_json(tmp_path / "v0" / "metadata.json")["pruned"]
    assert [(item["by"], item["paths"]) for item in pruned] == [("d", [model])]
    manifest = Manifest.read(tmp_path / "v0")
    assert manifest is not None
    assert [entry.pruned for entry in manifest.entries] == ["d"]
    assert prune(tmp_path, "d", keep=1, limit_mb=1) == []


def test_prune_follows_no_link(tmp_path):
    """A link in the place of an artifact, or of a folder on the way, leads to no deletion."""
    precious = tmp_path / "outside" / "model"
    precious.parent.mkdir()
    precious.write_bytes(bytes(2 * MB))
    experiment = tmp_path / "experiment"
    for run in "ab":
        place_of = a_run(experiment, run, versioned=True, size=2 * MB)
        if run == "a":
            (place_of / "replicate_0/baseline/fit/model").unlink()
            (place_of / "replicate_0/baseline/fit").rmdir()
            (place_of / "replicate_0/baseline/fit").symlink_to(precious.parent)
        place(experiment, run, versioned=True)
    assert prune(experiment, "b", keep=1, limit_mb=1) == []
    assert precious.exists()


def test_unfinished_runs_are_reported(tmp_path):
    """A run whose process is gone is reported with its folder; one that still goes on is not."""
    me = owner()
    dead = {**me, "pid": _a_dead_pid()}
    reborn = {**me, "born": "0"}
    for run, process, status in [
        ("dead", dead, RUNNING),
        ("reborn", reborn, RUNNING),
        ("elsewhere", {**me, "host": "another"}, RUNNING),
        ("alive", me, RUNNING),
        ("about to be placed", me, FINISHED),
        ("stopped", me, INTERRUPTED),
        ("mine", dead, RUNNING),
    ]:
        a_run(tmp_path, run, status=status, owner=process, created="2024-05-01")
    (tmp_path / ".run-empty").mkdir()
    expected = ["dead", "elsewhere", "stopped"] + (["reborn"] if me["born"] else [])
    assert unfinished(tmp_path, "mine") == [
        f"run {run} of 2024-05-01 did not finish; what it stored is still in {tmp_path / f'.run-{run}'}; "
        f"remove that folder when you do not need it"
        for run in sorted(expected)
    ]


def _a_dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert os.getpid() != process.pid
    return process.pid

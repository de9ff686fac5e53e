"""Real processes: workers, kill -9, runs at once, and disks that are full or read-only."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crystallize_artifacts import ArtifactStore

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")

PROJECT = '''
import concurrent.futures, contextlib, multiprocessing, resource, signal, sys
from crystallize_artifacts import ArtifactPlugin
from crystallize_core import BasePlugin, Experiment, RunInterrupted, Treatment


class Processes(BasePlugin):
    """Runs the replicates in processes, as any executor of a stranger."""

    concurrency = "process"

    def run_experiment_loop(self, experiment, replicate_fn):
        method = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=method) as pool:
            return list(pool.map(replicate_fn, reversed(range(experiment.replicates))))[::-1]


def source(ctx):
    return ctx["replicate"]


def write(data, ctx, size=1000):
    ctx.artifacts.add("data.bin", bytes([data]) * size)
    return data, {"size": size}


def wait(data):
    if data == 1:
        print("waiting", flush=True)
        signal.pause()
    return data


def gate(data):
    if data == 0:
        print("started", flush=True)
        sys.stdin.readline()
    return data


def limited(data, ctx):
    resource.setrlimit(resource.RLIMIT_FSIZE, (2500, resource.RLIM_INFINITY))
    return write(data, ctx, 5000 if ctx["condition"] == "double" else 1000)


def experiment(root, steps, plugins=(), replicates=3, **options):
    return Experiment(
        source, steps, name="trial", replicates=replicates, treatments=[Treatment("double", {"size": 2000})],
        plugins=[*plugins, ArtifactPlugin(root_dir=root, **options)], autoload=False,
    )
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A module of a user, which other processes can import, and the way to start one."""
    (tmp_path / "project.py").write_text(PROJECT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))

    def start(code):
        return subprocess.Popen(
            [sys.executable, "-c", f"from project import *\nroot = {str(tmp_path / 'root')!r}\n{code}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    yield start
    sys.modules.pop("project", None)


def said_by(process):
    """What a process printed until its end, which must be a good one."""
    out, _ = process.communicate("go\n")
    assert process.returncode == 0
    return out


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.bin"))}


RUN = "result = experiment(root, [{steps}], [{plugins}]{options}).run(provenance='none'); print(result.digest, result.warnings)"


def test_workers_store_what_the_coordinator_would(project, tmp_path):
    """Files and digest are the same whether one process runs the replicates or several."""
    found = []
    for plugins in ("", "Processes()"):
        digest = said_by(project(RUN.format(steps="write", plugins=plugins, options="")))
        found.append((digest, contents(tmp_path / "root" / "trial" / "v0")))
    assert found[0] == found[1]
    assert found[0][0].endswith(" []\n")
    assert list(found[0][1]) == [
        f"replicate_{replicate}/{condition}/write/data.bin"
        for replicate in range(3)
        for condition in ("baseline", "double")
    ]
    store = ArtifactStore(tmp_path / "root")
    assert store.read("trial", "data.bin", condition="double", replicate=2) == b"\x02" * 2000


def test_killed_run_loses_nothing(project, tmp_path):
    """After kill -9 the earlier results stand, what was stored is beside them, and the next run says where."""
    said_by(project(RUN.format(steps="write", plugins="", options="")))
    before = contents(tmp_path / "root" / "trial" / "v0")
    with project(RUN.format(steps="write, wait", plugins="", options="")) as killed:
        assert killed.stdout.readline() == "waiting\n"
        killed.kill()
    assert contents(tmp_path / "root" / "trial" / "v0") == before
    (beside,) = (tmp_path / "root" / "trial").glob(".run-*")
    assert list(contents(beside)) == [
        "replicate_0/baseline/write/data.bin",
        "replicate_0/double/write/data.bin",
        "replicate_1/baseline/write/data.bin",
    ]
    assert json.loads((beside / "metadata.json").read_text())["status"] == "running"
    said = said_by(project(RUN.format(steps="write", plugins="", options="")))
    assert f"what it stored is still in {beside}; remove that folder when you do not need it" in said
    assert contents(tmp_path / "root" / "trial" / "v0") == before
    assert len(contents(beside)) == 3


@pytest.mark.parametrize("versioned", [True, False])
def test_processes_that_run_at_once(project, tmp_path, versioned):
    """Two processes run in one folder at once: neither sees the other, and no files are mixed."""
    options = f", versioned={versioned}, replicates={{}}"
    started = [
        project(RUN.format(steps="write, gate", plugins="", options=options.format(replicates)))
        for replicates in (2, 4)
    ]
    for process in started:
        assert process.stdout.readline() == "started\n"  # both have stored something now
    for process in started:
        process.stdin.write("go\n" * 2)
        process.stdin.flush()
    for process in started:
        assert said_by(process).endswith(" []\n")
    found = {path.name: len(contents(path)) for path in (tmp_path / "root" / "trial").iterdir() if path.is_dir()}
    if versioned:
        assert sorted(found) == ["v0", "v1"]
        assert sorted(found.values()) == [4, 8]
    else:
        assert found in ({"v0": 4}, {"v0": 8})


def test_file_that_may_not_grow_fails_its_cell_only(project, tmp_path):
    """A limit of the system is an error of the cell that meets it; the others are stored."""
    code = RUN.format(steps="limited", plugins="", options="") + "\nprint(result.errors['double_rep_1'].__cause__)"
    said = said_by(project(code))
    assert list(contents(tmp_path / "root" / "trial" / "v0")) == [
        f"replicate_{replicate}/baseline/limited/data.bin" for replicate in range(3)
    ]
    assert "3 artifacts are not stored" in said
    where = tmp_path / "root" / "trial"
    assert "artifact 'data.bin' (5000 bytes) could not be stored in " in said
    assert "File too large" in said
    assert not list(where.rglob("*.part"))


@contextlib.contextmanager
def small_disk(path: Path, options: str):
    """A file system of its own, where this process may make one."""
    path.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs tmpfs")
def test_full_disk(project, tmp_path):
    """On a full disk the cells that do not fit fail with their address, and no half of a file is left."""
    with small_disk(tmp_path / "root", "size=300k"):
        code = (
            "def large(data, ctx):\n"
            "    return write(data, ctx, 120_000 if ctx['condition'] == 'double' else 10)\n"
            + RUN.format(steps="large", plugins="", options="")
            + "\nfor key, error in result.errors.items(): print(key, error.__cause__)"
        )
        said = said_by(project(code))
        stored = contents(tmp_path / "root" / "trial" / "v0")
        assert {path: len(content) for path, content in stored.items()} == {
            "replicate_0/baseline/large/data.bin": 10,
            "replicate_0/double/large/data.bin": 120_000,
            "replicate_1/baseline/large/data.bin": 10,
            "replicate_1/double/large/data.bin": 120_000,
            "replicate_2/baseline/large/data.bin": 10,
        }
        assert "double_rep_2 artifact 'data.bin' (120000 bytes) could not be stored in" in said
        assert "No space left on device" in said
        assert not list((tmp_path / "root").rglob("*.part"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs tmpfs")
def test_disk_that_is_full_at_the_end(project, tmp_path):
    """Where not even the description of a run fits, what was stored stays where it is and can be read."""
    with small_disk(tmp_path / "root", "size=300k"):
        code = (
            "def fill(data, ctx):\n"
            "    if data == 2 and ctx['condition'] == 'double':\n"
            "        with contextlib.suppress(OSError), open(root + '/junk', 'wb', buffering=0) as file:\n"
            "            while True: file.write(bytes(1000))\n"
            "    return data\n" + RUN.format(steps="write, fill", plugins="", options="") + "\n"
            "print(len(result.errors), sorted({artifact.read()[0] for artifact in result.artifacts}))"
        )
        said = said_by(project(code))
        (beside,) = (tmp_path / "root" / "trial").glob(".run-*")
        assert "could not be put into place: [Errno 28] No space left on device" in said
        assert f"what was stored is in {beside}" in said
        assert said.endswith("0 [0, 1, 2]\n")
        assert len(contents(beside)) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="needs tmpfs")
def test_read_only_disk(project, tmp_path):
    """Nothing can be stored on a read-only disk; every cell says so, and the values are there all the same."""
    with small_disk(tmp_path / "root", "ro"):
        code = RUN.format(steps="write", plugins="", options="") + (
            "\nfor key, error in result.errors.items(): print(key, error.__cause__)"
            "\nprint(result.artifacts[0].read()[:3])"
        )
        said = said_by(project(code))
        assert said.count("Read-only file system") >= 6
        assert "baseline_rep_0 artifact 'data.bin' (1000 bytes) could not be stored in" in said
        assert said.endswith("b'\\x00\\x00\\x00'\n")
        assert list((tmp_path / "root").iterdir()) == []

"""The cache under everything that may happen to it: whatever it answers is what a fresh computation gives.

A machine edits a small project at random, runs it, and spoils the folder of the cache in between. It knows what
it has run since the last damage, so that it can tell as well when an answer had to come from the cache.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from crystallize_core import Pipeline, step

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are killed in forked processes")

SCRIPT = Path(__file__).with_name("cache_project.py")


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cache_project", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


project = _loaded()
GIVEN = ["1", "True", "1.0", "'1'", "b'1'", "[1, 2]", "(1, 2)", "{1: 2, 'a': None}", "{3, 1, 2}", "None", "1e-300"]
KINDS = ["graph", "other", "chain"]
small = st.integers(0, 3)
DAMAGES = ["flip", "cut", "append", "foreign", "empty", "delete", "forbid", "swap", "age"]


class CacheMachine(RuleBasedStateMachine):
    """One project, one folder of the cache."""

    server: ClassVar[Any] = None
    operations: ClassVar[Any] = itertools.count()
    hits: ClassVar[Any] = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cache-"))
        self.cache = self.folder / "cache"
        self.code = dict.fromkeys(project.CODE, 1)
        self.looks = dict.fromkeys(project.LOOKS, 0)
        self.context = {"n": 2, "mode": 0, "a": 0}
        self.more = {"given": "1", "seed": 1, "treatment": 5}
        self.unused = 0
        self.known: set[str] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def job(self, kind: str, *, keeps: bool = False) -> dict[str, Any]:
        context = {**self.context, "unused": self.unused}
        return {"code": self.code, "looks": self.looks, "context": context, **self.more, "kind": kind, "keeps": keeps}

    def key(self, kind: str) -> str:
        """All that counts; the looks of the code and a parameter that nobody reads do not."""
        return json.dumps([kind, self.code, self.context, self.more])

    def check(self, kind: str, found: dict[str, Any], job: dict[str, Any]) -> None:
        fresh = project.run(self.folder, job, cache=False)
        assert found["outcome"] == fresh["outcome"]
        if self.key(kind) in self.known:
            assert "ok" not in found["states"].values(), f"ran again, and nothing had changed: {found['states']}"
        self.known.add(self.key(kind))
        if "cached" in found["states"].values():
            next(self.hits)

    # Edits ----------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(project.CODE), value=small)
    def edit(self, what, value):
        next(self.operations)
        self.code = {**self.code, what: value}

    @rule(what=st.sampled_from(project.LOOKS), value=small)
    def tidy(self, what, value):
        """The code says the same as before."""
        next(self.operations)
        self.looks = {**self.looks, what: value}

    @rule(what=st.sampled_from(["n", "mode", "a", "b", "c"]), value=st.sampled_from([0, 1, 2, 3, True, 1.0]))
    def set_parameter(self, what, value):
        next(self.operations)
        self.context = {**self.context, what: int(value) if what == "n" else value}

    @rule(what=st.sampled_from(["b", "c"]))
    def drop_parameter(self, what):
        next(self.operations)
        self.context = {name: value for name, value in self.context.items() if name != what}

    @rule(value=small)
    def set_what_nobody_reads(self, value):
        next(self.operations)
        self.unused = value

    @rule(given=st.sampled_from(GIVEN), seed=small, treatment=small)
    def give(self, given, seed, treatment):
        next(self.operations)
        self.more = {"given": given, "seed": seed, "treatment": treatment}

    # Runs -----------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(KINDS), keeps=st.booleans(), resume=st.booleans())
    def run(self, kind, keeps, resume):
        next(self.operations)
        job = self.job(kind, keeps=keeps)
        self.check(kind, project.run(self.folder, job, cache=True, resume=resume), job)

    @rule(kind=st.sampled_from(KINDS))
    def run_twice(self, kind):
        next(self.operations)
        for _ in range(2):
            self.check(kind, project.run(self.folder, self.job(kind), cache=True), self.job(kind))

    @rule(kind=st.sampled_from(KINDS), keeps=st.booleans(), resume=st.booleans())
    def run_elsewhere(self, kind, keeps, resume):
        """Another process, with other hashes of texts, finds the same entries."""
        next(self.operations)
        job = self.job(kind, keeps=keeps)
        self.check(kind, self.asked(job, resume=resume), job)

    # Mishaps --------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(KINDS), keeps=st.booleans(), call=st.integers(0, 60))
    def kill_a_writer(self, kind, keeps, call):
        next(self.operations)
        self.asked(self.job(kind, keeps=keeps), dies_at=call)

    def asked(self, job: dict[str, Any], *, dies_at: int | None = None, resume: bool = False) -> Any:
        question = {"folder": str(self.folder), "job": job, "dies_at": dies_at, "resume": resume}
        self.server.stdin.write(json.dumps(question) + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline().strip()
        found = json.loads(answer) if answer else None
        assert "error" not in (found or {}), found
        assert found is not None or dies_at is not None
        return found

    @rule(at=st.integers(0, 10_000), where=st.floats(0, 1), how=st.sampled_from(DAMAGES))
    def damage(self, at, where, how):
        next(self.operations)
        files = sorted(path for path in self.cache.rglob("*") if path.is_file())
        if files:
            self.known.clear()
            spoil(files[at % len(files)], files[int(at * where) % len(files)], where, how)

    @rule(at=st.integers(0, 10_000), name=st.sampled_from([".writing-ab1", "x.pkl", "x.json", "x.tmp", "core"]))
    def leave_something(self, at, name):
        """What a killed process, or somebody else, leaves there is in nobody's way."""
        next(self.operations)
        folders = [self.cache, *sorted(path for path in self.cache.rglob("*") if path.is_dir())]
        folder = folders[at % len(folders)]
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x80\x05half")

    @rule(name=st.sampled_from(["load", "scale", "draw", "nobody"]))
    def invalidate(self, name):
        next(self.operations)
        self.known.clear()
        Pipeline([step(lambda: 1, name=name)], name="any", cache_dir=self.cache).invalidate_cache(name)

    @rule(most=st.integers(0, 20_000))
    def evict(self, most):
        """A run of another pipeline with a limit throws out what was not used for the longest time."""
        next(self.operations)
        self.known.clear()
        Pipeline([step(lambda: 1, name="one")], name="tidy", cache_dir=self.cache, cache_max_bytes=most).run()


def spoil(path: Path, other: Path, where: float, how: str) -> None:
    """Damage a file in one of the ways in which files are damaged."""
    if how == "delete":
        path.unlink()
        return
    if how == "forbid":
        path.chmod(0)
        return
    if how == "age":
        os.utime(path, (0, 0))
        return
    path.chmod(0o600)
    other.chmod(0o600)
    content, place = path.read_bytes(), 0
    if how == "flip" and content:
        place = min(int(where * len(content)), len(content) - 1)
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
    elif how == "cut":
        path.write_bytes(content[: int(where * len(content))])
    elif how == "append":
        path.write_bytes(content + content[-7:] + b"\n")
    elif how == "foreign":
        path.write_bytes(b"\x80\x05K\x07.")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "swap":
        swapped = other.read_bytes()
        other.write_bytes(content)
        path.write_bytes(swapped)


@pytest.fixture(autouse=True)
def _server(tmp_path, monkeypatch):
    """A home of its own, and a process that runs the project in children."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-W", "error", str(SCRIPT)]
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as CacheMachine.server:
        CacheMachine.operations, CacheMachine.hits = itertools.count(), itertools.count()
        yield
        CacheMachine.server.stdin.close()


def explore(machine: type[CacheMachine], examples: int, steps: int, **more: Any) -> tuple[int, int]:
    """Run the machine; how many operations there were, and how many runs that were answered from the cache."""
    found = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        phases=[Phase.generate],  # to make an example smaller would take longer than a test may
        suppress_health_check=list(HealthCheck),
        **more,
    )
    run_state_machine_as_test(machine, settings=found)
    return next(CacheMachine.operations), next(CacheMachine.hits)


def test_every_answer_is_that_of_a_fresh_computation():
    operations, hits = explore(CacheMachine, 6, 50)
    assert operations >= 200
    assert hits >= 10


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(4))
def test_every_answer_in_ten_thousand_operations_is_that_of_a_fresh_computation(part):
    """A quarter of them; each quarter is another one, and the same again the next time."""
    machine = seed(part)(type(f"CacheMachine{part}", (CacheMachine,), {}))
    operations, hits = explore(machine, 65, 50, derandomize=False)
    assert operations >= 2_500
    assert hits >= 250

"""The conformance kit for executors: what is correct passes, and each thing that is not fails where it should."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from crystallize_core.testing import ExecutorConformance

pytestmark = pytest.mark.heavy

HEAD = """
import strangers
from crystallize_core.testing import ExecutorConformance
"""
CLASS = """

class Test{name}(ExecutorConformance):
    workers = {workers}
    tiny = {tiny}
    huge_bytes = 2_000_000
    patience_seconds = {patience}

    def executor(self, workers):
        return strangers.{name}({arguments})
"""
needs_forkserver = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forkserver")


@pytest.fixture
def kit(run_kit):
    """Runs the kit on these subclasses of it."""
    return lambda classes, *wanted: run_kit("strangers.py", HEAD + "".join(classes), *wanted)


def subclass(name, *, workers=(1,), tiny=500, patience=10.0, arguments=""):
    return CLASS.format(name=name, workers=workers, tiny=tiny, patience=patience, arguments=arguments)


def counted(found):
    kinds = [kind for kind, _ in found.values()]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def test_a_loop_of_a_stranger_passes(kit):
    """Ten lines that know nothing of ours."""
    found = kit([subclass("Plain")])
    assert {name: text for name, (kind, text) in found.items() if kind == "failure"} == {}
    assert counted(found)["passed"] >= 55


def test_threads_of_a_stranger_pass(kit):
    """With the threads of the standard library."""
    found = kit([subclass("Threads", workers=(1, 3), arguments="workers")])
    assert {name: text for name, (kind, text) in found.items() if kind == "failure"} == {}
    assert counted(found)["passed"] >= 55


@needs_forkserver
def test_processes_of_a_stranger_pass(kit):
    """With one process for each replicate, and `crystallize_core.remote` for what goes there and back."""
    found = kit([subclass("Processes", workers=(2,), tiny=30, arguments="workers")])
    assert {name: text for name, (kind, text) in found.items() if kind == "failure"} == {}
    assert counted(found)["passed"] >= 55


def test_what_does_not_apply_is_skipped_with_the_reason(kit):
    """So that nobody thinks that it has passed."""
    test = "test_a_replicate_that_kills_its_worker_fails_alone"
    found = kit([subclass("Plain")], f"TestPlain::{test}")
    ((kind, text),) = found.values()
    assert kind == "skipped"
    assert "this executor has concurrency 'serial', and its replicates have no processes of their own" in text


PURE = "test_pure_python_has_the_digest_of_the_plain_loop"
BROKEN = {
    "LosesOne": (PURE, "lost 1 of 6 replicates: 5"),
    "NeverDelivers": (PURE, "lost 6 of 6 replicates: 0, 1, 2, 3, 4, 5"),
    "DeliversLate": ("test_outcomes_are_delivered_as_they_complete", "call replicate_fn.deliver(outcome) as each"),
    "RunsTwice": ("test_every_replicate_runs_once", "assert [0, 0, 1, 1"),
    "NumbersByArrival": ("test_metrics_are_in_the_order_of_replicates", "[18, 15, 12"),
    "NumbersByHash": ("test_the_hash_seed_makes_no_difference", "assert ["),
    "Swallows": ("test_a_failure_has_its_address", "the errors are not those of the plain loop"),
    "Tells": ("test_events_travel_with_the_outcome", "assert len("),
    "NeverStops": ("test_a_plugin_that_has_enough_stops_the_run", "200 of 200 replicates were started although"),
    "RunsAll": ("test_only_what_is_pending_runs", "assert [0, 1, 2"),
    "RunsOnAfterCtrlC": ("test_ctrl_c_ends_the_run", "interrupted True"),
    "LeaksThreads": ("test_no_thread_is_left_behind", "ThreadPoolExecutor"),
    "ClaimsSerial": ("test_a_process_of_its_own_runs_one_cell_at_a_time", "[2, "),
    "ClaimsProcess": ("test_cells_run_where_the_concurrency_says", " not in {"),
    "HoldsLock": ("test_the_executor_can_be_copied", "cannot pickle '_thread.lock' object"),
    "Remembers": ("test_two_runs_one_after_the_other", "ExecutorError"),
    "KeepsTheRun": ("test_two_runs_at_the_same_time", "plugin 'keeps_the_run'"),
    "OwnLoop": ("test_a_run_inside_a_running_event_loop", "cannot be called from a running event loop"),
    "SkipsTheCheck": ("test_a_worker_with_another_stack_gets_no_work", "DID NOT RAISE"),
}
BROKEN_PROCESSES = {
    "OnePool": ("test_a_replicate_that_kills_its_worker_fails_alone", "BrokenProcessPool"),
    "LeaksProcesses": ("test_no_process_is_left_behind", "== set()"),
}


def test_a_broken_executor_fails_where_its_fault_is(kit):
    """In the test that is named after the promise that it breaks, with what was found; all of them in one go."""
    broken = BROKEN | (BROKEN_PROCESSES if hasattr(os, "fork") else {})
    classes = [subclass(name, workers=(2,), patience=1.0) for name in broken]
    outcomes = kit(classes, *(f"Test{name}::{test}" for name, (test, _) in broken.items()))
    for name, (test, message) in broken.items():
        found = [both for case, both in outcomes.items() if re.match(rf"Test{name}::{test}(\[|$)", case)]
        kinds, texts = {kind for kind, _ in found}, "\n".join(text for _, text in found)
        assert (name, kinds) == (name, {"failure"}), texts
        assert message in texts, name


def test_a_class_that_does_not_say_how_the_executor_is_made_fails(kit):
    """Not silently collected as nothing."""
    text = "\n\nclass TestNothing(ExecutorConformance):\n    pass\n"
    found = kit([text], "TestNothing::test_every_replicate_runs_once")
    ((kind, text),) = found.values()
    assert kind == "failure"
    assert "TestNothing must say what it tests: def executor(self, workers): return ..." in text


def test_the_kit_itself_is_not_collected(tmp_path):
    """A module that imports it has no test of its own by that."""
    (tmp_path / "test_suite.py").write_text("from crystallize_core.testing import ExecutorConformance as TestAll\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 5, done.stdout


def test_every_test_of_the_kit_says_what_is_promised():
    """In its docstring; and there are many."""
    tests = [getattr(ExecutorConformance, name) for name in dir(ExecutorConformance) if name.startswith("test_")]
    assert len(tests) >= 30
    assert [test.__name__ for test in tests if not (test.__doc__ or "").strip().endswith(".")] == []


def test_workers_import_no_pytest():
    """The steps of the kit are imported by every worker, where half a second would be too much."""
    code = (
        "import sys, crystallize_core.testing.executors.steps, crystallize_core.testing.executors.plugins\n"
        "print('pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "False\n"

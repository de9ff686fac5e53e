"""What a step used is measured honestly, and its environment is there for it alone and gone afterwards."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

import pytest

from crystallize_executors import measuring
from crystallize_executors.environment import THREADS, in_force, variables
from crystallize_executors.measuring import LIFETIME, RESET, SAMPLED, Meter

MB = 1_000_000
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs the files of Linux")


def resets():
    """Whether the kernel lets this process start its peak anew."""
    meter = Meter(alone=True)
    with meter.running():
        pass
    return meter.payload["peak_memory_is"] == RESET


def fill(size):
    """Hold so many bytes for a moment."""
    return len(bytearray(b"x") * size)


def busy(seconds):
    """Use so much time of the processor."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


# Memory -----------------------------------------------------------------------------------------------


@needs_proc
def test_the_peak_is_that_of_the_step_and_not_of_what_was_before():
    if not resets():
        pytest.skip("the kernel does not let us")
    fill(200 * MB)
    low, high = Meter(alone=True), Meter(alone=True)
    with low.running():
        pass
    with high.running():
        fill(100 * MB)
    assert high.payload["peak_memory_is"] == RESET
    assert 80 * MB < high.payload["peak_memory"] - low.payload["peak_memory"] < 150 * MB


@needs_proc
def test_a_step_inside_a_step_does_not_hide_the_peak_of_the_outer_one():
    """It starts the peak anew, and tells the outer one first how far it was."""
    if not resets():
        pytest.skip("the kernel does not let us")
    outer, inner = Meter(alone=True), Meter(alone=True)
    with outer.running():
        fill(100 * MB)
        with inner.running():
            pass
    assert outer.payload["peak_memory"] - inner.payload["peak_memory"] > 80 * MB
    assert measuring._watching == []


@needs_proc
def test_where_the_peak_cannot_be_started_anew_a_thread_looks(monkeypatch, tmp_path):
    """What it sees is there for longer than a moment."""
    monkeypatch.setattr(measuring, "CLEAR", tmp_path / "not" / "there")
    low, high = Meter(alone=True), Meter(alone=True)
    with low.running():
        pass
    with high.running():
        held = bytearray(b"x") * (100 * MB)
        peak, deadline = high._memory, time.monotonic() + 60
        while peak.bytes < low.payload["peak_memory"] + 80 * MB:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        del held
    assert high.payload["peak_memory_is"] == SAMPLED
    assert not [thread for thread in threading.enumerate() if thread.name == "crystallize-memory"]


def test_elsewhere_only_the_peak_of_the_process_is_known(monkeypatch, tmp_path):
    """And that is what the payload says."""
    monkeypatch.setattr(measuring, "CLEAR", tmp_path / "not" / "there")
    monkeypatch.setattr(measuring, "STATUS", tmp_path / "not" / "there")
    meter = Meter(alone=True)
    with meter.running():
        pass
    payload = meter.payload
    if sys.platform == "win32":
        assert (payload["peak_memory"], payload["peak_memory_is"]) == (None, None)
    else:
        assert payload["peak_memory_is"] == LIFETIME
        assert payload["peak_memory"] > MB


# Time -------------------------------------------------------------------------------------------------


def test_alone_all_time_of_the_process_counts():
    """Also that of the threads that the step starts."""
    meter = Meter(alone=True)
    with meter.running():
        thread = threading.Thread(target=busy, args=(0.05,))
        thread.start()
        thread.join()
    assert meter.payload["cpu_of"] == "process"
    assert meter.payload["cpu_seconds"] >= 0.05


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the time of children")
def test_alone_the_time_of_child_processes_counts():
    import subprocess

    meter = Meter(alone=True)
    with meter.running():
        code = "import time\nwhile time.process_time() < 0.1: pass"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert meter.payload["cpu_seconds"] > 0.09  # the kernel rounds


def test_beside_others_only_the_own_thread_counts():
    meter = Meter(alone=False)
    with meter.running():
        thread = threading.Thread(target=busy, args=(0.1,))
        thread.start()
        thread.join()
    assert meter.payload["cpu_of"] == "thread"
    assert meter.payload["cpu_seconds"] < 0.1


def test_time_that_cannot_be_told_apart_is_not_told():
    """A step with a timeout may have run in another thread."""
    moved, alone = Meter(alone=False, has_time=False), Meter(alone=True, has_time=False)
    for meter in (moved, alone):
        with meter.running():
            pass
    assert (moved.payload["cpu_seconds"], moved.payload["cpu_of"]) == (None, None)
    assert alone.payload["cpu_of"] == "process"


def test_tasks_of_one_loop_are_told_apart():
    """Each turn of a coroutine counts for it, and what others do while it waits does not."""

    async def work(turns):
        for _ in range(turns):
            busy(0.02)
            await asyncio.sleep(0)
        return turns

    async def main():
        meters = [Meter(alone=False), Meter(alone=False)]
        found = await asyncio.gather(meters[0].awaited(work(1)), meters[1].awaited(work(5)))
        return found, [meter.payload["cpu_seconds"] for meter in meters]

    found, (little, much) = asyncio.run(main())
    assert found == [1, 5]
    assert 0.02 <= little < 0.06
    assert 0.1 <= much < 0.14


def test_what_a_task_raises_and_is_told_passes_through():
    """Errors out, cancellation in."""

    async def main():
        async def fails():
            raise KeyError("no")

        async def hears():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return "heard"

        with pytest.raises(KeyError):
            await Meter(alone=False).awaited(fails())
        task = asyncio.ensure_future(Meter(alone=False).awaited(hears()))
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(main()) == "heard"


# Environment ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpu", "gpus", "expected"),
    [
        (None, (), {}),
        (2.5, (), dict.fromkeys(THREADS, "2")),
        (0.5, (), dict.fromkeys(THREADS, "1")),
        (None, ("1", "GPU-a"), {"CUDA_VISIBLE_DEVICES": "1,GPU-a"}),
        (1.0, ("0",), {**dict.fromkeys(THREADS, "1"), "CUDA_VISIBLE_DEVICES": "0"}),
    ],
)
def test_the_variables_say_how_many_threads_and_which_devices(cpu, gpus, expected):
    assert variables(cpu, gpus) == expected


@pytest.fixture
def environment(monkeypatch):
    """A variable that is set, and one that is not."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "before")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return lambda: (os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("OMP_NUM_THREADS"))


WANTED = {"CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "3"}


def test_what_was_there_is_put_back_also_after_a_failure(environment):
    with pytest.raises(ZeroDivisionError), in_force(WANTED, object(), None):
        assert environment() == ("1", "3")
        raise ZeroDivisionError
    assert environment() == ("before", None)


def test_two_that_overlap_do_not_put_back_what_the_other_had_set(environment):
    """The second one leaves it alone."""
    first, second = in_force(WANTED, object(), None), in_force({"OMP_NUM_THREADS": "5"}, object(), None)
    with first:
        second.__enter__()
        assert environment() == ("1", "3")
    assert environment() == ("before", None)
    second.__exit__(None, None, None)
    assert environment() == ("before", None)


def test_a_step_inside_a_step_sets_its_own_on_top(environment):
    outer = object()
    with in_force(WANTED, outer, None):
        with in_force({"OMP_NUM_THREADS": "1"}, object(), outer):
            assert environment() == ("1", "1")
        assert environment() == ("1", "3")
    assert environment() == ("before", None)


def test_libraries_that_are_loaded_already_are_told_directly(environment):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    np = pytest.importorskip("numpy")
    np.ones((2, 2)) @ np.ones((2, 2))

    def threads():
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}

    before = threads()
    with in_force(variables(1.0, ()), object(), None):
        assert threads() <= {1}
    assert threads() == before

"""One case of executors in an interpreter of its own: `python executor_cases.py CASE`; prints a JSON object.

Wall time in seconds, the best of some rounds that are taken in turn. The floors are bare pools of the standard
library that do the same work, in the way that is usual there; each starts its workers within the clock, as ours do.
The first run with processes also starts their server, and is a figure of its own.
"""

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from crystallize_core import Experiment, pipeline_step

BURN = 400_000
WORKERS = 2
TINY = 100_000
MANY = 1_000_000


def burn(loops):
    total = 0
    for number in range(loops):
        total += number & 3
    return total


def pause(seconds):
    time.sleep(seconds)
    return seconds


async def apause(seconds):
    await asyncio.sleep(seconds)
    return seconds


@pipeline_step()
def burning(data, ctx):
    return burn(data)


@pipeline_step()
def pausing(data, ctx):
    return pause(data)


@pipeline_step()
async def apausing(data, ctx):
    return await apause(data)


@pipeline_step()
def measured(data, ctx):
    return data, {"number": ctx["replicate"]}


@pipeline_step()
def tiny(data, ctx):
    return burn(data), {"number": ctx["replicate"]}


def given(value):
    return Given(value)


class Given:
    def __init__(self, value):
        self.value = value

    def __call__(self, ctx):
        return self.value


def core(value, step, executor, replicates):
    experiment = Experiment(given(value), [step], [executor], autoload=False)
    return lambda: experiment.run(replicates=replicates, provenance="none")


def timed(run):
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def best(cases, rounds=3):
    found = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds):
        for name, run in cases.items():
            found[name] = min(found[name], timed(run))
    return found


def loops_of(seconds):
    """How many loops take so long on this machine, now."""
    return max(1, int(BURN * seconds / min(timed(lambda: burn(BURN)) for _ in range(5))))


def busy():
    """64 replicates of 50 ms that compute in Python, in two processes."""
    from crystallize_executors import ProcessExecution, SerialExecution

    loops = loops_of(0.05)
    process = ProcessExecution(max_workers=WORKERS)

    def bare():
        with ProcessPoolExecutor(WORKERS) as pool:
            list(pool.map(burn, [loops] * 64))

    processes = core(loops, burning, process, 64)
    first = timed(processes)
    cases = {"bare pool": bare, "processes": processes, "serial": core(loops, burning, SerialExecution(), 64)}
    return {**best(cases, rounds=5), "processes, first run": first}


def waiting():
    """64 replicates of 100 ms that wait."""
    from crystallize_executors import AsyncExecution, ThreadExecution

    def bare_threads():
        with ThreadPoolExecutor(64) as pool:
            list(pool.map(pause, [0.1] * 64))

    async def gathered():
        await asyncio.gather(*(apause(0.1) for _ in range(64)))

    return best(
        {
            "bare threads": bare_threads,
            "threads": core(0.1, pausing, ThreadExecution(max_workers=64), 64),
            "bare async": lambda: asyncio.run(gathered()),
            "async": core(0.1, apausing, AsyncExecution(), 64),
        },
        rounds=5,
    )


def small():
    """100,000 replicates of 20 us."""
    from crystallize_executors import ProcessExecution, SerialExecution

    loops = loops_of(20e-6)
    processes = core(loops, tiny, ProcessExecution(max_workers=WORKERS), TINY)
    first = timed(processes)
    return {
        **best({"processes": processes, "serial": core(loops, tiny, SerialExecution(), TINY)}),
        "processes, first run": first,
    }


def resident():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def growing(executor):
    """Seconds, and bytes that are kept for each replicate beyond its value, with one metric."""
    core(0, measured, executor(), 1000)()
    found = {}
    for replicates in (MANY // 10, MANY):
        gc.collect()
        before = resident()
        start = time.perf_counter()
        result = core(0, measured, executor(), replicates)()
        found[f"{replicates} replicates"] = time.perf_counter() - start
        gc.collect()
        kept = resident() - before
        values = result.metrics.baseline.metrics["number"]
        held = sys.getsizeof(values) + sum(map(sys.getsizeof, values[257:]))
        found[f"bytes of {replicates}"] = (kept - held) / replicates
        found[f"bytes of {replicates} in all"] = kept / replicates
        del result, values
    return found


def many():
    from crystallize_executors import SerialExecution

    return growing(SerialExecution)


def many_in_processes():
    from crystallize_executors import ProcessExecution

    return growing(lambda: ProcessExecution(max_workers=WORKERS))


CASES = {"busy": busy, "waiting": waiting, "small": small, "many": many, "many in processes": many_in_processes}

if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ |= {"XDG_CONFIG_HOME": f"{folder}/home", "CRYSTALLIZE_CACHE_DIR": f"{folder}/cache"}
        print(json.dumps(CASES[sys.argv[1]]()))
        os.chdir("/")

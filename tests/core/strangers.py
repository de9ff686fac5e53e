"""Executors as strangers write them: three that are correct, and many that are not."""

from __future__ import annotations

import asyncio
import collections
import pickle
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import connection, get_context

import attrs

from crystallize_core import BasePlugin, ReplicateOutcome, WorkerError
from crystallize_core.remote import payload_of, run_chunk, take
from crystallize_core.schedule import Schedule

# Correct --------------------------------------------------------------------------------------------


class Plain(BasePlugin):
    """The plain loop as a plugin."""

    concurrency = "serial"

    def run_experiment_loop(self, experiment, replicate_fn):
        for number in replicate_fn.pending:
            if replicate_fn.stopped:
                break
            replicate_fn(number)
        return []


class Threads(BasePlugin):
    """Threads of the standard library."""

    concurrency = "thread"

    def __init__(self, workers=2):
        self.workers = workers

    def run_experiment_loop(self, experiment, replicate_fn):
        numbers = iter(replicate_fn.pending)

        def work():
            for number in numbers:
                if replicate_fn.stopped:
                    break
                replicate_fn(number)

        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for future in [pool.submit(work) for _ in range(self.workers)]:
                    future.result()
            finally:
                collections.deque(numbers, maxlen=0)  # whatever has ended this: nothing more is started
        return []


def serve(pipe, payload):
    for number in iter(pipe.recv, None):
        pipe.send(run_chunk(payload, [number]))


class Processes(BasePlugin):
    """Processes that are copied from a server which has the core already; each is sent one replicate at a time."""

    concurrency = "process"

    def __init__(self, workers=2):
        self.workers = workers

    def run_experiment_loop(self, experiment, replicate_fn):
        waiting, idle, busy = list(replicate_fn.pending), [], {}
        payload, schedule = payload_of(replicate_fn), Schedule(waiting, self.workers, 1)
        try:
            while (waiting or busy) and not replicate_fn.stopped:
                while waiting and len(busy) < self.workers:
                    pipe, process = idle.pop() if idle else started(payload)
                    busy[pipe] = waiting.pop(0), process
                    pipe.send(busy[pipe][0])
                for pipe in connection.wait(list(busy)):
                    number, process = busy.pop(pipe)
                    try:
                        answer = pipe.recv()
                    except EOFError:
                        replicate_fn.lost(number, WorkerError("its process died"))
                    else:
                        idle.append((pipe, process))
                        take(replicate_fn, answer, schedule)
        finally:
            for process in [process for _, process in (*idle, *busy.values())]:
                process.kill()
                process.join()
        return []


def started(payload):
    context = get_context("forkserver")
    context.set_forkserver_preload(["crystallize_core.experiment", "crystallize_core.testing.executors.steps"])
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, payload))
    process.start()
    there.close()
    return here, process


# Not correct ----------------------------------------------------------------------------------------


def elsewhere(replicate_fn):
    """What a worker has: a copy that delivers nothing by itself."""
    return pickle.loads(pickle.dumps(replicate_fn))


def renamed(outcome, number):
    """The outcome under another number."""
    return ReplicateOutcome(number, [attrs.evolve(cell, replicate=number) for cell in outcome.cells])


class LosesOne(Plain):
    def run_experiment_loop(self, experiment, replicate_fn):
        for number in replicate_fn.pending[:-1]:
            replicate_fn(number)
        return []


class NeverDelivers(Plain):
    def run_experiment_loop(self, experiment, replicate_fn):
        run = elsewhere(replicate_fn)
        for number in replicate_fn.pending:
            run(number)
        return []


class DeliversLate(Plain):
    def run_experiment_loop(self, experiment, replicate_fn):
        run = elsewhere(replicate_fn)
        return [run(number) for number in replicate_fn.pending]


class RunsTwice(Plain):
    def run_experiment_loop(self, experiment, replicate_fn):
        for number in replicate_fn.pending:
            replicate_fn(number)
            replicate_fn(number)
        return []


class NumbersByArrival(Plain):
    """Runs the last replicate first, and numbers outcomes as they come."""

    def run_experiment_loop(self, experiment, replicate_fn):
        run, pending = elsewhere(replicate_fn), replicate_fn.pending
        for place, number in zip(pending, reversed(pending), strict=True):
            replicate_fn.deliver(renamed(run(number), place))
        return []


class NumbersByHash(Plain):
    """The order of a set of strings is that of the hash seed."""

    def run_experiment_loop(self, experiment, replicate_fn):
        run, pending = elsewhere(replicate_fn), replicate_fn.pending
        for place, number in zip(pending, {str(number) for number in pending}, strict=True):
            replicate_fn.deliver(renamed(run(int(number)), place))
        return []


class Swallows(Plain):
    """Hides what failed."""

    def run_experiment_loop(self, experiment, replicate_fn):
        run = elsewhere(replicate_fn)
        for number in replicate_fn.pending:
            outcome = run(number)
            cells = [attrs.evolve(cell, error=None) for cell in outcome.cells]
            replicate_fn.deliver(attrs.evolve(outcome, cells=cells))
        return []


class Tells(Plain):
    """Sends metrics and nothing else."""

    def run_experiment_loop(self, experiment, replicate_fn):
        run = elsewhere(replicate_fn)
        for number in replicate_fn.pending:
            outcome = run(number)
            cells = [attrs.evolve(cell, events=[]) for cell in outcome.cells]
            replicate_fn.deliver(attrs.evolve(outcome, cells=cells))
        return []


class NeverStops(Plain):
    def run_experiment_loop(self, experiment, replicate_fn):
        for number in replicate_fn.pending:
            replicate_fn(number)
        return []


class RunsAll(Plain):
    def run_experiment_loop(self, experiment, replicate_fn):
        for number in range(experiment.replicates):
            if replicate_fn.stopped:
                break
            replicate_fn(number)
        return []


class RunsOnAfterCtrlC(Plain):
    def run_experiment_loop(self, experiment, replicate_fn):
        for number in replicate_fn.pending:
            try:
                replicate_fn(number)
            except KeyboardInterrupt:
                replicate_fn(number)
        return []


class LeaksThreads(Threads):
    def run_experiment_loop(self, experiment, replicate_fn):
        pool = ThreadPoolExecutor(self.workers)
        list(pool.map(replicate_fn, replicate_fn.pending))
        LEAKED.append(pool)
        return []


LEAKED: list[object] = []


class ClaimsSerial(Threads):
    concurrency = "serial"


class ClaimsProcess(Plain):
    concurrency = "process"


class HoldsLock(Plain):
    concurrency = "thread"

    def __init__(self):
        self.lock = threading.Lock()


class Remembers(Plain):
    """Takes the outcomes of its first run for those of all others."""

    def __init__(self):
        self.known = {}

    def run_experiment_loop(self, experiment, replicate_fn):
        run = elsewhere(replicate_fn)
        for number in replicate_fn.pending:
            if number not in self.known:
                self.known[number] = run(number)
            replicate_fn.deliver(self.known[number])
        return []

    def __reduce__(self):
        return type(self), ()


class KeepsTheRun(Plain):
    """Has room for one run at a time."""

    def run_experiment_loop(self, experiment, replicate_fn):
        self.replicate_fn = replicate_fn
        time.sleep(0.3)  # whoever comes meanwhile takes its place
        for number in replicate_fn.pending:
            self.replicate_fn(number)
        return []

    def __getstate__(self):
        return {}


class OwnLoop(Plain):
    """Does not expect that a loop is running already."""

    concurrency = "async"

    def run_experiment_loop(self, experiment, replicate_fn):
        async def main():
            for number in replicate_fn.pending:
                await replicate_fn.arun(number)

        asyncio.run(main())
        return []


class OnePool(BasePlugin):
    """`concurrent.futures`, whose pool breaks as a whole."""

    concurrency = "process"

    def run_experiment_loop(self, experiment, replicate_fn):
        with ProcessPoolExecutor(2, mp_context=get_context("forkserver")) as pool:
            for outcome in pool.map(replicate_fn, replicate_fn.pending):
                replicate_fn.deliver(outcome)
        return []


class LeaksProcesses(BasePlugin):
    concurrency = "process"

    def run_experiment_loop(self, experiment, replicate_fn):
        pool = ProcessPoolExecutor(1, mp_context=get_context("forkserver"))
        LEAKED.append(pool)
        for outcome in pool.map(replicate_fn, replicate_fn.pending):
            replicate_fn.deliver(outcome)
        return []


class SkipsTheCheck(BasePlugin):
    """Lets its workers believe that they have what the coordinator has."""

    concurrency = "process"

    def run_experiment_loop(self, experiment, replicate_fn):
        import crystallize_core.engine.replicates as engine

        engine.refuse_another_stack = lambda sent: None
        run = elsewhere(replicate_fn)
        for number in replicate_fn.pending:
            replicate_fn.deliver(run(number))
        return []

"""Plugins that break one promise each; the name of the class says which, and the kit has to notice."""

from __future__ import annotations

import asyncio
import atexit
import locale
import logging
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import attrs

from crystallize_core import BasePlugin
from crystallize_core.errors import CrystallizeError, HookError


class CannotBeMade(BasePlugin):
    def __init__(self):
        raise RuntimeError("not today")


class WrongArgument(BasePlugin):
    def after_step(self, stage):
        pass


class NoHook(BasePlugin):
    def after_a_step(self):
        pass


class AsyncHook(BasePlugin):
    async def before_step(self):
        pass


class ReturnsCoroutine(BasePlugin):
    def before_step(self):
        return asyncio.sleep(0)


class Returns(BasePlugin):
    def before_step(self, step):
        return step.name


class Yields(BasePlugin):
    def before_step(self, step):
        yield step.name


class RaisesAtFailures(BasePlugin):
    essential = False

    def step_failed(self, error):
        raise RuntimeError("not again")


class TextForNames(BasePlugin):
    before = "seeding"

    def before_step(self):
        pass


class ObserverThatSaysThatItChanges(BasePlugin):
    essential = False
    changes_process = ("random",)

    def before_step(self):
        random.random()


_names = iter(range(10**6))


class ManyNames(BasePlugin):
    def __init__(self):
        self.plugin_name = f"name{next(_names)}"

    def before_step(self):
        pass


class Plain(BasePlugin):
    def before_step(self):
        pass


_one = Plain()


def only_one():
    return _one


@attrs.define
class Demanding(BasePlugin):
    size: int

    def before_step(self):
        pass


class OptionsAsList(BasePlugin):
    def step_options(self):
        return ["size"]


class Untyped(BasePlugin):
    def __init__(self, size=3):
        self.size = size

    def before_step(self):
        pass


class Hidden(BasePlugin):
    def __init__(self, size: int = 3):
        self._n = size

    def before_step(self):
        pass


@attrs.define
class Doubles(BasePlugin):
    size: int = attrs.field(default=3, converter=lambda size: 2 * size)

    def before_step(self):
        pass


@attrs.define
class TakesAnything(BasePlugin):
    size: object = 3

    def before_step(self):
        pass


class HoldsLock(BasePlugin):
    def __init__(self):
        self.lock = threading.Lock()

    def before_step(self):
        pass


class LockedByRuns(BasePlugin):
    def before_run(self):
        self.lock = threading.Lock()


@attrs.define
class ForgetsOptions(BasePlugin):
    size: int = 3

    def before_step(self):
        pass

    def __reduce__(self):
        return type(self), ()


class Damaged(BasePlugin):
    damaged = False

    def after_replicate(self, ctx):
        if self.damaged:
            ctx.record("damaged", 1)

    def __reduce__(self):
        return type(self), (), {"damaged": True}


def local():
    class Local(BasePlugin):
        def before_step(self):
            pass

    return Local()


class Lossy(CrystallizeError):
    def __init__(self, text, **address):
        super().__init__(f"lossy: {text}", **address)


class Draws(BasePlugin):
    def before_step(self):
        random.random()


class SetsVariable(BasePlugin):
    def before_step(self):
        os.environ["MY_PLUGIN"] = "here"


class SetsVariableWhenMade(BasePlugin):
    def __init__(self):
        os.environ["MY_PLUGIN"] = str(next(_names))

    def before_step(self):
        pass


class ChangesFolder(BasePlugin):
    def before_run(self):
        Path("inside").mkdir(exist_ok=True)
        os.chdir("inside")


class ChangesLocale(BasePlugin):
    def before_run(self):
        locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_ALL) != "C.UTF-8" else "C")


class Silences(BasePlugin):
    def before_run(self):
        warnings.simplefilter("ignore", ResourceWarning)


class AddsHandler(BasePlugin):
    def before_run(self):
        logging.getLogger().addHandler(logging.NullHandler())


class GoesDeep(BasePlugin):
    def before_run(self):
        sys.setrecursionlimit(sys.getrecursionlimit() + 1)


class Appends(BasePlugin):
    def after_step(self, data):
        if isinstance(data, list):
            data.append(0.0)


class WritesHome(BasePlugin):
    def before_run(self):
        Path.home().joinpath(".my_plugin").write_text("here")


class WritesAndRemoves(BasePlugin):
    def before_run(self):
        Path("once").write_text("here")
        Path("once").unlink()


class WritesAtOnce(BasePlugin):
    def __init__(self):
        Path("early").mkdir(exist_ok=True)

    def before_step(self):
        pass


class LeavesTemporary(BasePlugin):
    def before_run(self):
        tempfile.mkdtemp()


class Unrepeatable(BasePlugin):
    def before_replicate(self, ctx):
        ctx.record("now", time.perf_counter_ns())


class MainThreadOnly(BasePlugin):
    def before_replicate(self, ctx):
        ctx.record("main", threading.current_thread() is threading.main_thread())


class CoordinatorOnly(BasePlugin):
    def before_replicate(self, ctx):
        ctx.record("parent", multiprocessing.parent_process() is None)


class FailsOtherwiseElsewhere(BasePlugin):
    def after_replicate(self, ctx, outcome):
        if outcome.failed:
            ctx.record("parent", multiprocessing.parent_process() is None)


class OwnLoop(BasePlugin):
    def before_run(self):
        asyncio.run(asyncio.sleep(0))


class ForgetsAsync(BasePlugin):
    def wrap_step(self, step, call):
        if not step.is_async:
            return None
        return lambda data, ctx: [*call(data, ctx)]


class CountsCalls(BasePlugin):
    def __init__(self):
        self.count = 0

    def before_step(self):
        self.count += 1

    def after_replicate(self, ctx):
        ctx.record("count", self.count)
        self.count = 0


class Records(BasePlugin):
    essential = False

    def before_replicate(self, ctx):
        ctx.record("seen", 1)


class WantsTreatments(BasePlugin):
    def before_run(self, run):
        run.shared["first"] = run.conditions[1]


class Formats(BasePlugin):
    def before_run(self, run):
        (run.experiment + ": %d") % 1


class DescribesObjects(BasePlugin):
    def describe_run(self):
        return {"when": object()}


class DescribesTime(BasePlugin):
    def describe_run(self):
        return {"when": time.perf_counter_ns()}


class DescribesPairs(BasePlugin):
    def describe_run(self):
        return {"sizes": (1, 2)}


class SpoilsNotes(BasePlugin):
    def after_run(self, result):
        result.run.notes.append("done")


class EndsWithTheFirstFailure(BasePlugin):
    def replicate_done(self, outcome):
        if outcome.failed:
            raise RuntimeError("too bad")


class HidesFailures(BasePlugin):
    def after_replicate(self, outcome):
        if outcome.failed:
            outcome.error = HookError("something went wrong")


class WantsAllSteps(BasePlugin):
    essential = False

    def step_skipped(self):
        raise RuntimeError("where is it?")


class Measures(BasePlugin):
    essential = False

    def after_step(self, data):
        len(data)


class Pickles(BasePlugin):
    def after_step(self, data):
        if not isinstance(data, (list, type(None), bytes, str, tuple)):
            raise TypeError("what is this?")


class CatchesAll(BasePlugin):
    def wrap_step(self, call):
        def guarded(data, ctx):
            try:
                return call(data, ctx)
            except BaseException:
                return data

        return guarded


class WantsData(BasePlugin):
    essential = False

    def before_step(self):
        self.began = time.perf_counter()

    def after_replicate(self):
        self.began += 1


class WantsAllReplicates(BasePlugin):
    essential = False

    def after_run(self, experiment, result):
        if len(list(result.metrics.baseline.rows())) < experiment.replicates:
            raise RuntimeError("something is missing")


class NotForTrials(BasePlugin):
    def before_run(self, run):
        if run.trial:
            raise RuntimeError("not for trials")


class ChangesTrials(BasePlugin):
    essential = False

    def wrap_step(self, call):
        return lambda data, ctx: [0.0] if ctx.run.trial else call(data, ctx)


class CountsRuns(BasePlugin):
    def __init__(self):
        self.runs = 0

    def before_run(self, run):
        self.runs += 1
        run.shared["runs"] = self.runs

    def before_replicate(self, ctx):
        ctx.record("runs", ctx.run.shared["runs"])


_going_on = set()


class OneRunOfAll(BasePlugin):
    def before_run(self, run):
        if _going_on:
            raise RuntimeError("there is a run already")
        _going_on.add(run.id)

    def after_run(self, result):
        _going_on.clear()


class OneRunOfEach(BasePlugin):
    def __init__(self):
        self.run = None

    def before_run(self, run):
        if self.run is not None:
            raise RuntimeError("there is a run already")
        self.run = run.id

    def after_run(self, result):
        self.run = None


class SharesList(BasePlugin):
    seen = []

    def before_run(self, run):
        self.seen.append(run.id)


class DropsEvents(BasePlugin):
    def after_replicate(self, outcome):
        outcome.events.clear()


class LeavesThread(BasePlugin):
    def before_run(self):
        threading.Thread(target=threading.Event().wait, args=(20,), daemon=True).start()


class LeavesProcess(BasePlugin):
    def before_run(self):
        _kept.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"]))


_kept = []


class LeavesFileOpen(BasePlugin):
    def before_run(self):
        _kept.append(Path("open.txt").open("w"))  # noqa: SIM115 - that is what is wrong with it


class WaitsForTheEnd(BasePlugin):
    def before_run(self):
        atexit.register(print, "bye")


class KeepsItself(BasePlugin):
    def before_run(self):
        _kept.append(self)


class Odd(random.Random):
    def random(self):
        return 0.5


class Patches(BasePlugin):
    def before_run(self):
        random.Random = Odd

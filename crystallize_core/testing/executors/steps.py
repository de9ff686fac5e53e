"""The steps that the kit has executors run; at the top of a module, so that any pickle can send them by name."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from crystallize_core.named import step
from crystallize_core.step import PipelineStep, pipeline_step
from crystallize_core.testing.executors.marks import await_mark, marked, put_mark
from crystallize_core.testing.executors.values import LockedError, Stuck, TwoPartError, Unreadable

Metrics = dict[str, Any]

# What is computed -----------------------------------------------------------------------------------


def source(ctx: Any) -> list[int]:
    """Three numbers that differ from replicate to replicate."""
    return [ctx["replicate"] + number for number in range(3)]


@pipeline_step()
def scale(data: list[int], ctx: Any, *, factor: int = 1) -> list[int]:
    """Records with tags, emits, and passes on."""
    ctx.record("factor", factor, {"of": ctx["condition"]})
    ctx.emit("scaled", by=factor, first=data[0])
    return [number * factor for number in data]


def total(data: list[int], ctx: Any) -> tuple[list[int], Metrics]:
    """Two metrics and an artifact."""
    ctx.artifacts.add("total.txt", str(sum(data)))
    ctx.emit("summed", total=sum(data))
    return data, {"total": sum(data), "root": sum(data) ** 0.5}


class Twice(PipelineStep):
    """A step that is a class."""

    def __call__(self, data: list[int], ctx: Any) -> list[int]:
        """All numbers twice."""
        return data + data


async def later(data: list[int], ctx: Any) -> tuple[list[int], Metrics]:
    """A step that lets others run in between."""
    await asyncio.sleep(0)
    ctx.record("waited", ctx["replicate"])
    await asyncio.sleep(0)
    return data[::-1], {"last": data[-1]}


@step(inputs=["data"], outputs=["low"])
def low(data: list[int]) -> int:
    """Half of a diamond of steps that are wired by name."""
    return min(data)


@step(inputs=["data"], outputs=["high"])
async def high(data: list[int]) -> int:
    """The other half."""
    await asyncio.sleep(0)
    return max(data)


@step(inputs=["low", "high"], outputs=["span"])
def span(low: int, high: int, ctx: Any) -> int:
    """What joins them."""
    ctx.record("span", high - low)
    return high - low


@pipeline_step(cacheable=True)
def cached(data: list[int], ctx: Any) -> list[int]:
    """A step whose output is kept."""
    ctx.record("cached", sum(data))
    return [number * number for number in data]


def tiny(data: int) -> tuple[int, Metrics]:
    """The least that a replicate can be."""
    return data, {"number": data}


def number(ctx: Any) -> int:
    """The number of the replicate."""
    return int(ctx["replicate"])


def huge(data: list[int], ctx: Any, *, size: int, ballast: bytes) -> tuple[list[int], Metrics]:
    """More than fits into any pipe, as a metric and as an artifact."""
    ctx.artifacts.add("huge.bin", bytes([data[0]]) * size)
    return data, {"huge": bytes([data[-1]]) * size, "ballast": len(ballast)}


# Random numbers -------------------------------------------------------------------------------------


def drawn(data: list[int], ctx: Any) -> tuple[list[int], Metrics]:
    """Random numbers of the stream that the context provides."""
    return data, {"drawn": [ctx.rng.random() for _ in range(3)]}


def drawn_by_number(data: list[int], ctx: Any) -> tuple[list[int], Metrics]:
    """Random numbers without any plugin: a generator of the step's own."""
    generator = random.Random(f"{ctx['replicate']} {ctx['condition']}")  # noqa: S311 - no secret
    return data, {"drawn": [generator.random() for _ in range(3)]}


def drawn_globally(data: list[int], ctx: Any) -> tuple[list[int], Metrics]:
    """Random numbers of the generator of the process."""
    return data, {"drawn": [random.random() for _ in range(3)]}  # noqa: S311 - no secret


# Failures -------------------------------------------------------------------------------------------


@pipeline_step()
def fails(data: list[int], ctx: Any, *, fail_at: int = 2, fail_in: str = "double") -> list[int]:
    """Raises in one cell, after it has recorded something that then must not count."""
    ctx.record("before", data[0])
    if (ctx["replicate"], ctx["condition"]) == (fail_at, fail_in):
        raise ValueError(f"not {data[0]}") from KeyError("the first reason")
    return data


def fails_always(data: list[int], ctx: Any) -> None:
    """Raises in every cell."""
    raise ValueError(f"not {data[0]}")


ODD_ERRORS: Final[Mapping[str, Callable[[], Exception]]] = {
    "locked": lambda: LockedError("it holds a lock"),
    "two parts": lambda: TwoPartError("first", "second"),
}
ODD_VALUES: Final[Mapping[str, Callable[[], Any]]] = {"stuck": Stuck, "unreadable": Unreadable}


@pipeline_step()
def fails_oddly(data: list[int], ctx: Any, *, odd: str) -> tuple[list[int], Metrics]:
    """Raises what does not travel, in replicate 2."""
    if ctx["replicate"] == 2:
        error = ODD_ERRORS[odd]()
        raise error
    return data, {"first": data[0]}


@pipeline_step()
def makes_odd(data: list[int], ctx: Any, *, odd: str) -> tuple[list[int], Metrics]:
    """Records what does not travel, in replicate 2."""
    return data, {"value": ODD_VALUES[odd]() if ctx["replicate"] == 2 else data[0]}


def failing_source(ctx: Any) -> list[int]:
    """No data for replicate 1."""
    if ctx["replicate"] == 1:
        raise OSError("no data today")
    return source(ctx)


def failing_treatment(ctx: Any) -> None:
    """A treatment that cannot be applied to replicate 1."""
    if ctx["replicate"] == 1:
        raise LookupError("no such dose")


class Holds(PipelineStep):
    """A step that cannot be sent, because it holds a lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, data: list[int], ctx: Any) -> tuple[list[int], Metrics]:
        """Use the lock."""
        with self.lock:
            put_mark(ctx["folder"], "ran", ctx["replicate"])
            return data, {"first": data[0]}


@pipeline_step(retry=2)
def unlucky(data: list[int], ctx: Any) -> tuple[list[int], Metrics]:
    """Succeeds at the second attempt; what it draws and records in the first must not count."""
    value = ctx.rng.random()
    ctx.record("drawn", value)
    if ctx.attempt == 1:
        raise ConnectionError("try again")
    return data, {"attempts": ctx.attempt}


# Processes ------------------------------------------------------------------------------------------


def dies(data: list[int], ctx: Any, *, coordinator: int) -> tuple[list[int], Metrics]:
    """Takes its process with it in replicate 2, whenever it is tried."""
    if ctx["replicate"] == 2 and os.getpid() != coordinator:
        os._exit(3)
    return data, {"first": data[0]}


def dies_once(data: list[int], ctx: Any, *, coordinator: int, folder: str) -> tuple[list[int], Metrics]:
    """Takes its process with it in replicate 2, the first time."""
    if ctx["replicate"] == 2 and os.getpid() != coordinator and not marked(folder, "died"):
        put_mark(folder, "died", ctx["replicate"])
        os._exit(3)
    return data, {"first": data[0]}


@pipeline_step(limit=0.2)
def hangs(data: list[int], ctx: Any) -> tuple[list[int], Metrics]:
    """Never returns to the interpreter in replicate 2, which nobody else in the process gets then."""
    if ctx["replicate"] == 2:
        sum(itertools.repeat(0))
    return data, {"first": data[0]}


@pipeline_step(timeout=0.2)
async def waits_for_ever(data: list[int], ctx: Any) -> tuple[list[int], Metrics]:
    """Waits for what does not come, in replicate 2."""
    if ctx["replicate"] == 2:
        await asyncio.sleep(3600)
    return data, {"first": data[0]}


_inside: list[int] = []
"""The replicates that this process is in the middle of."""


def alone(data: list[int], ctx: Any) -> tuple[list[int], Metrics]:
    """Says how many replicates were in the middle of this step in this process."""
    _inside.append(ctx["replicate"])
    try:
        time.sleep(0.01)  # the work of this step is to take a while
        return data, {"inside": len(_inside)}
    finally:
        _inside.pop()


def changes_the_process(data: list[int], ctx: Any, *, folder: str) -> tuple[list[int], Metrics]:
    """Changes what a process has only one of, and puts nothing back."""
    os.chdir(folder)
    os.environ["CONFORMANCE_OF"] = str(ctx["replicate"])
    sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    return data, {"first": data[0], "last": data[-1]}


# Time -----------------------------------------------------------------------------------------------


async def waits_for_the_next(data: list[int], ctx: Any, *, folder: str, patience: float) -> list[int]:
    """In even replicates, waits until the next one is done: the order of completion is not that of the numbers."""
    replicate = ctx["replicate"]
    if replicate % 2 == 0 and not marked(folder, "apart"):
        found = await await_mark(folder, "done", replicate + 1, patience=patience)
        put_mark(folder, "shuffled" if found else "apart", replicate)
    return data


def done(data: list[int], ctx: Any, *, folder: str) -> list[int]:
    """Tells the replicate before that this one is done."""
    put_mark(folder, "done", ctx["replicate"])
    return data


async def waits_for_the_reader(data: list[int], ctx: Any, *, folder: str, patience: float) -> tuple[list[int], Metrics]:
    """In all replicates but the first, waits until somebody has read the first."""
    if ctx["replicate"] > 0 and not await await_mark(folder, "read", patience=patience):
        raise TimeoutError("nobody has read the first replicate")
    return data, {"first": data[0]}


def counted(data: list[int], ctx: Any, *, folder: str) -> tuple[list[int], Metrics]:
    """Leaves a mark for each replicate that is started."""
    put_mark(folder, "started", ctx["replicate"])
    return data, {"first": data[0]}


async def slow(data: list[int], ctx: Any, *, quick: int) -> list[int]:
    """Takes a while, but for the first replicates."""
    if ctx["replicate"] > quick:
        await asyncio.sleep(0.05)
    return data


async def interrupted(data: list[int], ctx: Any, *, folder: str) -> tuple[list[int], Metrics]:
    """Says in which process it runs, and waits until it may go on."""
    put_mark(folder, "process", os.getpid())
    await await_mark(folder, "go", patience=60)
    await asyncio.sleep(0.05)
    put_mark(folder, "ended", ctx["replicate"])
    return data, {"first": data[0]}


# Inside a step --------------------------------------------------------------------------------------


def squared(item: int) -> int:
    """For `parallel_map`."""
    return item * item


def maps(data: list[int], ctx: Any) -> tuple[list[int], Metrics]:
    """Uses `parallel_map` of crystallize-executors."""
    executors = importlib.import_module("crystallize_executors")  # not imported for good: the core knows no plugin
    found = executors.parallel_map(squared, data, 2)
    return found, {"squares": sum(found)}


def experiments(data: list[int], ctx: Any) -> tuple[list[int], Metrics]:
    """Runs an experiment of its own."""
    from crystallize_core.experiment import Experiment  # noqa: PLC0415 - not for all the other steps

    inner = Experiment(source, [scale, total, later], replicates=len(data), autoload=False, name="inner")
    return data, {"inner": inner.run().digest}


# Hypotheses -----------------------------------------------------------------------------------------


def higher(baseline: Mapping[str, Sequence[float]], treatment: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """A test that looks at the order of the samples as well."""
    pairs = list(zip(baseline["total"], treatment["total"], strict=True))
    gain = sum(place * (after - before) for place, (before, after) in enumerate(pairs, start=1))
    return {"p_value": 1 / (1 + abs(gain)), "gain": gain, "accepted": gain > 0}


def by_gain(verdict: Mapping[str, Any]) -> float:
    """A ranker."""
    return -float(verdict["gain"])


def folder_of(path: Path) -> str:
    """A folder for marks, as the plain text that a context can hold."""
    path.mkdir(exist_ok=True)
    return str(path)

"""A project whose code, context and inputs can be edited at will, run with and without a cache.

The test of the cache runs it in its own process, and this file as a server in another one, which runs the same
project in children that can be killed in the middle of writing. What a run came to is compared as text, so that
it can travel between the two, and so that 1, True and 1.0 are different.
"""

from __future__ import annotations

import contextlib
import json
import linecache
import os
import random
import signal
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from crystallize_core import BasePlugin, Experiment, Pipeline, Treatment
from crystallize_core.cache import CacheWarning

# What an edit may change. All of it counts.
CODE = (
    "deepest",
    "factor",
    "low",
    "base",
    "helper",
    "around",
    "closure",
    "default",
    "body",
    "params",
    "bound",
    "other",
)
# What may change without a difference: a comment, the layout, a docstring, a variable of another name.
LOOKS = ("comment", "layout", "docstring", "refactored")

TOOLS = '''
# <comment>
FACTOR = <factor>
TABLE = {"low": [<low>, 1], "high": 9}


class Scale:
    """<docstring>"""

    base = <base>

    def of(self, x):  # <comment>
        return x*self.base<layout>+ deepest(0)


def deepest(x):
    """<docstring>"""
    return x<layout>+ <deepest>
'''

PREP = '''
"""<docstring>"""
import functools

import tools
from tools import Scale, deepest


def helper(x):
    # <comment>
    return deepest(x) * tools.FACTOR<layout>+ <helper>


def made_adding(n):
    def adding(x):
        return x + n
    return adding


def shifted(function):
    @functools.wraps(function)
    def around(*args, **kwargs):
        return function(*args, **kwargs) + <around>
    return around


@shifted
def lowest(values):
    """<docstring>"""
    return min([*values, *tools.TABLE["low"]])
'''

STUDY = '''
from functools import partial

import prep
from crystallize_core import PipelineStep, pipeline_step, step
from prep import helper, lowest, made_adding

add = made_adding(<closure>)


@step(outputs=["raw"])
def load(n, ctx):
    """<docstring>"""
    ctx.record("loaded", n, {"part": "a"})
    ctx.emit("loaded", n=n)
    return [helper(i) for i in range(n)]


@step(outputs=["scaled"])
def scale(raw, factor=<default>):
    # <comment>
    return [prep.Scale().of(x) * factor<layout>+ <body> for x in raw]


@step(outputs=["low", "high"])
async def bounds(scaled, ctx):
    ctx.artifacts.add("bounds.txt", repr(scaled).encode())
    ctx.add("limit", add(len(scaled)))
    return {"low": lowest(scaled), "high": max(scaled, default=None)}


@step(outputs=["read"])
def reads(scaled, context):
    """What it reads depends on what it has read."""
    if context.get("mode", 0) % 2:
        return context["a"], len(scaled)
    return context.get("b", -1), "c" in context


@step(cache="input_hash", outputs=["total"])
def total(scaled, a):
    found = [*scaled, a]
    <refactored>


@step(cache=lambda step, inputs, context: f"{len(inputs['scaled'])}/{context['mode']}", outputs=["size"])
def size(scaled, mode):
    return len(scaled), mode


@step(outputs=["nothing"])
def nothing(low):
    return None


@step(condition=lambda mode: mode != 3, outputs=["maybe"])
def maybe(scaled, given):
    return type(given).__name__, repr(given), (lambda xs: xs[:1] + [<body>])(scaled)


@step(outputs=["risked"])
def risky(low, mode, ctx):
    ctx.record("risked", mode)
    if mode == 2:
        raise ValueError(f"mode {mode}, low {low}")
    return low


@step(cache=False, outputs=["report"])
def report(ctx, low, high, read, total, size, nothing, maybe="?"):
    return ctx["limit"], low, high, read, total, size, nothing, maybe


GRAPH = [report, risky, maybe, nothing, size, total, reads, bounds, scale, load]


class Times(PipelineStep):
    cacheable = True

    def __init__(self, by):
        self.by = by

    @property
    def params(self):
        return {"by": self.by}

    def __call__(self, data, ctx):
        ctx.record("times", self.by, {"n": len(data)})
        return [x * self.by + prep.Scale.base for x in data]


@pipeline_step(cacheable=True)
def shift(data, ctx, *, offset=<default>, bound=0):
    ctx.add("shifted", offset)
    ctx.artifacts.add(f"{offset}.bin", bytes([len(data)]))
    ctx.emit("shifted", by=offset)
    return [helper(x) + offset + bound for x in data], {"offset": offset}


@pipeline_step(cacheable=True)
def draw(data, ctx):
    return [x + ctx.rng.random() for x in data], {"drawn": ctx.rng.random()}


@pipeline_step(cacheable=True)
async def peek(data, ctx):
    return data if ctx.get("a", 0) != 1 else [*data, ctx["mode"]]


@pipeline_step()
def last(data, ctx):
    return data, {"last": data, "drawn_last": ctx.rng.random(), "shifted": ctx["shifted"]}


CHAIN = [Times(<params>), partial(shift, bound=<bound>), draw, peek, draw, last]
'''

# Another pipeline with steps of the same names.
OTHER = """
from crystallize_core import step
from prep import helper


@step(outputs=["raw"])
def load(n):
    return [-helper(i) - <other> for i in range(n)]


@step(outputs=["scaled"])
def scale(raw, factor=<default>):
    return [factor - x for x in raw]


@step(cache="input_hash", outputs=["sum"])
def total_of(scaled, a):
    return sum(scaled) - a


GRAPH = [load, scale, total_of]
"""

REFACTORED = ("return sum(found)", "sums = sum(x for x in found)\n    return sums")


class Streams(BasePlugin):
    """A random stream for each step of each replicate, and a file of which steps are known to depend on it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_replicate(self, experiment: Any, ctx: Any) -> None:
        ctx.add("seed_used", self.seed * 100 + ctx["replicate"])
        ctx.provide("rng", lambda view: random.Random(f"{view['seed_used']} {view.step_name}"))

    def cache_dependencies(self, experiment: Any, step: Any, ctx: Any) -> dict[str, Any]:
        return {"version": self.seed // 2} if step.name == "peek" else {}


def sources(code: dict[str, int], looks: dict[str, int]) -> dict[str, str]:
    """The text of each module."""
    words = {name: str(value) for name, value in code.items()}
    words["comment"] = f"note {looks['comment']}"
    words["docstring"] = f"It is described in {looks['docstring']} ways."
    words["layout"] = ("  ", " \\\n    ")[looks["layout"] % 2]
    words["refactored"] = REFACTORED[looks["refactored"] % 2]
    made = {}
    for name, text in {"tools": TOOLS, "prep": PREP, "study": STUDY, "other": OTHER}.items():
        made[name] = "# one more line\n" * looks["comment"] + text
        for word, value in words.items():
            made[name] = made[name].replace(f"<{word}>", value)
    return made


@contextlib.contextmanager
def imported(folder: Path, texts: dict[str, str]) -> Any:
    """The modules, as if a process had just imported them from their files."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        path = folder / f"{name}.py"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    linecache.checkcache()
    try:
        for name, text in texts.items():
            module = sys.modules[name] = ModuleType(name)
            module.__file__ = str(folder / f"{name}.py")
            exec(compile(text, module.__file__, "exec"), module.__dict__)
        yield sys.modules
    finally:
        for name in texts:
            sys.modules.pop(name, None)


def run(folder: Path, job: dict[str, Any], *, cache: bool, resume: bool = False) -> dict[str, Any]:
    """What a job comes to, and what became of each step; with checkpoints only where something may be resumed."""
    with imported(folder / "src", sources(job["code"], job["looks"])) as modules, warnings.catch_warnings():
        warnings.simplefilter("error", CacheWarning)
        options = {"enable_cache": cache, "cache_dir": folder / "cache", "checkpoint": cache and job["keeps"]}
        if job["kind"] == "chain":
            return _experiment(Pipeline(list(modules["study"].CHAIN), **options), job)
        module = modules["study" if job["kind"] == "graph" else "other"]
        pipeline = Pipeline(list(module.GRAPH), name=job["kind"], keep_runs=2, **options)
        return _graph(pipeline, job, resume=resume and cache and job["keeps"])


def _graph(pipeline: Pipeline, job: dict[str, Any], *, resume: bool) -> dict[str, Any]:
    given = {"given": eval(job["given"])} if job["kind"] == "graph" else {}
    result = pipeline.run(inputs=given, context=job["context"], resume=resume)
    outcome = {
        "outputs": sorted(result.outputs.items()),
        "metrics": result.metrics,
        "artifacts": [(a.name, a.step, a.read()) for a in result.record.artifacts],
        "events": {name: found.events for name, found in result.step_results.items()},
        "errors": {name: found.error for name, found in result.step_results.items()},
        "made from": [(name, o.digest, o.step, sorted(o.inputs.items())) for name, o in sorted(result.lineage.items())],
        "digest": result.record.digest,
    }
    states = {name: found.state for name, found in result.step_results.items() if name != "report"}
    return {"outcome": {name: repr(value) for name, value in outcome.items()}, "states": states}


def _experiment(pipeline: Pipeline, job: dict[str, Any]) -> dict[str, Any]:
    experiment = Experiment(
        datasource=lambda ctx: [1] * job["context"]["n"],
        pipeline=pipeline,
        initial_ctx={name: value for name, value in job["context"].items() if name != "n"},
        treatments=[Treatment("shifted", {"offset": job["treatment"]})],
        plugins=[Streams(job["seed"])],
        replicates=2,
        autoload=False,
    )
    stream = experiment.stream(provenance="all")
    cells = [cell for outcome in stream for cell in outcome.cells]
    outcome = {
        "metrics": [(c.replicate, c.condition, c.metrics) for c in cells],
        "artifacts": [(a.name, a.step, a.read()) for c in cells for a in c.artifacts],
        "events": [event for c in cells for event in c.events],
        "errors": [str(c.error) for c in cells],
        "digest": stream.result.digest,
    }
    states = {
        f"{c.replicate}/{c.condition}/{at}": "cached" if record["cache_hit"] else "ok"
        for c in cells
        for at, record in enumerate(c.provenance or ())
        if record["step"] != "last"
    }
    return {"outcome": {name: repr(value) for name, value in outcome.items()}, "states": states}


# The server -------------------------------------------------------------------------------------------


def dies_at(call: int) -> None:
    """Let this process be killed before the call of that number which makes something last on the disk."""
    left = [call]

    def deadly(function: Any) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return called

    for name in ("replace", "rename", "link", "fsync", "mkdir", "utime"):
        setattr(os, name, deadly(getattr(os, name)))


def in_child(line: str) -> str:
    """The answer of a child that does one job; an empty text if it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            asked = json.loads(line)
            if asked["dies_at"] is not None:
                dies_at(asked["dies_at"])
            answer = json.dumps(run(Path(asked["folder"]), asked["job"], cache=True, resume=asked["resume"]))
        except BaseException as error:
            answer = json.dumps({"error": repr(error)})
        with os.fdopen(writer, "w") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


if __name__ == "__main__":
    for asked in sys.stdin:
        print(in_child(asked), flush=True)

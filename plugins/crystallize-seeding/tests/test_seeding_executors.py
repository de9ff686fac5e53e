"""The same numbers under every way to run replicates, and what is said where that cannot be."""

import asyncio
import random
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

from crystallize_core import BasePlugin, Experiment, Treatment
from crystallize_seeding import SeedPlugin


class Threads(BasePlugin):
    concurrency = "thread"

    def run_experiment_loop(self, experiment, replicate_fn):
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(replicate_fn, reversed(replicate_fn.pending)))


class Tasks(BasePlugin):
    concurrency = "async"

    def run_experiment_loop(self, experiment, replicate_fn):
        async def together():
            return await asyncio.gather(*map(replicate_fn.arun, reversed(replicate_fn.pending)))

        return asyncio.run(together())


class Backwards(BasePlugin):
    concurrency = "serial"

    def run_experiment_loop(self, experiment, replicate_fn):
        return [replicate_fn(number) for number in reversed(replicate_fn.pending)]


async def from_stream(data, ctx):
    await asyncio.sleep(0)
    ctx.record("stream", float(ctx.rng.random()))
    return data


def from_random(data, ctx):
    ctx.record("global", random.random())
    return data


def run(executor, *steps, **options):
    return Experiment(
        lambda ctx: float(ctx.rng.random()),
        steps,
        plugins=[SeedPlugin(7, **options), *executor],
        treatments=[Treatment("other", {"x": 1})],
        replicates=5,
        autoload=False,
    ).run()


@pytest.mark.parametrize("executor", [Threads, Tasks, Backwards])
def test_streams_are_the_same_under_every_executor(executor):
    """Nothing of `ctx.rng` depends on who runs a replicate and when."""
    result = run([executor()], from_stream, from_stream)
    assert result.digest == run([], from_stream, from_stream).digest
    assert result.warnings == []


def test_global_numbers_are_the_same_in_any_order():
    """Where cells run one at a time, their order does not matter."""
    assert run([Backwards()], from_random).digest == run([], from_random).digest


@pytest.mark.parametrize(("executor", "name"), [(Threads, "thread"), (Tasks, "async")])
def test_draws_that_replicates_share_are_warned_about(executor, name):
    """Global generators are left alone under threads, and the result says once what that means."""
    result = run([executor()], from_random)
    (warning,) = result.warnings
    assert warning.startswith("something drew from the global generator of random, which all replicates share")
    assert f"under {name!r} execution" in warning
    assert "Draw from ctx.rng" in warning
    assert result.run.described["seeding"]["globals"] is False


def test_a_seed_function_is_not_called_under_threads():
    """It would be a race; the warning says so."""
    called = []
    result = run([Threads()], from_random, seed_fn=called.append)
    assert called == []
    assert "seed_fn was not called" in result.warnings[0]


def test_who_asked_for_no_seeding_is_not_warned():
    """`auto_seed=False` leaves global generators to the user, who knows."""
    assert run([Threads()], from_random, auto_seed=False).warnings == []


SCRIPT = """
import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor

from crystallize_core import BasePlugin, Experiment
from crystallize_seeding import SeedPlugin


class Processes(BasePlugin):
    concurrency = "process"

    def run_experiment_loop(self, experiment, replicate_fn):
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            return list(pool.map(replicate_fn, reversed(replicate_fn.pending)))


def source(ctx):
    return random.random()


def draw(data, ctx):
    ctx.record("numbers", [data, random.random(), float(ctx.rng.random()), ctx["seed_used"]])
    return data


if __name__ == "__main__":
    for plugin in (SeedPlugin(7), SeedPlugin(), SeedPlugin(7, auto_seed=False)):
        result = Experiment(source, [draw], plugins=[plugin, Processes()], replicates=4, autoload=False).run()
        again = Experiment(source, [draw], plugins=[SeedPlugin(result.run.described["seeding"]["seed"])],
                           replicates=4, autoload=False).run()
        print(sorted(result.errors), result.digest == again.digest, result.warnings)
"""


def script(folder, code):
    file = folder / "script.py"
    file.write_text(textwrap.dedent(code), encoding="utf-8")
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, cwd=folder, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_processes_get_the_seed_of_the_run(tmp_path):
    """Workers use the seed that the coordinator has, also a drawn one, and seed their own global generators."""
    assert script(tmp_path, SCRIPT) == [
        "[] True []",
        "[] True []",
        "[] False []",  # global generators are the user's: nobody seeds those of the workers
    ]


LATE = """
from crystallize_core import Experiment
from crystallize_seeding import SeedPlugin


def late(data, ctx):
    import numpy

    return data, {"x": float(numpy.random.random_sample()) if DRAW else 0.0}


experiment = Experiment(lambda ctx: 1, [late], plugins=[SeedPlugin(7, rng="python")], replicates=3, autoload=False)
print(*experiment.run().warnings)
"""


@pytest.mark.skipif(find_spec("numpy") is None, reason="is about numpy")
def test_numpy_that_a_step_imports_first_is_warned_about(tmp_path):
    """What that step drew before numpy could be seeded is not repeatable, and the result says which step it was."""
    assert script(tmp_path, f"DRAW = False\n{LATE}") == [""]
    (line,) = script(tmp_path, f"DRAW = True\n{LATE}")
    assert line == (
        "in replicate 0, condition 'baseline', step 'late' imported numpy and drew from its global generator, which "
        "could not be seeded before; import numpy at the top of the module, or draw from ctx.rng"
    )

"""Worker processes that die, parts that cannot be sent, and scripts that workers cannot import."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import types

import cloudpickle
import pytest

from crystallize_core import Experiment, PipelineStep, pipeline_step
from crystallize_core.errors import CrystallizeError, HookError, NotSendableError, WorkerError
from crystallize_core.pickling import dumped_by_value
from crystallize_executors import ProcessExecution, SerialExecution

METHODS = ["spawn", "forkserver"]


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    """No other plugin that may be installed takes part, and nothing is written beside the tests."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def no_worker_is_left_behind():
    """After a run its processes are gone."""
    yield
    assert multiprocessing.active_children() == []


def run(step, *, replicates=20, **options):
    options = {"max_workers": 2, **options}
    return Experiment(
        datasource=lambda ctx: ctx["replicate"],
        pipeline=[step],
        replicates=replicates,
        plugins=[ProcessExecution(**options)],
    ).run()


@contextlib.contextmanager
def raises(kind, text):
    """The run fails with this error, on its own or as the cause of one that adds the address of the plugin."""
    with pytest.raises(CrystallizeError) as caught:
        yield
    error = caught.value.__cause__ if isinstance(caught.value, HookError) else caught.value
    assert isinstance(error, kind)
    assert text in str(error)


def square():
    @pipeline_step()
    def squared(data, ctx):
        return data, {"square": data * data}

    return squared


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("death", ["exit code 3", "SIGKILL"])
def test_a_replicate_that_kills_its_worker_fails_alone(method, death):
    """The others have their outcomes; the error says how the worker ended and how often."""
    coordinator = os.getpid()

    @pipeline_step()
    def deadly(data, ctx):
        if data == 7 and os.getpid() != coordinator:
            if death == "SIGKILL":
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(3)
        return data, {"square": data * data}

    result = run(deadly, start_method=method, max_deaths=2)
    assert result.metrics.baseline.metrics["square"] == [n * n for n in range(20) if n != 7]
    (error,) = result.errors.values()
    assert isinstance(error, WorkerError)
    assert (error.replicate, error.condition) == (7, "baseline")
    assert f"its worker process died 2 times while it ran alone in it, at last with {death}" in str(error)


def test_replicates_that_kill_their_worker_once_are_healed(tmp_path):
    """Only what the dead worker had not answered is run again, and the digest is that of a quiet run."""
    coordinator, marks, ran = os.getpid(), tmp_path / "marks", tmp_path / "ran"
    marks.mkdir()
    ran.mkdir()

    @pipeline_step()
    def unlucky(data, ctx):
        if os.getpid() != coordinator:
            with (ran / f"{data}").open("a") as file:
                file.write("x")
            if data % 10 == 3 and not (marks / f"{data}").exists():
                (marks / f"{data}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return data, {"square": data * data}

    def experiment(executor):
        return Experiment(
            datasource=lambda ctx: ctx["replicate"], pipeline=[unlucky], replicates=60, plugins=[executor]
        )

    healed = experiment(ProcessExecution(max_workers=2)).run()
    assert healed.errors == {}
    assert healed.digest == experiment(SerialExecution()).run().digest
    assert sorted(int(path.name) for path in marks.iterdir()) == [3, 13, 23, 33, 43, 53]
    assert sorted(int(path.name) for path in ran.iterdir()) == list(range(60))


def test_the_experiment_is_rebuilt_once_per_worker(tmp_path):
    """What is costly to send or to make is sent and made once per process."""

    class Heavy:
        def __reduce__(self):
            # Unbuffered: a worker that is not needed any more may be ended at any moment.
            return (lambda folder: (folder / str(os.getpid())).open("ab", buffering=0).write(b"x"), (tmp_path,))

    heavy = Heavy()

    @pipeline_step()
    def uses(data, ctx):
        return data, {"known": int(heavy is not None)}

    result = run(uses, replicates=200)
    assert len(result.metrics.baseline.metrics["known"]) == 200
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert 1 <= len(found) <= 2
    assert set(found.values()) == {"x"}


def test_a_part_that_cannot_be_pickled_is_named_before_anything_runs():
    """A lock cannot travel."""
    lock = threading.Lock()

    @pipeline_step()
    def locked(data, ctx):
        with lock:
            return data, {"square": data}

    with raises(NotSendableError, "locked"):
        run(locked)


def test_an_outcome_that_cannot_be_pickled_fails_its_own_replicate():
    """A metric that only lives in its process is lost, all others arrive."""

    @pipeline_step()
    def odd(data, ctx):
        class Stuck:
            def __reduce__(self):
                raise TypeError("stays here")

            def __deepcopy__(self, memo):
                return self

        return data, {"value": Stuck() if data == 5 else data}

    result = run(odd)
    assert result.metrics.baseline.metrics["value"] == [n for n in range(20) if n != 5]
    (error,) = result.errors.values()
    assert error.replicate == 5
    assert "stays here" in str(error)


def test_an_exception_class_of_a_function_arrives_as_itself_or_in_words():
    """An error that was defined where no worker can import it does not break anything."""

    class Own(Exception):
        pass

    @pipeline_step()
    def fails(data, ctx):
        if data == 4:
            raise Own("mine")
        return data, {"square": data}

    result = run(fails)
    (error,) = result.errors.values()
    assert (error.replicate, "mine" in str(error)) == (4, True)


def test_a_worker_that_cannot_import_the_steps_is_refused_with_the_reason(tmp_path, monkeypatch):
    """The module is there for the coordinator only."""
    (tmp_path / "only_here.py").write_text("def step(data, ctx):\n    return data, {'a': 1}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    (tmp_path / "only_here.py").unlink()
    with raises(WorkerError, "only_here"):
        run(only_here.step)


@pytest.mark.parametrize("method", METHODS)
def test_workers_that_die_while_they_start_end_the_run(method, monkeypatch):
    """A broken interpreter is reported after a few attempts, not tried for ever."""
    monkeypatch.setattr("crystallize_executors.pool.serve", os._exit)
    with raises(WorkerError, "worker processes end while they start (exit code 1)"):
        run(square(), start_method=method)


SCRIPT = """
from crystallize_core import Experiment, pipeline_step
from crystallize_executors import ProcessExecution

class Point:
    def __init__(self, x):
        self.x = x

@pipeline_step()
def shift(data, ctx, by=1):
    return Point(data + by)

def show(data, ctx):
    return data, {"x": data.x}

result = Experiment(
    datasource=lambda ctx: ctx["replicate"],
    pipeline=[shift(by=2), show],
    replicates=5,
    plugins=[ProcessExecution(max_workers=2, start_method={method!r})],
).run()
print(result.metrics.baseline.metrics, result.errors)
"""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["script", "-c", "stdin"])
def test_code_that_is_typed_anywhere_runs_in_workers(how, method, tmp_path):
    """A script without a guard, `python -c` and an interactive session all work."""
    script = tmp_path / "script.py"
    text = SCRIPT.replace("{method!r}", repr(method))
    script.write_text(text)
    command = {"script": [str(script)], "-c": ["-c", text], "stdin": ["-"]}[how]
    done = subprocess.run(
        [sys.executable, *command], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("{'x': [2, 3, 4, 5, 6]} {}\n", "")


@pytest.mark.parametrize("inner", METHODS)
@pytest.mark.parametrize("method", METHODS)
def test_steps_may_start_processes_of_their_own(method, inner):
    """Workers are no daemons, so that a library inside a step may use a pool."""

    @pipeline_step()
    def nested(data, ctx):
        import concurrent.futures
        import multiprocessing

        with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context(inner)) as pool:
            return data, {"absolute": pool.submit(abs, -data).result()}

    result = run(nested, replicates=2, start_method=method)
    assert (result.metrics.baseline.metrics, result.errors) == ({"absolute": [0, 1]}, {})


def test_large_experiments_and_large_outcomes_pass():
    """Much more than fits into a pipe, in both directions."""
    ballast = bytes(8_000_000)

    @pipeline_step()
    def large(data, ctx):
        return data, {"size": len(ballast), "bytes": bytes([data]) * 3_000_000}

    result = run(large, replicates=4)
    assert result.metrics.baseline.metrics["size"] == [8_000_000] * 4
    assert [(value[0], len(value)) for value in result.metrics.baseline.metrics["bytes"]] == [
        (n, 3_000_000) for n in range(4)
    ]


def test_steps_are_torn_down_in_the_workers(tmp_path):
    """`setup` and `teardown` are called once in each worker that ran something."""

    class Prepared(PipelineStep):
        def setup(self, ctx):
            with (tmp_path / f"setup-{os.getpid()}").open("a") as file:
                file.write("x")

        def teardown(self, ctx):
            with (tmp_path / f"teardown-{os.getpid()}").open("a") as file:
                file.write("x")

        def __call__(self, data, ctx):
            return data, {"square": data * data}

    run(Prepared(), replicates=50)
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    workers = {name.partition("-")[2] for name in found}
    assert found == {f"{what}-{worker}": "x" for what in ("setup", "teardown") for worker in workers}
    assert 1 <= len(workers) <= 2
    assert str(os.getpid()) not in workers


def test_decorated_steps_of_a_module_that_is_registered_by_value_need_no_module(monkeypatch):
    """What cloudpickle was told to send by value is sent so, although its name would lead to it here."""
    module = types.ModuleType("only_here")
    code = "from crystallize_core import step\n@step\ndef doubled(data):\n    return data * 2\n"
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    cloudpickle.register_pickle_by_value(module)
    try:
        sent = dumped_by_value(module.doubled)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    by_name = dumped_by_value(module.doubled)
    monkeypatch.delitem(sys.modules, "only_here")
    assert pickle.loads(sent)(21) == 42
    with pytest.raises(ModuleNotFoundError, match="only_here"):
        pickle.loads(by_name)

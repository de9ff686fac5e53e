"""Runs on a cluster that this process is connected to: the result, and what happens when something goes wrong."""

from __future__ import annotations

import contextlib
import os
import threading

import attrs
import pytest

from crystallize_core import BasePlugin, Experiment, PipelineStep, Treatment, pipeline_step
from crystallize_core.errors import CrystallizeError, HookError, NotSendableError, StackMismatchError, WorkerError
from crystallize_ray import RayExecution

pytestmark = pytest.mark.usefixtures("connected")


def experiment_of(step, *plugins, replicates=20, treatments=()):
    return Experiment(
        datasource=lambda ctx: ctx["replicate"],
        pipeline=[step],
        treatments=list(treatments),
        replicates=replicates,
        plugins=list(plugins),
    )


def run(step, *plugins, replicates=20, **options):
    return experiment_of(step, RayExecution(**options), *plugins, replicates=replicates).run()


@contextlib.contextmanager
def raises(kind, text):
    """The run fails with this error, on its own or as the cause of one that adds the address of the plugin."""
    with pytest.raises(CrystallizeError) as caught:
        yield
    error = caught.value.__cause__ if isinstance(caught.value, HookError) else caught.value
    assert isinstance(error, kind)
    assert text in str(error)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_digest_is_that_of_a_plain_loop(workers):
    """However many workers share the replicates, with conditions and random numbers."""
    seeding = pytest.importorskip("crystallize_seeding")

    @pipeline_step()
    def noisy(data, ctx, factor=1.0):
        import numpy

        drawn = ctx.rng.normal(size=3) * factor
        return drawn, {"drawn": float(drawn.sum()), "array": numpy.asarray(drawn)}

    def result(*plugins):
        treatments = [Treatment("double", {"factor": 2.0})]
        return experiment_of(noisy, seeding.SeedPlugin(seed=7), *plugins, treatments=treatments).run()

    there, here = result(RayExecution(max_workers=workers)), result()
    assert there.errors == {}
    assert there.digest == here.digest


def test_numpy_results_arrive_as_they_are():
    """Values and types."""
    numpy = pytest.importorskip("numpy")

    @pipeline_step()
    def powers(data, ctx):
        import numpy

        return data, {"powers": numpy.arange(3, dtype="float32") ** data}

    found = run(powers, replicates=3).metrics.baseline.metrics["powers"]
    assert [array.tolist() for array in found] == [[1, 1, 1], [0, 1, 2], [0, 1, 4]]
    assert {array.dtype for array in found} == {numpy.dtype("float32")}


def test_a_failing_step_fails_its_own_cell_with_its_address_and_cause():
    """All others have their outcomes."""

    @pipeline_step()
    def fails(data, ctx):
        if data == 4:
            raise ArithmeticError("four")
        return data, {"value": data}

    result = run(fails)
    assert result.metrics.baseline.metrics["value"] == [n for n in range(20) if n != 4]
    (error,) = result.errors.values()
    assert (error.replicate, error.condition, error.step) == (4, "baseline", "fails")
    assert (type(error.__cause__), error.__cause__.args) == (ArithmeticError, ("four",))


def test_an_outcome_that_cannot_be_pickled_fails_its_own_replicate():
    """The error says why, and where it was."""

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
    assert "its outcome cannot be sent from its worker" in str(error)
    assert "stays here" in str(error)


def test_a_part_that_cannot_be_sent_is_named_before_anything_runs():
    """A lock cannot travel."""
    lock = threading.Lock()

    @pipeline_step()
    def locked(data, ctx):
        with lock:
            return data, {"square": data}

    with raises(NotSendableError, "locked"):
        run(locked)


def test_a_worker_that_cannot_import_the_steps_is_refused_with_the_reason(tmp_path, monkeypatch):
    """The module is there for the coordinator only."""
    (tmp_path / "only_here.py").write_text("def step(data, ctx):\n    return data, {'a': 1}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    (tmp_path / "only_here.py").unlink()
    with raises(WorkerError, "only_here"):
        run(only_here.step)


def test_workers_find_the_modules_and_the_folder_of_the_coordinator(tmp_path, monkeypatch):
    """What was put on `sys.path` after Ray had started, and files by their relative path."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "number.txt").write_text("42")
    source = "def step(data, ctx):\n    return data, {'a': int(open('number.txt').read())}\n"
    (tmp_path / "modules" / "of_mine.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    import of_mine

    assert run(of_mine.step, replicates=2).metrics.baseline.metrics == {"a": [42, 42]}


def test_large_experiments_and_large_outcomes_pass():
    """Fifty megabytes in both directions."""
    ballast = bytes(50_000_000)

    @pipeline_step()
    def large(data, ctx):
        return data, {"size": len(ballast), "bytes": bytes([data]) * 50_000_000}

    metrics = run(large, replicates=3).metrics.baseline.metrics
    assert metrics["size"] == [50_000_000] * 3
    assert [(value[0], len(value)) for value in metrics["bytes"]] == [(n, 50_000_000) for n in range(3)]


def test_a_run_that_has_seen_enough_stops(tmp_path):
    """What has not started never does: the chunks that workers were given in advance are called off."""

    class Enough(BasePlugin):
        def should_stop(self, experiment, outcomes):
            return True if len(outcomes) >= 5 else None

    @pipeline_step()
    def counted(data, ctx):
        (tmp_path / str(data)).touch()
        return data, {"value": data}

    result = run(counted, Enough(), replicates=100_000)
    assert result.metrics.baseline.metrics["value"] == [0, 1, 2, 3, 4]
    assert len(list(tmp_path.iterdir())) < 50_000


def test_two_experiments_run_on_one_cluster_at_a_time():
    """From two threads of one process; each has its own result."""
    found = {}

    def work(power):
        @pipeline_step()
        def raised(data, ctx):
            return data, {"value": data**power}

        found[power] = run(raised, max_workers=1).metrics.baseline.metrics["value"]

    threads = [threading.Thread(target=work, args=(power,)) for power in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {power: [n**power for n in range(20)] for power in (2, 3)}


def test_the_connection_of_the_user_stays_open(connected):
    """A run closes only what it opened."""
    run(pipeline_step()(lambda data, ctx: data), replicates=1)
    assert connected.is_initialized()


def test_nothing_is_left_of_a_run_on_the_cluster(connected):
    """Its workers have ended, and their room is free again."""
    run(pipeline_step()(lambda data, ctx: (data, {"a": 1})), replicates=5)
    until(lambda: connected.available_resources().get("CPU") == connected.cluster_resources()["CPU"])


def until(condition):
    import time

    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_experiment_is_rebuilt_once_per_worker_and_its_steps_are_torn_down(tmp_path):
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


def test_steps_may_be_async():
    """Sync and async are the same thing."""
    import asyncio

    @pipeline_step()
    async def waits(data, ctx):
        await asyncio.sleep(0)
        return data, {"value": data}

    assert run(waits).metrics.baseline.metrics["value"] == list(range(20))


def test_plugins_work_in_workers(tmp_path, monkeypatch):
    """Retries, a local file of hooks, and events, which arrive in the coordinator."""
    pytest.importorskip("crystallize_retries")
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")
    stack = 'plugins = ["retries", "./hooks.py"]\n[options.retries]\nfirst_delay = 0\n'
    (tmp_path / "crystallize.toml").write_text(stack)
    (tmp_path / "hooks.py").write_text(
        "from crystallize_core import hookimpl\n"
        "@hookimpl\n"
        "def before_replicate(experiment, ctx):\n"
        "    ctx.add('given', 5)\n"
    )

    class Noting(BasePlugin):
        def on_event(self, experiment, event):
            if event.name == "seen":
                with (tmp_path / f"heard-{os.getpid()}").open("a") as file:
                    file.write(f"{event.payload['value']}\n")

    @pipeline_step(retry=2)
    def flaky(data, ctx):
        mark = tmp_path / f"mark-{data}"
        if not mark.exists():
            mark.touch()
            raise OSError("not yet")
        ctx.emit("seen", value=data)
        return data, {"value": data + ctx["given"]}

    result = run(flaky, Noting(), replicates=4)
    assert (result.metrics.baseline.metrics, result.errors) == ({"value": [5, 6, 7, 8]}, {})
    (heard,) = tmp_path.glob("heard-*")
    assert heard.name == f"heard-{os.getpid()}"
    assert sorted(heard.read_text().split()) == ["0", "1", "2", "3"]


def test_progress_is_a_line_on_stderr_if_asked_for(capfd):
    """Nothing is printed otherwise, by us or by Ray."""
    step = pipeline_step()(lambda data, ctx: (data, {"a": 1}))
    run(step)
    assert capfd.readouterr() == ("", "")
    run(step, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("20 of 20 replicates, ")


def test_an_address_of_the_cluster_that_this_process_is_connected_to_is_that_cluster(cluster):
    """By whatever name; any other is refused, since Ray has one connection per process."""
    step = pipeline_step()(lambda data, ctx: (data, {"value": data}))
    port = cluster.address.rpartition(":")[2]
    for address in (cluster.address, f"127.0.0.1:{port}", "auto"):
        assert run(step, replicates=2, address=address).metrics.baseline.metrics["value"] == [0, 1]
    with raises(WorkerError, "this process is connected to a Ray already, at "):
        run(step, replicates=2, address="127.0.0.1:9")


def test_a_worker_that_refuses_the_stack_ends_the_run_with_its_error():
    """A plugin that loses an option on its way to the worker; the error is that of the core."""

    @attrs.frozen
    class Forgetful(BasePlugin):
        size: int = 1

        def __reduce__(self):
            return type(self), ()

    with raises(StackMismatchError, "option 'size' of plugin"):
        run(pipeline_step()(lambda data, ctx: data), Forgetful(size=5))

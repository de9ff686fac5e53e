"""Runs on a cluster that this process is connected to, as far as the kit for executors does not try them."""

from __future__ import annotations

import contextlib
import os
import sys

import pytest

from crystallize_core import BasePlugin, Experiment, PipelineStep, Treatment, pipeline_step
from crystallize_core.errors import CrystallizeError, HookError, WorkerError
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


def test_a_worker_that_cannot_import_the_steps_is_refused_with_the_reason(tmp_path, monkeypatch):
    """The module is there for the coordinator only."""
    (tmp_path / "only_here.py").write_text("def step(data, ctx):\n    return data, {'a': 1}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    (tmp_path / "only_here.py").unlink()
    with raises(WorkerError, "only_here"):
        run(only_here.step)


def test_workers_find_the_modules_and_the_folder_of_the_coordinator(tmp_path, monkeypatch):
    """What was put on `sys.path` after Ray had started, what is no text among it, and files by their relative path."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "number.txt").write_text("42")
    source = "def step(data, ctx):\n    return data, {'a': int(open('number.txt').read())}\n"
    (tmp_path / "modules" / "of_mine.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path / "passed_over"])
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

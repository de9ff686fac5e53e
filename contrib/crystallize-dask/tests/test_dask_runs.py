"""Runs on a cluster that is there: the result is that of a plain loop, and failures say where they were."""

from __future__ import annotations

import os
import threading
import time

import pytest

from crystallize_core import BasePlugin, Experiment, Treatment, pipeline_step
from crystallize_core.errors import CrystallizeError, HookError, NotSendableError, StepError, WorkerError
from crystallize_dask import DaskExecution


def experiment(step, *plugins, replicates=20, **more):
    return Experiment(lambda ctx: ctx["replicate"], [step], list(plugins), replicates=replicates, **more)


def squares():
    @pipeline_step()
    def square(data, ctx, *, shift=0):
        return data, {"square": data * data + shift}

    return square


def cause_of(error):
    return error.__cause__ if isinstance(error, HookError) else error


def test_the_digest_is_that_of_a_plain_loop(address):
    """Metrics of all conditions and replicates are the same bytes."""
    more = {"replicates": 200, "treatments": [Treatment("shifted", {"shift": 1})]}
    there = experiment(squares(), DaskExecution(address=address), **more).run()
    here = experiment(squares(), **more).run()
    assert there.errors == {}
    assert there.metrics.treatments["shifted"].metrics["square"] == [n * n + 1 for n in range(200)]
    assert there.digest == here.digest


def test_random_streams_are_those_of_a_plain_loop(address):
    """`ctx.rng` and the global generators are seeded in the workers."""
    seeding = pytest.importorskip("crystallize_seeding")

    def drawn():
        import random

        @pipeline_step()
        def draw(data, ctx):
            return data, {"own": float(ctx.rng.random()), "global": random.random()}

        return draw

    there = experiment(drawn(), DaskExecution(address=address), seeding.SeedPlugin(seed=7)).run()
    here = experiment(drawn(), seeding.SeedPlugin(seed=7)).run()
    assert there.errors == {}
    assert there.digest == here.digest


def test_arrays_arrive_as_they_were(address):
    """Values of other libraries are metrics like all others."""
    np = pytest.importorskip("numpy")

    @pipeline_step()
    def spread(data, ctx):
        return data, {"array": np.arange(1000.0) + data, "mean": np.float64(data)}

    there, here = experiment(spread, DaskExecution(address=address)).run(), experiment(spread).run()
    assert there.errors == {}
    assert (there.metrics.baseline.metrics["array"][3] == np.arange(1000.0) + 3).all()
    assert there.digest == here.digest


def test_async_steps_run_in_workers(address):
    """A step may be `async def` as everywhere."""
    import asyncio

    @pipeline_step()
    async def later(data, ctx):
        await asyncio.sleep(0)
        return data, {"value": data}

    result = experiment(later, DaskExecution(address=address)).run()
    assert result.metrics.baseline.metrics == {"value": list(range(20))}


def test_large_outcomes_arrive(address):
    """Fifty megabytes for each replicate."""

    @pipeline_step()
    def large(data, ctx):
        return data, {"bytes": bytes([data]) * 50_000_000}

    result = experiment(large, DaskExecution(address=address), replicates=4).run()
    assert result.errors == {}
    assert [(len(one), one[0]) for one in result.metrics.baseline.metrics["bytes"]] == [
        (50_000_000, n) for n in range(4)
    ]


def test_a_large_experiment_is_sent_without_a_word(address, capfd):
    """Dask warns about large graphs; the experiment is not sent as one."""
    ballast = os.urandom(20_000_000)

    @pipeline_step()
    def heavy(data, ctx):
        return data, {"length": len(ballast)}

    result = experiment(heavy, DaskExecution(address=address), replicates=6).run()
    assert result.metrics.baseline.metrics == {"length": [20_000_000] * 6}
    assert capfd.readouterr() == ("", "")


def test_a_failing_cell_has_its_address_and_its_cause(address):
    """As next door; the others have their outcomes."""

    @pipeline_step()
    def fails_in_seven(data, ctx):
        if data == 7:
            raise LookupError("no seven")
        return data, {"value": data}

    result = experiment(fails_in_seven, DaskExecution(address=address)).run()
    assert result.metrics.baseline.metrics == {"value": [n for n in range(20) if n != 7]}
    (error,) = result.errors.values()
    assert isinstance(error, StepError)
    assert (error.replicate, error.condition, error.step) == (7, "baseline", "fails_in_seven")
    assert (type(error.__cause__), error.__cause__.args) == (LookupError, ("no seven",))


def test_an_outcome_that_cannot_be_sent_fails_its_own_replicate(address):
    """With what kept it."""

    class Wired:
        def __deepcopy__(self, memo):
            return self

        def __reduce__(self):
            raise TypeError("has a wire")

    @pipeline_step()
    def wires(data, ctx):
        return data, {"value": Wired() if data == 3 else data}

    result = experiment(wires, DaskExecution(address=address)).run()
    assert result.metrics.baseline.metrics == {"value": [n for n in range(20) if n != 3]}
    (error,) = result.errors.values()
    assert isinstance(error, WorkerError)
    assert error.replicate == 3
    assert "its outcome cannot be sent from its worker" in str(error)
    assert "has a wire" in str(error)


def test_an_experiment_that_cannot_be_sent_is_refused_before_anything_is_started():
    """Nothing answers at this address, and nobody asks."""
    lock = threading.Lock()

    @pipeline_step()
    def locked(data, ctx):
        with lock:
            return data

    with pytest.raises(CrystallizeError) as caught:
        experiment(locked, DaskExecution(address="127.0.0.1:1")).run()
    assert isinstance(cause_of(caught.value), NotSendableError)
    assert "locked" in str(caught.value)


def test_without_pending_replicates_nothing_is_started():
    """As above."""

    class Nothing:
        pending = ()
        stopped = False

    assert DaskExecution(address="127.0.0.1:1").run_experiment_loop(None, Nothing()) == []


def test_what_an_essential_plugin_raises_in_a_worker_ends_the_run(address):
    """As it is, with its address."""

    class Broken(BasePlugin):
        plugin_name = "broken"

        def before_replicate(self, experiment, ctx):
            if ctx["replicate"] == 5:
                raise RuntimeError("out of order")

    with pytest.raises(HookError) as caught:
        result = experiment(squares(), DaskExecution(address=address), Broken()).run()
        for error in result.errors.values():
            raise error
    assert "out of order" in str(caught.value)


def test_events_and_retries_of_workers_arrive(address):
    """Plugins of a worker are attached there, and what they emit is heard here."""
    retries = pytest.importorskip("crystallize_retries")

    class Ears(BasePlugin):
        plugin_name = "ears"
        heard = []

        def on_event(self, experiment, event):
            if event.name == "said":
                self.heard.append((event.replicate, event.payload["times"]))

        def __reduce__(self):
            return Ears, ()

    times = {}

    @pipeline_step(retry=2)
    def second_time_lucky(data, ctx):
        times[data] = times.get(data, 0) + 1
        if times[data] == 1:
            raise OSError("not yet")
        ctx.emit("said", times=times[data])
        return data, {"value": data}

    result = experiment(
        second_time_lucky, DaskExecution(address=address), retries.RetryPlugin(), Ears(), replicates=6
    ).run()
    assert result.errors == {}
    assert result.metrics.baseline.metrics == {"value": list(range(6))}
    assert sorted(Ears.heard) == [(number, 2) for number in range(6)]


def test_it_says_how_far_it_is(address, capsys):
    """On stderr, if that is wanted."""
    assert experiment(squares(), DaskExecution(address=address, progress=True), replicates=3).run().errors == {}
    assert capsys.readouterr().err.splitlines()[-1].startswith("3 of 3 replicates, ")


def test_errors_are_pickled_as_before_dask_was_imported(address):
    """Dask brings a library that replaces how exceptions are pickled; with it, a cause that cannot be is the end of all."""
    import pickle

    class Stuck(Exception):
        def __reduce__(self):
            raise TypeError("has a wire")

    assert experiment(squares(), DaskExecution(address=address), replicates=1).run().errors == {}
    error = StepError("it failed", step="one")
    error.__cause__ = Stuck("in the mud")
    found = pickle.loads(pickle.dumps(error))
    assert (str(found), found.__cause__.text) == (str(error), "in the mud")


def test_a_run_ends_when_enough_is_known(address, tmp_path):
    """No further replicate is started; on the cluster nothing of the run is left."""

    class Enough(BasePlugin):
        plugin_name = "enough"

        def should_stop(self, experiment, outcomes):
            return len(outcomes) >= 10

    @pipeline_step()
    def counted(data, ctx):
        import time

        time.sleep(0.02)
        (tmp_path / str(data)).touch()
        return data, {"value": data}

    result = experiment(counted, DaskExecution(address=address), Enough(), replicates=10_000).run()
    assert result.metrics.baseline.metrics == {"value": list(range(10))}
    assert len(list(tmp_path.iterdir())) < 500


def test_steps_are_torn_down_in_workers_that_go_on(address, tmp_path):
    """Once per worker that ran any of them, before the run is over."""
    from crystallize_core import PipelineStep

    class Device(PipelineStep):
        def setup(self, ctx):
            (tmp_path / f"setup-{os.getpid()}").touch()

        def __call__(self, data, ctx):
            return data, {"value": data}

        def teardown(self, ctx):
            (tmp_path / f"teardown-{os.getpid()}").touch()

        @property
        def params(self):
            return {}

    result = experiment(Device(), DaskExecution(address=address)).run()
    assert result.errors == {}
    names = {path.name for path in tmp_path.iterdir()}
    begun = {name.removeprefix("setup-") for name in names if name.startswith("setup-")}
    assert begun
    assert {name.removeprefix("teardown-") for name in names if name.startswith("teardown-")} == begun


def test_two_experiments_share_a_cluster(address):
    """At one time, from two threads; each has its own result."""
    results = {}

    def one(shift):
        @pipeline_step()
        def shifted(data, ctx):
            return data, {"value": data + shift}

        results[shift] = experiment(shifted, DaskExecution(address=address), replicates=300).run()

    threads = [threading.Thread(target=one, args=(shift,)) for shift in (1000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert {shift: result.metrics.baseline.metrics["value"] for shift, result in results.items()} == {
        shift: [n + shift for n in range(300)] for shift in (1000, 2000)
    }


def test_threads_of_one_worker_take_turns(bare, worker_at):
    """What belongs to the process as a whole is that of one replicate, also beside another run."""
    import builtins

    address = bare.scheduler_address
    worker_at(address, "--nthreads", "4")
    bare.wait_for_workers(1)
    results = {}

    def one(name):
        @pipeline_step()
        def alone(data, ctx):
            builtins.running = getattr(builtins, "running", 0) + 1
            time.sleep(0.005)
            together = builtins.running
            builtins.running -= 1
            return data, {"together": together}

        results[name] = experiment(alone, DaskExecution(address), replicates=60).run()

    threads = [threading.Thread(target=one, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {name: result.metrics.baseline.metrics for name, result in results.items()} == {
        name: {"together": [1] * 60} for name in "ab"
    }


def test_a_step_may_use_the_cluster_itself(address):
    """Although chunks that wait for their turn are at the same worker, which has a single thread."""

    @pipeline_step()
    def nested(data, ctx):
        from distributed import worker_client

        with worker_client() as client:
            return data, {"value": client.submit(abs, -data, pure=False).result(timeout=20)}

    result = experiment(nested, DaskExecution(address), replicates=40).run()
    assert result.metrics.baseline.metrics == {"value": list(range(40))}


def test_the_cluster_goes_on_after_a_run(address, cluster):
    """What this executor did not start it does not end, and nothing of the run is kept there."""
    result = experiment(squares(), DaskExecution(address=address)).run()
    assert result.errors == {}
    assert len(cluster.scheduler.workers) == 2
    until = time.monotonic() + 10
    while cluster.scheduler.tasks and time.monotonic() < until:
        time.sleep(0.02)
    assert (dict(cluster.scheduler.tasks), cluster.scheduler.extensions["variables"].variables) == ({}, {})

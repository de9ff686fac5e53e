"""Workers that die, leave or join while a run goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import pytest

from crystallize_core import BasePlugin, Experiment, pipeline_step
from crystallize_core.errors import CrystallizeError, HookError, WorkerError
from crystallize_dask import DaskExecution


def experiment(step, *plugins, replicates=20):
    return Experiment(lambda ctx: ctx["replicate"], [step], list(plugins), replicates=replicates)


@contextlib.contextmanager
def raises(text):
    """The run fails with a WorkerError, on its own or as the cause of one that adds the address of the plugin."""
    with pytest.raises(CrystallizeError) as caught:
        yield
    error = caught.value.__cause__ if isinstance(caught.value, HookError) else caught.value
    assert isinstance(error, WorkerError)
    assert text in str(error)


def after_five(act):
    """A plugin that does something in the coordinator once five replicates are done."""

    class AfterFive(BasePlugin):
        plugin_name = "after-five"

        def __init__(self, act):
            self.act = act
            self.count = 0

        def __reduce__(self):
            return AfterFive, (None,)

        def replicate_done(self, experiment, replicate, outcome):
            self.count += 1
            if self.count == 5:
                self.act()

    return AfterFive(act)


def slow():
    @pipeline_step()
    def waits(data, ctx):
        time.sleep(0.05)
        return data, {"value": data, "pid": os.getpid()}

    return waits


def test_a_replicate_that_kills_its_worker_fails_alone(address):
    """The others have their outcomes; the error says how often."""
    coordinator = os.getpid()

    @pipeline_step()
    def deadly(data, ctx):
        if data == 7 and os.getpid() != coordinator:
            os._exit(3)
        return data, {"value": data}

    result = experiment(deadly, DaskExecution(address=address, max_deaths=2)).run()
    assert result.metrics.baseline.metrics == {"value": [n for n in range(20) if n != 7]}
    (error,) = result.errors.values()
    assert isinstance(error, WorkerError)
    assert (error.replicate, error.condition) == (7, "baseline")
    assert "its Dask worker died 2 times while it ran alone in it" in str(error)


@pytest.mark.parametrize("own", [True, False], ids=["own cluster", "cluster that is there"])
def test_workers_that_are_killed_are_survived(own, request, tmp_path):
    """Several times in a run; nothing is lost, and the digest is that of a quiet run."""
    coordinator = os.getpid()
    executor = DaskExecution(max_workers=2) if own else DaskExecution(address=request.getfixturevalue("address"))

    @pipeline_step()
    def unlucky(data, ctx):
        if os.getpid() != coordinator and data % 10 == 3 and not (tmp_path / f"{data}").exists():
            (tmp_path / f"{data}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return data, {"value": data}

    healed, quiet = experiment(unlucky, executor, replicates=30).run(), experiment(unlucky, replicates=30).run()
    assert healed.errors == {}
    assert healed.digest == quiet.digest
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [3, 13, 23]


def test_who_stood_in_line_at_a_worker_that_died_is_not_to_blame(address):
    """A run beside one whose replicate kills every worker loses nothing, whatever its own limit is."""
    coordinator = os.getpid()

    def deadly():
        @pipeline_step()
        def kills(data, ctx):
            if data == 0 and os.getpid() != coordinator:
                time.sleep(0.3)
                os._exit(3)
            return data, {"value": data}

        return kills

    def harmless():
        @pipeline_step()
        def waits(data, ctx):
            time.sleep(0.02)
            return data, {"value": data}

        return waits

    results = {}

    def run(name, step):
        results[name] = experiment(step, DaskExecution(address=address, max_deaths=2), replicates=60).run()

    threads = [threading.Thread(target=run, args=one) for one in [("deadly", deadly()), ("harmless", harmless())]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert results["harmless"].errors == {}
    assert [error.replicate for error in results["deadly"].errors.values()] == [0]


def test_a_worker_that_joins_late_gets_work(bare, worker_at):
    """As soon as it is there."""
    address = bare.scheduler_address
    worker_at(address)
    joining = after_five(lambda: worker_at(address))
    result = experiment(slow(), DaskExecution(address, connect_timeout=60), joining, replicates=300).run()
    assert result.errors == {}
    assert len(set(result.metrics.baseline.metrics["pid"])) == 2


def test_a_worker_that_leaves_in_good_order_is_no_death(bare, worker_at):
    """Its replicates run elsewhere, even with a limit of one death."""
    address = bare.scheduler_address

    def retire_one():
        from distributed import Client

        with Client(address, set_as_default=False) as client:
            client.retire_workers(list(client.scheduler_info(n_workers=-1)["workers"])[:1])

    worker_at(address)
    worker_at(address)
    bare.wait_for_workers(2)
    result = experiment(slow(), DaskExecution(address, max_deaths=1), after_five(retire_one), replicates=60).run()
    assert result.metrics.baseline.metrics["value"] == list(range(60))


def test_a_worker_that_is_busy_with_other_things_holds_up_nobody(address, tmp_path):
    """What it does not come to is taken from it and run elsewhere."""
    from distributed import Client

    flag = tmp_path / "flag"

    def occupied():
        while not flag.exists():
            time.sleep(0.02)

    with Client(address, set_as_default=False) as client:
        first = next(iter(client.scheduler_info(n_workers=-1)["workers"]))
        occupation = client.submit(occupied, workers=[first], pure=False)
        result = experiment(slow(), DaskExecution(address), replicates=12).run()
        assert not occupation.done()
        flag.touch()
        occupation.result(timeout=30)
    assert result.metrics.baseline.metrics["value"] == list(range(12))


def test_a_worker_without_the_package_is_named(bare, worker_at, tmp_path):
    """With what it lacks and how to install it."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['crystallize_dask'] = None")
    address = bare.scheduler_address
    worker_at(address, "--name", "lacking", PYTHONPATH=str(tmp_path))
    with raises("the Dask worker 'lacking' at tcp://127.0.0.1:"):
        experiment(slow(), DaskExecution(address, connect_timeout=60)).run()
    assert len(bare.scheduler.workers) == 1


def test_no_scheduler_is_an_error_that_says_what_to_do():
    """Within the time that was given for it."""
    began = time.monotonic()
    with raises("no Dask scheduler answers at tcp://127.0.0.1:1 (waited up to 1 s)"):
        experiment(
            pipeline_step()(lambda data, ctx: data), DaskExecution("dask://127.0.0.1:1", connect_timeout=1)
        ).run()
    assert time.monotonic() - began < 5


def test_a_scheduler_without_workers_is_an_error_that_says_what_to_do(bare):
    """As above."""
    address = bare.scheduler_address
    with raises(
        f"the Dask scheduler at {address} has no workers (waited 0.5 s)\n  start some with `dask worker {address}`"
    ):
        experiment(pipeline_step()(lambda data, ctx: data), DaskExecution(address, connect_timeout=0.5)).run()


def test_a_scheduler_that_ends_ends_the_run(bare, worker_at):
    """Nobody waits for outcomes that cannot come."""
    address = bare.scheduler_address
    worker_at(address)
    with raises(f"the connection to the Dask scheduler at {address} is lost"):
        experiment(slow(), DaskExecution(address, connect_timeout=60), after_five(bare.close), replicates=100).run()

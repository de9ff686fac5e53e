"""The step option `resources` in runs: who runs beside whom, what is refused, and what the record says."""

from __future__ import annotations

import _thread
import asyncio
import os
import signal
import threading
import time
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest

from crystallize_core import (
    BasePlugin,
    Experiment,
    Pipeline,
    ResourceRequest,
    RunInterrupted,
    StepOptionError,
    Treatment,
    pipeline_step,
)
from crystallize_executors import (
    AsyncExecution,
    ProcessExecution,
    ResourcesPlugin,
    ThreadExecution,
    admission,
)
from crystallize_executors.admission import process_ledger
from crystallize_executors.environment import THREADS
from crystallize_executors.folder_ledger import can_lock, folder_ledger
from crystallize_executors.granting import Grant
from crystallize_executors.turns import Demand, Room

needs_locks = pytest.mark.skipif(not can_lock(), reason="this system has no such locks")

ROOM = Room(2000)
PLUGIN = ResourcesPlugin(available={"cpu": 2, "memory": "1Gi", "storage": "1Gi", "gpu": 2})


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    """No other plugin takes part, no real device counts, and nothing is written or left beside the tests."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-one,GPU-two")
    keep_temporary_files_in(tmp_path, monkeypatch)
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(admission, "_ledgers", {})  # which devices were used before is no matter
    yield
    assert waiting_here() == 0
    assert list(tmp_path.glob("crystallize-resources-*")) == []


def keep_temporary_files_in(folder, monkeypatch):
    """Those of the plugin; multiprocessing has some of its own until the very end."""
    monkeypatch.setattr("crystallize_executors.resources.tempfile", SimpleNamespace(gettempdir=lambda: str(folder)))


def environment():
    """The variables that a step may find changed."""
    return {name: os.environ.get(name) for name in (*THREADS, "CUDA_VISIBLE_DEVICES")}


def waiting_here():
    """How many tickets there are in the queue of this process."""
    with process_ledger().opened() as tickets:
        return len(tickets)


def somebody_waits():
    """Whether one of two was admitted, and the other one was not."""
    with process_ledger().opened() as tickets:
        return [ticket.devices is None for ticket in tickets] == [False, True]


def until(condition, seconds=60.0):
    """Look again and again until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.001)


def run(steps, *plugins, replicates=1, plugin=PLUGIN, **more):
    """The result of an experiment with these steps; the data of the first is the number of the replicate.

    Whatever happens in it, the environment is afterwards what it was.
    """
    steps = steps if isinstance(steps, list) else [steps]
    plugins = [*plugins, *([] if plugin is None else [plugin])]
    before = environment()
    try:
        return Experiment(
            lambda ctx: ctx["replicate"], steps, plugins, replicates=replicates, name="trial", **more
        ).run()
    finally:
        assert environment() == before


def step(**resources):
    return pipeline_step(resources=resources)


def described(result):
    return result.run.described["resources"]


# What a step is granted -------------------------------------------------------------------------------


def granted(*plugins, plugin=PLUGIN, **resources):
    """What a step that asks for this sees, in `ctx.resources` and in its environment."""
    seen = []

    @step(**resources)
    def look(data, ctx):
        seen.append(
            (ctx.resources, {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")})
        )
        return data

    result = run(look, *plugins, plugin=plugin)
    assert result.errors == {}
    return seen[0]


def test_a_step_sees_what_it_was_granted():
    """And libraries see it in the environment, where the step has the process to itself."""
    grant, environment = granted(cpu="1500m", memory="1Mi", storage=5, gpu=1)
    assert grant == Grant(1.5, 2**20, 5, ("GPU-one",))
    assert environment == {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "GPU-one"}


def test_what_was_not_asked_for_is_left_alone():
    assert granted(memory=5) == (
        Grant(memory=5),
        {"OMP_NUM_THREADS": None, "CUDA_VISIBLE_DEVICES": "GPU-one,GPU-two"},
    )


@pytest.mark.parametrize("executor", [ThreadExecution(max_workers=2), AsyncExecution()], ids=repr)
def test_beside_others_the_environment_is_left_alone(executor):
    """It belongs to the process, and others would read it."""
    assert granted(executor, cpu=1, gpu=1) == (
        Grant(cpu=1.0, gpus=("GPU-one",)),
        {"OMP_NUM_THREADS": None, "CUDA_VISIBLE_DEVICES": "GPU-one,GPU-two"},
    )


def test_a_step_that_does_not_ask_was_granted_nothing():
    """Wherever it stands, and it is told why."""
    seen = []

    def look(data, ctx):
        seen.append(getattr(ctx, "resources", None))
        return data

    def must(data, ctx):
        return ctx.resources

    result = run([look, step(cpu=1)(look), look, must])
    assert seen == [None, Grant(cpu=1.0), None]
    (error,) = result.errors.values()
    assert str(error.__cause__) == "step 'must' has no ctx.resources, because it asks for none; give it resources={...}"


def test_steps_of_one_name_are_told_apart():
    seen = []

    def look(data, ctx):
        seen.append(ctx.resources.cpu)
        return data

    result = run([step(cpu=1)(look), step(cpu=2)(look)])
    assert seen == [1.0, 2.0]
    assert [used["calls"] for used in described(result)["used"].values()] == [1, 1]
    assert [asked["cpu"] for asked in described(result)["requested"].values()] == [1.0, 2.0]


def test_a_thread_that_a_step_starts_sees_the_same():
    seen = []

    @step(gpu=2)
    def look(data, ctx):
        thread = threading.Thread(target=lambda: seen.append(ctx.resources.gpus))
        thread.start()
        thread.join()
        return data

    run(look)
    assert seen == [("GPU-one", "GPU-two")]


def test_the_environment_is_put_back_after_a_failure():
    """All that `run` does here looks at it."""

    @step(cpu=1, gpu=1)
    def fail(data):
        raise ValueError(os.environ["CUDA_VISIBLE_DEVICES"])

    (error,) = run(fail).errors.values()
    assert str(error.__cause__) == "GPU-one"


def test_a_pipeline_without_an_experiment_is_admitted_too(monkeypatch):
    """Its plugins are those of the project."""
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")

    @step(cpu="500m")
    def look(data, ctx):
        return ctx.resources.cpu

    assert Pipeline([look, look]).run(1) == 0.5


# Who runs beside whom ---------------------------------------------------------------------------------


def test_threads_that_want_everything_run_one_after_the_other():
    """While the first one runs, the other is seen to wait."""
    alone, together = threading.Lock(), []

    @step(cpu=2)
    def everything(data):
        assert alone.acquire(blocking=False)
        if not together:
            until(somebody_waits)
        together.append(data)
        alone.release()
        return data

    result = run(everything, ThreadExecution(max_workers=2), replicates=2)
    assert result.errors == {}
    assert sorted(together) == [0, 1]
    assert described(result)["used"]["everything"]["waited_seconds"]["max"] > 0


def test_threads_that_want_half_run_side_by_side():
    """Otherwise nobody would come to the barrier."""
    barrier, devices = threading.Barrier(2, timeout=60), []

    @step(cpu=1, gpu=1)
    def half(data, ctx):
        devices.append(ctx.resources.gpus)
        barrier.wait()
        return data

    assert run(half, ThreadExecution(max_workers=2), replicates=2).errors == {}
    assert sorted(devices) == [("GPU-one",), ("GPU-two",)]


def test_tasks_that_want_everything_run_one_after_the_other():
    """The one that runs can see the other wait, because that one does not stop the loop."""
    inside, done = [0], []

    @step(cpu=2)
    async def everything(data):
        inside[0] += 1
        assert inside[0] == 1
        while not done and not somebody_waits():  # noqa: ASYNC110 - only the queue knows
            await asyncio.sleep(0)
        inside[0] -= 1
        done.append(data)
        return data

    assert run(everything, AsyncExecution(max_workers=2), replicates=2).errors == {}
    assert sorted(done) == [0, 1]


def test_a_plain_step_on_a_loop_does_not_wait_for_a_task_of_that_loop():
    """It would stop the loop, and with it what it waits for."""
    ran, both = [], []

    @step(cpu=2)
    def plain(data):
        ran.append(data)
        return data

    @step(cpu=2)
    async def hold(data):
        both.append(data)
        while len(ran) < 2:  # noqa: ASYNC110 - a plain step cannot set an event of the loop
            await asyncio.sleep(0)
        return data

    assert run([plain, hold], AsyncExecution(max_workers=2), replicates=2).errors == {}
    assert (sorted(ran), sorted(both)) == ([0, 1], [0, 1])


def test_a_cancelled_task_leaves_the_queue():
    """The fixture of this file looks whether somebody is left in it."""

    @step(cpu=2)
    async def never(data):
        raise AssertionError

    async def main():
        ledger = process_ledger()
        ticket = ledger.ticket(Demand(2000))
        await ledger.await_turn(ticket, ROOM)
        experiment = Experiment(lambda ctx: 1, [never], [PLUGIN], replicates=1)
        task = asyncio.ensure_future(experiment.arun())
        while not somebody_waits():  # noqa: ASYNC110 - only the queue knows
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ledger.leave(ticket)

    asyncio.run(main())


def test_ctrl_c_is_heard_while_a_step_waits():
    """And the step leaves the queue."""
    ledger, held, over = process_ledger(), threading.Event(), threading.Event()

    def hold():
        ticket = ledger.ticket(Demand(2000))
        ledger.wait(ticket, ROOM)
        held.set()
        until(somebody_waits)
        _thread.interrupt_main()
        over.wait(60)
        ledger.leave(ticket)

    @step(cpu=2)
    def never(data):
        raise AssertionError

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    with pytest.raises(RunInterrupted):
        run(never)
    assert waiting_here() == 1
    over.set()
    thread.join(60)


def test_a_step_inside_a_step_shares_what_that_one_was_granted():
    """It would wait for ever for what the one around it holds; it gets no more than that."""
    seen = []

    @step(cpu=2, gpu=1)
    def inner(data, ctx):
        seen.append((ctx.resources, os.environ["OMP_NUM_THREADS"]))
        return data

    @step(cpu=1, gpu=2)
    def outer(data, ctx):
        inside = run(inner, replicates=2)
        assert inside.errors == {}
        seen.append((ctx.resources, os.environ["OMP_NUM_THREADS"]))
        return data

    assert run(outer).errors == {}
    assert seen == [
        (Grant(cpu=1.0, gpus=("GPU-one",)), "1"),
        (Grant(cpu=1.0, gpus=("GPU-one",)), "1"),
        (Grant(cpu=1.0, gpus=("GPU-one", "GPU-two")), "1"),
    ]


@needs_locks
def test_worker_processes_inside_a_step_share_what_that_one_was_granted():
    @step(cpu=2, gpu=2)
    def inner(data, ctx):
        return data, {"cpu": ctx.resources.cpu, "gpus": len(ctx.resources.gpus)}

    found = []

    @step(cpu=1, gpu=1)
    def outer(data):
        inside = run(inner, ProcessExecution(max_workers=2), replicates=2)
        found.append((inside.errors, inside.metrics.baseline.metrics))
        return data

    assert run(outer).errors == {}
    assert found == [({}, {"cpu": [1.0, 1.0], "gpus": [1, 1]})]


# Worker processes -------------------------------------------------------------------------------------


def sent_along():
    """What steps need in a worker, which cannot import this file: local functions are sent by value."""
    clock, queue_in = time, folder_ledger

    def wait_for(condition):
        deadline = clock.monotonic() + 60
        while not condition():
            assert clock.monotonic() < deadline, "it never came to that"
            clock.sleep(0.001)

    def other_waits(ctx):
        with queue_in(Path(ctx.run.shared["resources"]["folder"])).opened() as tickets:
            return [ticket.devices is None for ticket in tickets] == [False, True]

    return wait_for, other_waits


@needs_locks
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_that_want_everything_run_one_after_the_other(method):
    """While the first one runs, the other is seen to wait; a file that exists already would be an error."""
    wait_for, other_waits = sent_along()

    @step(cpu=2)
    def everything(data, ctx):
        os.close(os.open("inside", os.O_CREAT | os.O_EXCL))
        if not Path("first").exists():
            wait_for(lambda: other_waits(ctx))
            Path("first").touch()
        Path("inside").unlink()
        return data, {"threads": int(os.environ["OMP_NUM_THREADS"]), "process": os.getpid()}

    result = run(everything, ProcessExecution(max_workers=2, start_method=method), replicates=2)
    assert result.errors == {}
    assert result.metrics.baseline.metrics["threads"] == [2, 2]
    assert len(set(result.metrics.baseline.metrics["process"])) == 2
    assert described(result)["shared_by"] == "machine"
    assert described(result)["used"]["everything"]["calls"] == 2


@needs_locks
def test_processes_that_want_half_run_side_by_side():
    """Each waits for the file of the other, and has a device of its own."""
    wait_for, _ = sent_along()

    @step(cpu=1, gpu=1)
    def half(data, ctx):
        Path(f"here-{data}").touch()
        wait_for(lambda: Path(f"here-{1 - data}").exists())
        return data, {
            "device": ctx.resources.gpus == ("GPU-one",),
            "same": os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(ctx.resources.gpus),
        }

    result = run(half, ProcessExecution(max_workers=2), replicates=2)
    assert result.errors == {}
    assert sorted(result.metrics.baseline.metrics["device"]) == [False, True]
    assert result.metrics.baseline.metrics["same"] == [True, True]


@needs_locks
def test_the_next_is_admitted_when_a_process_is_killed_that_holds_everything():
    """The other one waits for it at that moment."""
    wait_for, other_waits = sent_along()

    @step(cpu=2)
    def everything(data, ctx):
        if not Path("killed").exists():
            wait_for(lambda: other_waits(ctx))
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return data, {"value": data}

    result = run(everything, ProcessExecution(max_workers=2), replicates=4)
    assert Path("killed").exists()
    assert result.errors == {}
    assert result.metrics.baseline.metrics["value"] == [0, 1, 2, 3]


def test_without_locks_each_process_admits_for_itself_and_the_record_says_so(monkeypatch):
    monkeypatch.setattr("crystallize_executors.resources.can_lock", lambda: False)

    @step(cpu=2)
    def everything(data):
        return data, {"value": data}

    result = run(everything, ProcessExecution(max_workers=2), replicates=2)
    assert result.errors == {}
    assert described(result)["shared_by"] == "process"


def test_a_folder_for_temporary_files_that_is_full_or_locked_is_no_obstacle(monkeypatch, tmp_path):
    """Each process admits for itself, as where there are no locks."""
    keep_temporary_files_in(tmp_path / "not" / "there", monkeypatch)

    @step(cpu=2)
    def everything(data):
        return data

    result = run(everything, ProcessExecution(max_workers=1), replicates=1)
    assert result.errors == {}
    assert described(result)["shared_by"] == "process"


# What is refused --------------------------------------------------------------------------------------


def refused(plugin=PLUGIN, executor=None, **resources):
    """The message for a step that asks for this; nothing has run."""
    ran = []

    @step(**resources)
    def work(data):
        ran.append(data)
        return data

    def first(data):
        ran.append(data)
        return data

    with pytest.raises(StepOptionError) as caught:
        run([first, work], *([] if executor is None else [executor]), plugin=plugin)
    assert ran == []
    return caught.value


@pytest.mark.parametrize("executor", [None, ThreadExecution(), ProcessExecution(max_workers=1)], ids=repr)
def test_more_than_the_machine_has_is_refused_before_anything_runs(executor):
    error = refused(executor=executor, cpu=64, memory="2Gi", gpu=3)
    assert error.message == (
        "step 'work' asks for 64 cores, 2 GiB of memory, 3 GPUs, and that is more than this machine has:\n"
        "  it asks for 64 cores, there are 2\n"
        "  it asks for 2 GiB of memory, there are 1 GiB\n"
        "  it asks for 3 GPUs, there are: a GPU 'GPU-one', a GPU 'GPU-two'\n"
        "  ask for less, or let it run with what there is by ResourcesPlugin(oversubscribe=True)"
    )
    assert error.address == {"experiment": "trial", "step": "work", "plugin": "resources"}


def test_the_real_machine_is_looked_at():
    """It has less than this."""
    message = str(refused(plugin=ResourcesPlugin(), cpu=10**6, memory="1000P"))
    assert "it asks for 1e+06 cores, there are " in message
    assert "of memory, there are " in message


def test_oversubscribed_it_runs_with_what_there_is():
    plugin = ResourcesPlugin(oversubscribe=True, available=PLUGIN.available)
    grant, environment = granted(plugin=plugin, cpu=64, memory="2Gi", gpu=3)
    assert grant == Grant(2.0, 2**30, None, ("GPU-one", "GPU-two"))
    assert environment == {"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "GPU-one,GPU-two"}


def test_oversubscribed_it_runs_without_a_device_where_there_is_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    grant, environment = granted(plugin=ResourcesPlugin(oversubscribe=True), gpu=1)
    assert grant == Grant()
    assert environment["CUDA_VISIBLE_DEVICES"] == "-1"


def test_an_option_that_cannot_be_read_is_refused_with_everything_that_is_wrong():
    with pytest.raises(StepOptionError) as caught:
        run(step(cpu=-1, memry="1Gi")(lambda data: data))
    assert str(caught.value).startswith(
        "experiment 'trial':\n"
        "  step '<lambda>': option 'resources' of plugin 'resources': resources: 2 problems\n"
        "  resources has no key 'memry'; did you mean 'memory'?\n"
        '  cpu must be a number of cores of at least 0, such as 4, 0.5, "4" or "500m"; found -1, found '
    )


@pytest.mark.parametrize("value", [None, {}, ResourceRequest(), {"gpu": 0}, {"affinity": "zone=eu"}])
def test_a_step_may_ask_for_nothing(value):
    """None is as if the option was not there."""

    @pipeline_step(resources=value)
    def work(data):
        return data, {"value": data}

    result = run(work)
    assert result.metrics.baseline.metrics == {"value": [0]}
    assert ("resources" in result.run.described) == (value is not None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"oversubscribe": 1}, "oversubscribe must be True or False; found 1"),
        ({"record": "some"}, "record must be 'requested' or 'all' or 'none'; found 'some'"),
        ({"available": 4}, "available: resources must be a mapping such as"),
        ({"available": {"cpus": 4}}, "available: resources: resources has no key 'cpus'; did you mean 'cpu'?"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError) as caught:
        ResourcesPlugin(**options)
    assert str(caught.value.args[0] if caught.value.args else caught.value).startswith(message)


# The record -------------------------------------------------------------------------------------------


def test_the_record_says_what_was_asked_for_and_what_was_used():
    @step(cpu=1, memory="1Mi")
    def work(data):
        return sum(range(1000))

    result = run([work, lambda data: data], replicates=3, treatments=[Treatment("other", {"x": 1})])
    found = described(result)
    used = found.pop("used")
    assert found == {
        "shared_by": "process",
        "available": {"cpu": 2.0, "memory": 2**30, "storage": 2**30, "gpus": []},
        "requested": {"work": {"cpu": 1.0, "memory": 2**20}},
    }
    assert list(used) == ["work"]
    assert set(used["work"]) == {"calls", "cpu_seconds", "peak_memory", "waited_seconds"}
    assert used["work"]["calls"] == 6
    assert 0 <= used["work"]["cpu_seconds"]["max"] <= used["work"]["cpu_seconds"]["total"]
    assert 0 <= used["work"]["waited_seconds"]["max"] <= used["work"]["waited_seconds"]["total"]
    assert type(result).from_json(result.to_json(indent=None)).run.described == result.run.described


@pytest.mark.parametrize(("record", "steps"), [("requested", ["work"]), ("all", ["work", "other"]), ("none", [])])
def test_whose_use_is_recorded_is_an_option(record, steps):
    @step(cpu=1)
    def work(data):
        return data

    def other(data):
        return data

    result = run([work, other], plugin=ResourcesPlugin(record=record))
    assert list(described(result)["used"]) == steps


def test_a_run_in_which_nobody_asks_is_not_mentioned():
    assert run(lambda data: data).run.described == {}


def test_a_failed_step_has_no_record():
    """It leaves no trace, and an event would be one."""

    @step(cpu=1)
    def sometimes(data):
        return 1 // data

    result = run(sometimes, replicates=3)
    assert len(result.errors) == 1
    assert described(result)["used"]["sometimes"]["calls"] == 2


def test_the_digest_does_not_depend_on_what_was_used():
    """Neither on measuring, nor on the machine, nor on who runs it."""

    @step(cpu=1)
    def work(data):
        return data, {"value": data}

    plugins = [PLUGIN, ResourcesPlugin(record="none"), ResourcesPlugin(record="all", oversubscribe=True)]
    digests = {run(work, plugin=plugin, replicates=3).digest for plugin in plugins}
    digests |= {run(work, executor, replicates=3).digest for executor in (ThreadExecution(2), ProcessExecution(2))}
    assert len(digests) == 1
    assert digests == {run(lambda data: (data, {"value": data}), plugin=None, replicates=3).digest}


def test_outputs_from_the_cache_are_not_counted(monkeypatch, tmp_path):
    """They bring the event of the cell along that made them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))

    @pipeline_step(cacheable=True, resources={"cpu": 1})
    def work(data, ctx):
        return ctx.resources.cpu, {"value": 1.0}

    def runs():
        experiment = Experiment(lambda ctx: "same", [work], [PLUGIN], replicates=3)
        result = experiment.run()
        assert result.metrics.baseline.metrics == {"value": [1.0, 1.0, 1.0]}
        return {name: used["calls"] for name, used in described(result)["used"].items()}

    assert runs() == {"work": 1}
    assert runs() == {}


# The policy -------------------------------------------------------------------------------------------


def test_a_step_that_asks_for_nothing_costs_nothing():
    assert PLUGIN.wrap_step(None, pipeline_step()(lambda data: data)(), print) is None


def test_the_policy_says_that_it_calls_once():
    """So that nobody has to keep a copy of the data for a second attempt."""

    async def awaited(data):
        return data

    asks = pipeline_step(resources={"cpu": 1})
    assert PLUGIN.wrap_step(None, asks(lambda data: data)(), print).single_attempt is True
    assert PLUGIN.wrap_step(None, asks(awaited)(), awaited).single_attempt is True


def test_what_was_granted_is_held_over_all_attempts():
    """The policy is outside of that of retries, wherever the stack names it, so that waiting is no part of an attempt."""
    seen = []

    class Twice(BasePlugin):
        plugin_name = "retries"

        def wrap_step(self, experiment, step, call):
            def again(data, ctx):
                for _ in range(2):
                    with process_ledger().opened() as tickets:
                        seen.append([ticket.number for ticket in tickets])
                    data = call(data, ctx)
                return data

            return again

    @step(cpu=1)
    def work(data):
        return data

    assert run(work, Twice()).errors == {}
    assert len(seen) == 2
    assert seen[0] == seen[1] != []


def test_time_in_the_queue_is_no_time_of_an_attempt():
    """Else a step would fail by its timeout because others run."""
    retries = pytest.importorskip("crystallize_retries")
    ledger = process_ledger()
    limit = 0.5

    @pipeline_step(resources={"cpu": 2}, timeout=limit)
    def work(data):
        return data, {"value": data}

    held = threading.Event()

    def hold():
        ticket = ledger.ticket(Demand(2000))
        ledger.wait(ticket, ROOM)
        held.set()
        until(somebody_waits)
        threading.Event().wait(1.5 * limit)
        ledger.leave(ticket)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    result = run(work, retries.RetryPlugin())
    thread.join(60)
    assert result.metrics.baseline.metrics == {"value": [0]}


def test_another_plugin_that_provides_the_same_name_is_found_out():
    """Neither of the two would know what a step sees."""

    class Also(BasePlugin):
        plugin_name = "also"

        def before_replicate(self, experiment, ctx):
            ctx.provide("resources", lambda view: None)

    (error,) = run(step(cpu=1)(lambda data: data), Also()).errors.values()
    assert "ctx.resources is there already" in str(error)


# The plugin -------------------------------------------------------------------------------------------


def test_the_entry_point_names_this_class():
    found = [point for point in entry_points(group="crystallize.plugins") if point.name == "resources"]
    if not found:
        pytest.skip("crystallize-executors is not installed as a distribution")
    assert found[0].load() is ResourcesPlugin


def test_its_options_can_be_written_in_a_project(monkeypatch):
    """With the words of the step option."""
    if not any(point.name == "resources" for point in entry_points(group="crystallize.plugins")):
        pytest.skip("crystallize-executors is not installed as a distribution")
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")
    text = 'plugins = ["resources"]\n[options.resources]\noversubscribe = true\navailable = {cpu = 1, memory = "2Gi"}\n'
    Path("crystallize.toml").write_text(text, encoding="utf-8")
    experiment = Experiment(lambda ctx: 1, [step(cpu=64)(lambda data, ctx: ctx.resources.cpu)], replicates=1)
    plugin = experiment.get_plugin("resources")
    assert (plugin.oversubscribe, plugin.record, plugin.available) == (True, "requested", {"cpu": 1, "memory": "2Gi"})
    assert experiment.apply(data=1) == 1.0


class Cluster(BasePlugin):
    """An executor that asks a cluster for what steps want."""

    concurrency = "serial"
    allocates_resources = True

    def run_experiment_loop(self, experiment, replicate_fn):
        return [replicate_fn(number) for number in replicate_fn.pending]


def test_what_a_cluster_is_asked_for_need_not_be_on_this_machine():
    """Whether there is so much is for the executor to say."""

    @pipeline_step(resources={"cpu": 100_000})
    def wide(data, ctx):
        return data, {"cores": ctx.resources.cpu > 0}

    plugins = [ResourcesPlugin(), Cluster()]
    result = Experiment(lambda ctx: 1, [wide], plugins, replicates=2, autoload=False).run()
    assert (result.errors, result.metrics.baseline.metrics) == ({}, {"cores": [True, True]})

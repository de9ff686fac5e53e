"""Steps of a graph side by side: they overlap, and everything that comes of them is what it is in sequence."""

from __future__ import annotations

import asyncio
import contextvars
import os
import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crystallize_core import (
    BasePlugin,
    Experiment,
    HookError,
    Pipeline,
    PipelineResult,
    RunError,
    StepError,
    Treatment,
    step,
    when,
)
from crystallize_core.engine.crew import StepThreads
from crystallize_core.engine.drive import Loops, drive

SECONDS = 20.0
"""Nothing here takes so long; a test that hangs fails then."""
A_MOMENT = 0.05
"""How long a step waits for what must not happen."""


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No installed plugin takes part, and nothing is written into the checkout."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))


class Threads(BasePlugin):
    """Lets steps run in threads, and writes down what plugins are told."""

    plugin_name = "threads"
    concurrency = "thread"
    step_workers = 4

    def __init__(self, after: str | None = None) -> None:
        self.log: list[tuple[str, ...]] = []
        self._fails_after = after

    def run_experiment_loop(self, experiment, replicate_fn):
        return None

    def after_step(self, experiment, step, data, ctx):
        self.log.append(("after", step.name))
        if step.name == self._fails_after:
            raise ValueError("broken hook")

    def step_skipped(self, experiment, step, ctx, reason):
        self.log.append(("skipped", step.name))

    def on_event(self, experiment, event):
        if not event.name.startswith(("run.", "replicate.")):
            self.log.append(("event", event.name))

    def after_run(self, experiment, result):
        self.log.append(("after_run",))


class Tasks(Threads):
    """Lets steps run as tasks, and runs replicates on one loop."""

    plugin_name = "tasks"
    concurrency = "async"
    step_workers = 16

    def run_experiment_loop(self, experiment, replicate_fn):
        async def everything():
            await asyncio.gather(*(replicate_fn.arun(number) for number in replicate_fn.pending))

        asyncio.run(everything())
        return []


class ThreadsForBoth(Threads):
    """Runs replicates in threads too."""

    plugin_name = "both"

    def run_experiment_loop(self, experiment, replicate_fn):
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(replicate_fn, replicate_fn.pending))


def graph(*steps: Any) -> Pipeline:
    """A pipeline of these steps that keeps nothing on the disk."""
    return Pipeline(steps, name="p", enable_cache=False, checkpoint=False)


def named(name: str, body: Any, takes: str = "", **options: Any):
    """A step of this name that passes what it takes on to `body`."""
    scope: dict[str, Any] = {"body": body}
    exec(f"def {name}({takes}):\n    return body({takes})", scope)
    return step(cache=False, **options)(scope[name])


def waits_for(event: threading.Event) -> None:
    assert event.wait(SECONDS), "nobody came"


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What hanging steps wait for; set at the end, whatever happens."""
    event = threading.Event()
    yield event
    event.set()


def step_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("steps-")]


# They overlap -----------------------------------------------------------------------------------------


def test_independent_steps_run_at_the_same_time():
    """Each of four waits until all four are there."""
    barrier = threading.Barrier(4, timeout=SECONDS)
    result = graph(*(named(name, barrier.wait) for name in "abcd")).run(executor=Threads())
    assert result.success, result.summary()
    assert list(result.step_results) == ["a", "b", "c", "d"]
    assert sorted(result.outputs.values()) == [0, 1, 2, 3]


def test_no_more_steps_run_at_once_than_the_executor_allows():
    """Twenty steps, of which each meets some other: two at least, and never more than four."""
    lock, running, most = threading.Lock(), [0], [0]
    barrier = threading.Barrier(2, timeout=SECONDS)

    def body():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        barrier.wait()
        with lock:
            running[0] -= 1

    graph(*(named(f"s{number}", body) for number in range(20))).run(executor=Threads()).raise_for_status()
    assert 2 <= most[0] <= 4


def test_a_step_begins_when_what_it_takes_is_there():
    """Although a step that comes earlier in the plan is still at it, and is committed first."""
    done = threading.Event()
    slow = named("slow", lambda: waits_for(done))
    quick = named("quick", lambda: 1)
    taker = named("taker", lambda quick: done.set(), "quick")
    threads = Threads()
    result = graph(slow, quick, taker).run(executor=threads)
    assert result.success, result.summary()
    assert threads.log == [("after", "slow"), ("after", "quick"), ("after", "taker"), ("after_run",)]


def test_async_steps_wait_together():
    """Under `arun`, on the loop of the caller; four at a barrier."""

    async def main() -> PipelineResult:
        barrier = asyncio.Barrier(4)
        loop = asyncio.get_running_loop()

        def waiting(name):
            async def body():
                assert asyncio.get_running_loop() is loop
                async with asyncio.timeout(SECONDS):
                    await barrier.wait()
                return name

            return step(cache=False, name=name)(body)

        return await graph(*map(waiting, "abcd")).arun(executor=Tasks())

    result = asyncio.run(main())
    assert result.success, result.summary()
    assert dict(result.outputs) == {name: name for name in "abcd"}


def test_no_more_tasks_run_at_once_than_the_executor_allows():
    """Each gives way to the others several times."""
    running, most = [0], [0]

    async def body():
        running[0] += 1
        most[0] = max(most[0], running[0])
        for _ in range(5):
            await asyncio.sleep(0)
        running[0] -= 1

    tasks = Tasks()
    tasks.step_workers = 3
    steps = [step(cache=False, name=f"s{number}")(body) for number in range(10)]
    asyncio.run(graph(*steps).arun(executor=tasks)).raise_for_status()
    assert most == [3]


def test_async_steps_in_threads_have_a_loop_each():
    """Under `run`, threads wait for their own steps, which overlap as well."""
    barrier = threading.Barrier(2, timeout=SECONDS)

    def meeting(name):
        async def body():
            await asyncio.sleep(0)
            barrier.wait()
            return name

        return step(cache=False, name=name)(body)

    result = graph(*map(meeting, "ab")).run(executor=Threads())
    assert dict(result.outputs) == {"a": "a", "b": "b"}


def test_steps_see_the_context_variables_of_the_caller():
    """As they do in sequence; what a step sets, no other sees."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")

    def body():
        before = variable.get()
        variable.set("changed")
        return before

    token = variable.set("caller")
    try:
        result = graph(*(named(f"s{number}", body) for number in range(12))).run(executor=Threads())
    finally:
        variable.reset(token)
    assert set(result.outputs.values()) == {"caller"}


# What comes of it is what comes of it in sequence -------------------------------------------------------


def test_everything_is_committed_in_the_order_of_the_plan():
    """Metrics, events, artifacts, hooks and results, although the steps end the other way round."""
    events = [threading.Event() for _ in range(4)]
    events[3].set()

    def made(number):
        def body(ctx):
            waits_for(events[number])
            ctx.record("m", number)
            ctx.emit(f"e{number}")
            ctx.artifacts.add(f"file{number}", b"content")
            events[number - 1].set()
            return number

        return step(cache=False, name=f"s{number}")(body)

    threads = Threads()
    experiment = Experiment(lambda ctx: 0, [made(n) for n in range(4)], plugins=[threads], autoload=False)
    result = experiment.run()
    assert result.metrics.baseline["m"] == [0, 1, 2, 3]
    assert [found.name for found in result.artifacts] == [f"file{n}" for n in range(4)]
    assert [entry for entry in threads.log if entry[0] == "after"] == [("after", f"s{n}") for n in range(4)]
    assert [entry for entry in threads.log if entry[0] == "event"] == [("event", f"e{n}") for n in range(4)]
    assert [record["step"] for record in result.provenance["baseline"][0]] == [f"s{n}" for n in range(4)]


LOOKS: dict[str, Any] = {}
"""Ways to look at what steps before have written, and what is seen."""


def looks(expected: Any):
    def keep(function):
        LOOKS[function.__name__] = (step(cache=False, name="looks")(function), expected)
        return function

    return keep


@looks(1)
def at_the_metrics(began, ctx):
    began.set()
    return len(ctx.metrics)


@looks("there")
def at_a_key(began, ctx):
    began.set()
    return ctx.get("key", "nothing")


@looks(True)
def whether_a_key_is_there(began, ctx):
    began.set()
    return "key" in ctx


@looks(True)
def at_all_keys(began, ctx):
    began.set()
    return "key" in list(ctx)


@looks("there")
def through_a_function(began, ctx):
    began.set()
    return key_of(ctx)


def key_of(view):
    return view.get("key", "nothing")


@looks("there")
def at_the_parameters(began, context):
    began.set()
    return context.get("key", "nothing")


@looks("there")
def by_a_parameter(began, key="nothing"):
    began.set()
    return key


@looks("ran")
@when(lambda ctx: ctx.get("key") == "there")
def in_a_condition(began):
    began.set()
    return "ran"


@looks("refused")
def by_adding_the_same_key(began, ctx):
    began.set()
    try:
        ctx.add("key", "another")
    except Exception:
        return "refused"
    return "added"


@pytest.mark.parametrize("kind", [Threads, Tasks])
@pytest.mark.parametrize("way", LOOKS)
def test_a_step_that_looks_at_what_others_wrote_waits_for_them(way, kind):
    """It sees what it would see in sequence; the one before gives it a moment to begin too early."""
    looking, expected = LOOKS[way]
    began = threading.Event()

    @step(cache=False, outputs=["written"])
    def writes(ctx):
        began.wait(A_MOMENT)
        ctx.record("m", 1)
        ctx.add("key", "there")

    @step(cache=False, outputs=["written"])
    async def writes_async(ctx):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ctx.record("m", 1)
        ctx.add("key", "there")

    inputs = {"began": _Shared(began)}
    if kind is Threads:
        result = graph(writes, looking).run(inputs=inputs, executor=Threads())
    else:
        result = asyncio.run(graph(writes_async, looking).arun(inputs=inputs, executor=Tasks()))
    assert result.success, result.summary()
    assert result.outputs["looks"] == expected


class _Shared:
    """An event that steps share, though each gets a copy of what it takes."""

    def __init__(self, event):
        self.event = event

    def set(self):
        self.event.set()

    def __deepcopy__(self, memo):
        return self


def test_a_step_that_only_records_waits_for_nobody():
    """Metrics, events, artifacts and the log are written and not looked at."""
    barrier = threading.Barrier(3, timeout=SECONDS)

    def recording(name):
        def body(ctx):
            barrier.wait()
            ctx.record("m", name)
            ctx.metrics.add("n", name)
            ctx.emit("e", name=name)
            ctx.artifacts.add(name, name.encode())
            ctx.logger.debug("%s of %s", name, ctx.step_name)

        return step(cache=False, name=name)(body)

    result = graph(*map(recording, "abc")).run(executor=Threads())
    assert result.success, result.summary()
    assert result.metrics == {"m": ["a", "b", "c"], "n": ["a", "b", "c"]}


def test_the_first_failure_is_that_of_the_plan_and_not_of_the_clock():
    """The one that fails later comes first; what needs them did not run, and others did."""
    failed = threading.Event()

    def fails_late():
        waits_for(failed)
        raise ValueError("late")

    def fails_early():
        failed.set()
        raise KeyError("early")

    steps = [
        named("late", fails_late),
        named("early", fails_early),
        named("needs", lambda early: early, "early"),
        named("apart", lambda: 1),
    ]
    result = graph(*steps).run(executor=Threads())
    assert result.error.message == "step 'late' failed: ValueError: late"
    assert result.error.__notes__ == ["and: step 'early' failed: KeyError: 'early'"]
    assert [found.state for found in result.step_results.values()] == ["failed", "failed", "not run", "ok"]
    assert result.step_results["needs"].reason == "it needs output 'early' of 'early', which failed"


def random_steps(seed: int, count: int) -> list[Any]:
    """A graph with steps that fail, are skipped, look at the context, record, and are in groups."""
    chance = random.Random(seed)
    steps = []
    for at in range(count):
        takes = [f"s{other}" for other in sorted(chance.sample(range(at), min(at, chance.randrange(3))))]
        defaults = [f"{name}=1" if chance.random() < 0.2 else name for name in takes]
        parameters = sorted(defaults, key=lambda text: "=" in text)
        is_async = chance.random() < 0.2
        kind = chance.choice(["plain", "plain", "plain", "fails", "skipped", "records", "looks", "adds"])
        if kind in ("records", "looks", "adds"):
            parameters.insert(0, "ctx")
        body = {
            "fails": "    if chance() < 0.3: raise ValueError('no')",
            "records": f"    ctx.record('m', {at})\n    ctx.emit('e')",
            "looks": "    total += len(ctx.metrics) + len([k for k in ctx if k.startswith('k')])",
            "adds": f"    ctx.add('k{at}', total)",
        }.get(kind, "    pass")
        # Awaiting lets other tasks go on, so that tasks end in another order than they began.
        waits = "    await wait(0)\n" * chance.randrange(3) if is_async else ""
        text = f"{'async ' if is_async else ''}def s{at}({', '.join(parameters)}):\n"
        text += f"    total = ({'+'.join(takes) or 0}) % 997 + {at}\n{waits}{body}\n    return total\n"
        scope = {"chance": random.Random(at).random, "wait": asyncio.sleep}
        exec(text, scope)
        condition = (lambda is_asked=at % 2: is_asked) if kind == "skipped" else None
        group = chance.choice([None, None, None, "g", "h"])
        steps.append(step(cache=False, condition=condition, execution_group=group)(scope[f"s{at}"]))
    return steps


def described(result: PipelineResult) -> Any:
    """Everything that must not depend on who ran the steps."""
    found = [(name, r.state, r.error, r.reason, r.output) for name, r in result.step_results.items()]
    return found, dict(result.outputs), result.metrics, str(result.error), result.record.digest


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_come_to_the_same_side_by_side(seed):
    """In sequence, in threads and as tasks: fates, outputs, metrics, the error and the digest, and what hooks see."""
    logs, found = [], []
    for kind in ("sequence", "threads", "tasks"):
        pipeline = graph(*random_steps(seed, 40))
        executor = {"sequence": Threads, "threads": Threads, "tasks": Tasks}[kind]()
        if kind == "sequence":
            executor.step_workers = 1
        run = pipeline.run(executor=executor) if kind != "tasks" else asyncio.run(pipeline.arun(executor=executor))
        found.append(described(run))
        logs.append(executor.log)
    assert found[1] == found[0]
    assert found[2] == found[0]
    assert logs[1] == logs[0] == logs[2]


@pytest.mark.parametrize("kind", [Threads, Tasks, ThreadsForBoth])
def test_an_experiment_has_the_same_digest_side_by_side(kind):
    """Several replicates and conditions, of which some fail."""

    @step(cache=False)
    def start(data, ctx, level=0):
        ctx.record("start", data + level)
        return data + level

    @step(cache=False)
    async def left(start, ctx):
        await asyncio.sleep(0)
        ctx.record("m", start)
        return start * 2

    @step(cache=False)
    def right(start, ctx):
        if start == 3:
            raise ValueError("three")
        ctx.record("m", -start)
        return start

    @step(cache=False)
    def both(left, right, ctx):
        return left + right, {"total": left + right + len(ctx.metrics)}

    def run_by(*plugins):
        experiment = Experiment(
            lambda ctx: ctx["replicate"],
            [start, left, right, both],
            treatments=[Treatment("high", {"level": 2})],
            replicates=5,
            plugins=list(plugins),
            autoload=False,
            name="e",
        )
        return experiment.run()

    expected, found = run_by(), run_by(kind())
    assert sorted(expected.errors) == ["baseline_rep_3", "high_rep_1"]
    assert {name: str(error) for name, error in found.errors.items()} == {
        name: str(error) for name, error in expected.errors.items()
    }
    assert found.metrics.baseline.metrics == expected.metrics.baseline.metrics
    assert found.digest == expected.digest


def test_hundreds_of_steps_run_side_by_side():
    """A chain, a wide graph, and one where each takes from many."""
    count = 300
    chain = [named("s0", lambda: 1)]
    chain += [named(f"s{n}", lambda before: before + 1, f"s{n - 1}") for n in range(1, count)]
    wide = [named(f"s{n}", lambda: 1) for n in range(count)]
    wide.append(named("end", lambda *them: sum(them), ", ".join(f"s{n}" for n in range(count))))
    layers = [named(f"s{n}", lambda: 1) for n in range(10)]
    for n in range(10, count):
        layers.append(named(f"s{n}", lambda *them: sum(them) % 97, ", ".join(f"s{n - d}" for d in range(1, 11))))
    for steps in (chain, wide, layers):
        expected = graph(*steps).run()
        found = graph(*reversed(steps)).run(executor=Threads())
        assert found.success
        assert dict(found.outputs) == dict(expected.outputs)


# Ends -------------------------------------------------------------------------------------------------


def test_the_threads_end_with_the_run():
    """Also when a step failed."""
    graph(*(named(name, lambda: 1) for name in "abcd"), named("e", lambda: 1 / 0)).run(executor=Threads())
    for thread in step_threads():
        thread.join(SECONDS)
    assert step_threads() == []


def test_threads_are_shared_by_the_cells_of_a_run():
    """There are never more than the executor allows, however many replicates there are."""
    seen = set()
    steps = [named(f"s{n}", lambda: seen.add(threading.current_thread().name)) for n in range(6)]
    Experiment(lambda ctx: 0, steps, replicates=10, plugins=[ThreadsForBoth()], autoload=False).run()
    assert seen <= {f"steps-{number}" for number in range(1, 5)}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interruption_in_a_step_ends_the_run_at_once(kind, release):
    """It does not wait for a step that hangs, and the end of the run is told."""

    def interrupts():
        raise kind("now")

    threads = Threads()
    steps = named("hangs", lambda: waits_for(release)), named("interrupts", interrupts), named("apart", lambda: 1)
    with pytest.raises(kind, match=r"^now$"):
        graph(*steps).run(executor=threads)
    assert threads.log[-1] == ("after_run",)
    assert ("after", "hangs") not in threads.log


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
def test_ctrl_c_is_heard_while_all_steps_hang(release):
    """The run ends although nothing else does."""

    def presses_ctrl_c():
        os.kill(os.getpid(), signal.SIGINT)
        waits_for(release)

    threads = Threads()
    with pytest.raises(KeyboardInterrupt):
        graph(named("hangs", lambda: waits_for(release)), named("presses", presses_ctrl_c)).run(executor=threads)
    assert threads.log == [("after_run",)]


def test_a_unit_stops_when_the_cell_has_ended(release):
    """The step that it is in goes on, because nothing ends a thread; those behind it do not begin, and nothing counts."""
    ran = []
    in_unit = threading.Event()

    def first():
        in_unit.set()
        waits_for(release)

    def interrupts():
        waits_for(in_unit)
        raise SystemExit("now")

    steps = [
        named("a", first, execution_group="g"),
        named("b", lambda a: ran.append("b"), "a", execution_group="g"),
        named("c", interrupts),
    ]
    threads = Threads()
    with pytest.raises(SystemExit):
        graph(*steps).run(executor=threads)
    release.set()
    for thread in step_threads():
        thread.join(SECONDS)
    assert (ran, threads.log) == ([], [("after_run",)])


def test_what_has_not_begun_does_not_begin_when_the_cell_has_ended(release):
    """All threads are busy, and one of them is let go only after the end."""
    ran = []
    both = threading.Barrier(2, timeout=SECONDS)

    def hangs():
        both.wait()
        waits_for(release)

    def interrupts():
        both.wait()
        raise SystemExit("now")

    threads = Threads()
    threads.step_workers = 2
    with pytest.raises(SystemExit):
        graph(named("a", hangs), named("b", interrupts), named("c", lambda: ran.append("c"))).run(executor=threads)
    release.set()
    for thread in step_threads():
        thread.join(SECONDS)
    assert ran == []


def test_a_run_that_has_ended_takes_no_further_steps():
    """A cell that was left alone would wait for them for ever."""
    threads = StepThreads(2, drive, Loops())
    shift = threads.shift()
    shift.start(0, lambda: iter(()))
    assert next_of(shift) == (0, None)
    threads.close()
    with pytest.raises(RunError, match=r"^the run has ended, and runs no further steps$"):
        shift.start(1, lambda: iter(()))


def next_of(shift: Any) -> tuple[int, Any]:
    found: tuple[int, Any] = drive(shift.next_done(), Loops())
    return found


@pytest.mark.parametrize("grouped", [None, "g"])
def test_a_failing_hook_ends_the_cell_side_by_side_too(grouped):
    """With every step accounted for, as in sequence."""
    steps = [named("a", lambda: 1, execution_group=grouped)]
    steps += [named("b", lambda a: 2, "a", execution_group=grouped), named("c", lambda b: 3, "b")]
    threads = Threads(after="b")
    result = graph(*steps).run(executor=threads)
    message = "hook 'after_step' of plugin 'threads' raised ValueError: broken hook"
    assert (type(result.error), result.error.message) == (HookError, message)
    assert [found.state for found in result.step_results.values()] == ["ok", "ok", "not run"]
    assert result.step_results["c"].reason == f"it was not reached: {message}"


def test_async_steps_give_back_what_they_hold_before_the_run_ends():
    """They are cancelled when the cell ends early, and that is waited for."""
    threads = Tasks(after="quick")

    @step(cache=False)
    async def quick():
        return 1

    @step(cache=False)
    async def holds():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            threads.log.append(("gave back",))

    async def main() -> PipelineResult:
        async with asyncio.timeout(SECONDS):
            return await graph(quick, holds).arun(executor=threads)

    result = asyncio.run(main())
    assert type(result.error) is HookError
    assert threads.log == [("after", "quick"), ("gave back",), ("after_run",)]


def test_a_run_that_is_cancelled_cancels_its_steps():
    """The caller gets the cancellation, and nothing is left on the loop."""
    log = []

    async def main() -> int:
        began = asyncio.Event()

        @step(cache=False)
        async def hangs():
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                log.append("gave back")

        run = asyncio.ensure_future(graph(hangs, named("b", lambda: 1)).arun(executor=Tasks()))
        async with asyncio.timeout(SECONDS):
            await began.wait()
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1
    assert log == ["gave back"]


# Several runs at once ---------------------------------------------------------------------------------


def test_two_runs_of_one_pipeline_at_once_do_not_meet():
    """Each has its own threads, inputs and results; both have a step running at the same time."""
    barrier = threading.Barrier(2, timeout=SECONDS)

    def meets(x):
        barrier.wait()
        return x

    pipeline = graph(named("a", meets, "x"), named("b", lambda x: x * 2, "x"), named("c", lambda a, b: a + b, "a, b"))
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(pipeline.run, inputs={"x": x}, executor=Threads()) for x in (1, 10)]
        found = [dict(run.result(SECONDS).outputs) for run in runs]
    assert found == [{"a": 1, "b": 2, "c": 3}, {"a": 10, "b": 20, "c": 30}]


def test_a_step_may_run_another_pipeline_side_by_side():
    """Its threads are its own, so that nobody waits for a thread that waits."""
    inner = graph(*(named(f"i{n}", lambda: 1) for n in range(6)))

    def runs_inner():
        return sum(inner.run(executor=Threads()).outputs.values())

    result = graph(*(named(f"o{n}", runs_inner) for n in range(6))).run(executor=Threads())
    assert set(result.outputs.values()) == {6}


@pytest.mark.parametrize("kind", [Threads, Tasks])
def test_given_data_steps_run_one_after_the_other(kind):
    """`run(data)` has no executor; it raises what failed."""
    with pytest.raises(StepError, match=r"^step 'b' failed: ZeroDivisionError"):
        graph(named("a", lambda data: data, "data"), named("b", lambda a: a / 0, "a")).run(1)
    experiment = Experiment(lambda ctx: 1, [named("a", lambda data: data, "data")], plugins=[kind()], autoload=False)
    assert experiment.apply() == 1

"""Retries, timeouts, circuit breakers and fallbacks around the steps of graphs, in every way to write them."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from crystallize_core import Experiment, Pipeline, StepError, pipeline_step, step, when
from crystallize_core.clock import FakeClock, use_clock

cloudpickle = pytest.importorskip("cloudpickle")  # comes with the executors
executors = pytest.importorskip("crystallize_executors")
retries = pytest.importorskip("crystallize_retries")
AsyncExecution, ThreadExecution = executors.AsyncExecution, executors.ThreadExecution
CircuitBreaker, CircuitOpenError = retries.CircuitBreaker, retries.CircuitOpenError
RetryPlugin, StepTimeout = retries.RetryPlugin, retries.StepTimeout
on_failure, retry = retries.on_failure, retries.retry

pytestmark = pytest.mark.ecosystem


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Only the plugin of this test takes part, and nothing is written into the checkout."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crystallize.toml").write_text('plugins = ["retries"]\n')


@pytest.fixture(autouse=True)
def clock() -> Iterator[FakeClock]:
    """A clock on which waiting takes no time."""
    with use_clock(FakeClock()) as fake:
        yield fake


class Flaky(Exception):
    """What passes."""


class Calls:
    """Counts the calls of a step, and fails in the first ones; shared by all copies."""

    def __init__(self, failures: int = 0) -> None:
        self.count, self.failures = 0, failures

    def one(self) -> int:
        self.count += 1
        if self.count <= self.failures:
            raise Flaky(f"call {self.count}")
        return self.count

    def __deepcopy__(self, memo: Any) -> Calls:
        return self

    def __crystallize_digest__(self) -> str:
        return "calls"


def graph(*steps: Any, **options: Any) -> Pipeline:
    return Pipeline(steps, name="p", **{"enable_cache": False, "checkpoint": False, **options})


# Retries ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failures", "state", "retries"), [(0, "ok", 0), (2, "ok", 2), (3, "failed", 2)])
@pytest.mark.parametrize("awaits", [False, True])
def test_retries_are_counted_whether_the_step_succeeds_or_not(failures, state, retries, awaits, clock):
    """`retry=2` makes three calls at most, after waits of one and two seconds."""
    calls = Calls(failures)

    @step(retry=2, name="flaky")
    def plain():
        return calls.one()

    @step(retry=2, name="flaky")
    async def awaited():
        await asyncio.sleep(0)
        return calls.one()

    found = graph(awaited if awaits else plain).run().step_results["flaky"]
    assert (found.state, found.retries, calls.count) == (state, retries, retries + 1)
    assert clock.slept == [1.0, 2.0][:retries]
    assert found.error == (f"Flaky: call {failures}" if state == "failed" else None)


def test_each_attempt_starts_from_the_same_inputs():
    """Also where the failed attempt has changed them in place, and no other step takes them."""
    seen: list[Any] = []

    @step
    def makes():
        return {"rows": [1, 2]}

    @step(retry=2)
    def spoils(makes, data, rate):
        seen.append((list(makes["rows"]), list(data), list(rate)))
        for value in (makes["rows"], data, rate):
            value.clear()
        if len(seen) < 3:
            raise Flaky
        return "fine"

    given = {"inputs": {"data": [3]}, "context": {"rate": [4]}}
    assert graph(spoils, makes).run(**given)["spoils"] == "fine"
    assert seen == [([1, 2], [3], [4])] * 3
    seen.clear()
    experiment = Experiment(
        lambda ctx: [3], [spoils, makes], initial_ctx={"rate": [4]}, plugins=[RetryPlugin()], autoload=False
    )
    assert experiment.apply() == "fine"
    assert seen == [([1, 2], [3], [4])] * 3


def test_only_the_attempt_that_counts_leaves_anything():
    """Metrics and context values of failed attempts are gone."""
    calls = Calls(failures=2)

    @step(retry=3)
    def records(ctx):
        ctx.record("attempt", ctx.attempt)
        ctx.add("attempt_of_the_step", ctx.attempt)
        return calls.one()

    @step
    def looks(records, attempt_of_the_step):
        return attempt_of_the_step

    result = graph(records, looks).run()
    assert (result.metrics, result["looks"]) == ({"attempt": [3]}, 3)


def test_what_stands_on_a_step_that_failed_for_good_does_not_run():
    """The others do."""

    @step(retry=1)
    def fails():
        raise Flaky("always")

    @step(retry=1)
    def needs(fails):
        return fails

    @step
    def apart():
        return 1

    result = graph(fails, needs, apart).run()
    assert [(r.state, r.retries) for r in result.step_results.values()] == [("failed", 1), ("not run", 0), ("ok", 0)]
    with pytest.raises(StepError, match=r"^step 'fails' failed: Flaky: always"):
        result.raise_for_status()


def test_a_condition_is_asked_once_and_is_not_retried():
    """What raises in a condition is no failed attempt."""
    asked = []

    @step(retry=3, condition=lambda: asked.append(1) or 1 / 0)
    def never():
        return 1

    @step(retry=3, condition=lambda: asked.append(2) or True)
    def flaky():
        return calls.one()

    calls = Calls(failures=2)
    result = graph(never, flaky).run()
    assert [(r.state, r.error, r.retries) for r in result.step_results.values()] == [
        ("failed", "ZeroDivisionError: division by zero", 0),
        ("ok", None, 2),
    ]
    assert asked == [1, 2]


def test_a_wrong_number_of_outputs_is_not_retried():
    """The step did what it does, and would do it again."""
    calls = Calls()

    @step(outputs=["a", "b"], retry=3)
    def one_too_few():
        return (calls.one(),)

    found = graph(one_too_few).run().step_results["one_too_few"]
    assert (found.state, calls.count) == ("failed", 1)


@pytest.mark.parametrize("executor", [ThreadExecution(max_workers=4), AsyncExecution()], ids=["threads", "tasks"])
def test_policies_hold_side_by_side(executor):
    """Each step has its own attempts, in the thread or task that it runs in."""
    calls = [Calls(failures=number) for number in range(5)]

    def made(number):
        async def body():
            await asyncio.sleep(0)
            return calls[number].one()

        return step(retry=3, name=f"s{number}", cache=False)(body)

    pipeline = graph(*map(made, range(5)))
    is_async = isinstance(executor, AsyncExecution)
    result = asyncio.run(pipeline.arun(executor=executor)) if is_async else pipeline.run(executor=executor)
    assert [(r.state, r.retries) for r in result.step_results.values()] == [
        ("ok", 0),
        ("ok", 1),
        ("ok", 2),
        ("ok", 3),
        ("failed", 3),
    ]


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Takes neither notes nor a cause."""

    code: int


def test_an_exception_that_takes_no_notes_is_what_the_step_failed_with():
    """Whatever the policies want to say about it: how often, what the action raised, what a fallback stood in for."""

    def raises(error):
        raise Frozen(2)

    @step(retry=2)
    def fails():
        raise Frozen(1)

    @step(retry=1, on_failure=on_failure(action=raises))
    def tells():
        raise Frozen(1)

    @step(retry=1, fallback=raises)
    def backed():
        raise Frozen(1)

    result = graph(fails, tells, backed).run()
    assert [r.exception for r in result.step_results.values()] == [Frozen(1), Frozen(1), Frozen(2)]


# Fallbacks --------------------------------------------------------------------------------------------


def test_a_fallback_stands_in_for_the_output():
    """It is told, flows on as any output, is split as any, and has been tried after the retries."""
    calls = Calls(failures=9)

    @step(retry=2, fallback=lambda error: (str(error), 0), outputs=["text", "number"])
    def fails():
        return calls.one()

    @step
    def takes(text, number):
        return text, number + 1

    result = graph(fails, takes).run()
    found = result.step_results["fails"]
    assert (found.state, found.success, found.fallback_used, found.retries) == ("ok", True, True, 2)
    assert dict(result.outputs) == {"text": "call 3", "number": 0, "takes": ("call 3", 1)}
    assert result.step_results["takes"].fallback_used is False


def test_the_value_of_a_fallback_is_not_cached():
    """The next run asks the step again; what stands on it is cached by what it was given."""
    calls = Calls(failures=1)

    @step(fallback=lambda: "stand-in")
    def fails():
        return f"real {calls.one()}"

    @step
    def takes(fails):
        return fails

    pipeline = graph(fails, takes, enable_cache=True)
    found = [{name: (r.state, r.output) for name, r in pipeline.run().step_results.items()} for _ in range(3)]
    assert found == [
        {"fails": ("ok", "stand-in"), "takes": ("ok", "stand-in")},
        {"fails": ("ok", "real 2"), "takes": ("ok", "real 2")},
        {"fails": ("cached", "real 2"), "takes": ("cached", "real 2")},
    ]


def test_a_fallback_that_fails_fails_the_step():
    """With its own error, caused by that of the step."""

    @step(fallback=lambda: 1 / 0)
    def fails():
        raise Flaky("no")

    found = graph(fails).run().step_results["fails"]
    assert (found.state, found.error) == ("failed", "ZeroDivisionError: division by zero")
    assert type(found.exception.__cause__) is Flaky


def test_a_skipped_step_asks_no_fallback():
    """Skipping is no failure; a breaker does not count it either."""

    @step(cache=False, condition=lambda: False, fallback=lambda: "stand-in", retry=2)
    def skipped():
        return 1

    found = graph(skipped).run().step_results["skipped"]
    assert (found.state, found.output, found.fallback_used) == ("skipped", None, False)


# Timeouts and breakers --------------------------------------------------------------------------------


def test_a_timeout_counts_for_each_attempt(clock):
    """Two attempts take too long, the third does not; what stands on the step runs."""
    calls = Calls()

    @step(timeout=5, retry=2)
    def slow():
        clock.sleep(9 if calls.one() < 3 else 1)
        return "done"

    @step
    def takes(slow):
        return slow

    result = graph(slow, takes).run()
    assert (result["takes"], result.step_results["slow"].retries, calls.count) == ("done", 2, 3)


def test_a_timeout_is_a_failure_that_costs_no_others(clock):
    """It names the step and the limit."""

    @step(timeout=5)
    def slow():
        clock.sleep(9)

    @step
    def needs(slow):
        return slow

    @step
    def apart():
        return 1

    result = graph(slow, needs, apart).run()
    assert [r.state for r in result.step_results.values()] == ["failed", "not run", "ok"]
    error = result.step_results["slow"].exception
    assert type(error) is StepTimeout
    assert str(error) == "step 'slow' did not finish within 5 s"


def test_a_breaker_is_that_of_the_function_for_all_runs(clock):
    """Open, it calls nobody and is not retried; after its time one call decides."""
    calls = Calls(failures=2)

    @step(retry=3)
    @CircuitBreaker(failure_threshold=2, timeout=60)
    def fragile():
        return calls.one()

    pipeline = graph(fragile)
    first, second = (pipeline.run().step_results["fragile"] for _ in range(2))
    assert (type(first.exception), type(second.exception)) == (CircuitOpenError, CircuitOpenError)
    assert calls.count == 2
    clock.advance(61)
    assert (pipeline.run()["fragile"], calls.count) == (3, 3)


# Every order of decorators ----------------------------------------------------------------------------


def _is_wanted(wanted):
    return wanted


POLICIES = {
    "retry": lambda: retry(max_attempts=3, backoff=2.0),
    "on_failure": lambda: on_failure(lambda error: f"stand-in for {error}"),
    "breaker": lambda: CircuitBreaker(failure_threshold=5, timeout=60),
    "when": lambda: when(_is_wanted),
}


def orders() -> list[tuple[str, ...]]:
    """Every order of the four decorators and the one that makes a step, from the innermost to the outermost."""
    return list(itertools.permutations(["made", *POLICIES]))


def decorated(order: tuple[str, ...], maker: Any, body: Any) -> Any:
    for name in order:
        body = maker(body) if name == "made" else POLICIES[name]()(body)
    return body


def counting(name: str, calls: Calls, *, awaits: bool) -> Any:
    """A function of this name, which is the data plus the number of the call."""

    def body(data, wanted=True):
        return calls.one() + data

    async def awaited(data, wanted=True):
        return calls.one() + data

    found = awaited if awaits else body
    found.__name__ = name
    return found


@step(outputs=["data"], cache=False)
def gives_data():
    """The data of all steps, which would otherwise be what the step before returned."""
    return 0


def collecting(names: list[str]) -> Any:
    """A step that records what each of these steps made; None for one that was skipped."""
    scope: dict[str, Any] = {}
    taken = ", ".join(f"{name}=None" for name in names)
    body = "\n    ".join(f"ctx.record({name!r}, {name})" for name in names)
    exec(f"def collect({taken}, *, ctx):\n    {body}", scope)
    return step(cache=False)(scope["collect"])


@pytest.mark.parametrize("awaits", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("maker", [step(cache=False), pipeline_step()], ids=["step", "pipeline_step"])
def test_the_order_of_decorators_does_not_matter(maker, awaits):
    """Above and below the one that makes the step, with others between: always fallback(retry(breaker(step)))."""
    calls = {"_".join(order): Calls() for order in orders()}
    made = [
        decorated(order, maker, counting(name, calls[name], awaits=awaits))
        for name, order in zip(calls, orders(), strict=True)
    ]
    pipeline = graph(gives_data, *made, collecting(list(calls)))

    def outcomes(failures: int, *, wanted: bool = True) -> set[tuple[Any, int]]:
        for each in calls.values():
            each.count, each.failures = 0, failures
        given = {"initial_ctx": {"wanted": wanted}, "plugins": [RetryPlugin()], "autoload": False}
        found = Experiment(lambda ctx: None, pipeline, **given).run().metrics.baseline.metrics
        return {(str(found[name][0]).replace(name, "it"), calls[name].count) for name in calls}

    assert outcomes(99, wanted=False) == {("None", 0)}
    assert outcomes(2) == {("3", 3)}
    assert outcomes(99) == {("stand-in for call 3", 3)}
    # Two calls more, and the breaker is open (the retry waits two seconds more): a refusal is not retried.
    refusal = "'it' was not called: 5 calls in a row failed, the last with Flaky: call 2; it is tried again in 58 s"
    assert outcomes(99) == {(f"stand-in for {refusal}", 2)}


def test_a_direct_call_has_the_policies_that_stand_below_and_above_the_step(clock):
    """The plain function of `@step` is the decorated one."""
    for order in orders():
        calls = Calls(failures=2)

        def body(data, wanted=True, calls=calls):
            return calls.one() + data

        made = decorated(order, step(cache=False), body)
        assert bool(made(0, wanted=False)) is False, order
        assert (calls.count, made(0), calls.count) == (0, 3, 3), order


def test_decorated_functions_of_a_script_are_sent_by_value():
    """Those with conditions and those with policies, in any order; what comes out does the same."""
    scope: dict[str, Any] = {"__name__": "a_script"}
    exec("def body(data, wanted=True):\n    return data + 1", scope)
    for order in orders():
        made = decorated(order, step(cache=False), scope["body"])
        again = pickle.loads(cloudpickle.dumps(made))
        assert (again(1), bool(again(1, wanted=False))) == (2, False), order
        assert again.options.keys() == made.options.keys(), order
        assert len(again.guards) == 1, order

"""S21: any order of the decorators, below or above `@pipeline_step()`, means fallback(retry(breaker(timeout(body))))."""

from __future__ import annotations

import asyncio
import functools
import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystallize_core import Experiment, pipeline_step
from crystallize_retries import CircuitBreaker, CircuitOpenError, FakeClock, RetryPlugin, on_failure, retry, use_clock


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


class Refused(Exception):
    """An error that `not_on` names."""


ERRORS = {"fine": None, "fails": ConnectionError, "refused": Refused}
OUTCOMES = st.lists(st.sampled_from(sorted(ERRORS)), min_size=0, max_size=25)


def foreign(function):
    """A decorator that knows nothing of policies."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(*args, **kwargs):
            return await function(*args, **kwargs)

    else:

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

    return wrapper


class Reference:
    """What should happen, written down naively; calls after the given outcomes succeed."""

    def __init__(self, outcomes, attempts, threshold, timeout, *, fallback):
        self.outcomes, self.attempts, self.threshold, self.timeout = list(outcomes), attempts, threshold, timeout
        self.fallback = fallback
        self.calls = self.failures = 0
        self.now, self.opened = 0.0, None

    def body(self):
        self.calls += 1
        error = ERRORS[self.outcomes[self.calls - 1]] if self.calls <= len(self.outcomes) else None
        if error is not None:
            raise error
        return "value"

    def breaker(self):
        if self.threshold is None:
            return self.body()
        if self.opened is not None and self.now - self.opened < self.timeout:
            raise CircuitOpenError("open")
        try:
            value = self.body()
        except Exception:
            self.failures += 1
            if self.opened is not None or self.failures >= self.threshold:
                self.opened = self.now
            raise
        self.failures, self.opened = 0, None
        return value

    def retry(self):
        if self.attempts is None:
            return self.breaker()
        for number in range(self.attempts):
            try:
                return self.breaker()
            except ConnectionError:
                if number + 1 == self.attempts:
                    raise
                self.now += 2.0**number
        return None

    def run(self):
        try:
            return self.retry()
        except Exception as error:
            return f"instead of {type(error).__name__}" if self.fallback else type(error).__name__


def built(outcomes, attempts, threshold, timeout, *, fallback, order, is_async, factory):
    """A function with these decorators, from the innermost to the outermost, and the list of its calls."""
    calls = []

    def body(data, ctx=None):
        calls.append(data)
        error = ERRORS[outcomes[len(calls) - 1]] if len(calls) <= len(outcomes) else None
        if error is not None:
            raise error
        return "value"

    async def later(data, ctx=None):
        return body(data)

    decorators = {
        "retry": retry(attempts, on=[ConnectionError, Refused], not_on=Refused) if attempts else None,
        "breaker": CircuitBreaker(threshold, timeout) if threshold else None,
        "fallback": on_failure(lambda error: f"instead of {type(error).__name__}") if fallback else None,
        "step": pipeline_step() if factory else None,
        "foreign": foreign,
    }
    function = later if is_async else body
    has_factory = False
    for name in order:
        if name == "foreign" and has_factory:
            continue  # it would hide the factory
        decorate = decorators[name]
        function = function if decorate is None else decorate(function)
        has_factory = has_factory or (name == "step" and factory)
    return function, calls


cases = st.fixed_dictionaries(
    {
        "outcomes": OUTCOMES,
        "attempts": st.none() | st.integers(1, 5),
        "threshold": st.none() | st.integers(1, 4),
        "timeout": st.sampled_from([0, 1, 3, 10, 60]),
        "fallback": st.booleans(),
        "order": st.permutations(["retry", "breaker", "fallback", "step", "foreign"]),
        "is_async": st.booleans(),
    }
)


@settings(max_examples=300, deadline=None)
@given(case=cases, times=st.integers(1, 4), in_factory=st.booleans())
def test_called_directly_any_order_means_the_same(case, times, in_factory):
    """Calls and results are those of the reference, for a function and for that of a step factory."""
    expected = Reference(**{k: v for k, v in case.items() if k not in ("order", "is_async")})
    function, calls = built(**case, factory=in_factory)
    function = function.function if in_factory else function
    with use_clock(FakeClock()):
        for _ in range(times):
            try:
                found = asyncio.run(function(1)) if case["is_async"] else function(1)
            except Exception as error:
                found = type(error).__name__
            assert (found, len(calls)) == (expected.run(), expected.calls)


@settings(max_examples=60, deadline=None)
@given(case=cases, times=st.integers(1, 3), in_factory=st.booleans())
def test_in_an_experiment_any_order_means_the_same(case, times, in_factory):
    """One replicate after the other is one call after the other."""
    expected = Reference(**{k: v for k, v in case.items() if k not in ("order", "is_async")})
    step, calls = built(**case, factory=in_factory)

    @pipeline_step()
    def keep(data):
        return data, {"value": data}

    with use_clock(FakeClock()):
        result = Experiment(
            datasource=lambda ctx: ctx["replicate"], pipeline=[step, keep], replicates=times, plugins=[RetryPlugin()]
        ).run()
    failed = {error.replicate: type(error.__cause__).__name__ for error in result.errors.values()}
    values = iter(result.metrics.baseline.metrics.get("value", []))
    found = [failed[number] if number in failed else next(values) for number in range(times)]
    assert found == [expected.run() for _ in range(times)]
    assert len(calls) == expected.calls

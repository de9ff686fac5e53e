"""S18 to S22 in whole experiments: what the policies of a step leave behind."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from pathlib import Path

import pytest

from crystallize_core import (
    BasePlugin,
    DefinitionError,
    Experiment,
    HookError,
    PipelineStep,
    StepOptionError,
    pipeline_step,
)  # fmt: skip
from crystallize_retries import (
    CircuitBreaker,
    CircuitOpenError,
    FakeClock,
    RetryPlugin,
    StepTimeout,
    on_failure,
    retry,
    use_clock,
)  # fmt: skip

# The plugin for test timeouts would use the alarm itself, which must be free here.
pytestmark = pytest.mark.timeout(60, method="thread")


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def fake():
    with use_clock(FakeClock()) as replacement:
        yield replacement


class Watch(BasePlugin):
    """Gives every attempt a random stream, and writes down what it is told."""

    plugin_name = "watch"

    def __init__(self):
        self.failed, self.events, self.after = [], [], []

    def before_replicate(self, ctx):
        ctx.provide("stream", lambda view: random.Random(f"{view['replicate']}-{view.step_name}"))

    def step_failed(self, error, attempt):
        self.failed.append((attempt, error))

    def after_step(self, step, data, ctx):
        self.after.append((data, ctx.attempt))

    def on_event(self, event):
        if not event.name.startswith(("run.", "replicate.")):
            self.events.append(event)


def run(*steps, plugins=(), replicates=1, **options):
    return Experiment(
        datasource=lambda ctx: ctx["replicate"],
        pipeline=list(steps),
        replicates=replicates,
        plugins=[RetryPlugin(**options), *plugins],
    ).run()


def metrics(result):
    assert result.errors == {}
    return result.metrics.baseline.metrics


# S18, rule 3: every attempt starts afresh


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("is_async", [True, False])
def test_random_streams_metrics_and_additions_start_afresh_for_each_attempt(above, is_async):
    """A healed step is to the byte what it is without failures."""

    def made(times):
        def body(data, ctx):
            drawn = ctx.stream.random()
            ctx.metrics.add("drawn", drawn)
            ctx.add("key", drawn)
            ctx.emit("tried", attempt=1)
            if ctx.attempt <= times:
                raise ConnectionError
            return data, {"value": ctx.stream.random()}

        async def later(data, ctx):
            return body(data, ctx)

        later.__name__ = body.__name__ = "draws"
        function = later if is_async else body
        return retry(5)(pipeline_step()(function)) if above else pipeline_step()(retry(5)(function))

    healthy, healed = Watch(), Watch()
    expected = run(made(0), plugins=[healthy], replicates=2)
    found = run(made(3), plugins=[healed], replicates=2)
    assert metrics(found) == metrics(expected)
    assert found.digest == expected.digest
    assert len(metrics(found)["drawn"]) == 2
    assert [event.name for event in healed.events] == ["tried", "tried"]
    assert [attempt for attempt, _ in healed.failed] == [1, 2, 3] * 2


def test_a_decorator_between_the_policies_does_not_hide_them():
    """`functools.wraps` carries the options on, and nothing is done twice."""
    import functools

    calls = []

    def timed(function):
        @functools.wraps(function)
        def wrapper(data, ctx):
            return function(data, ctx)

        return wrapper

    @pipeline_step()
    @timed
    @retry(max_attempts=3)
    def fails(data, ctx):
        calls.append(ctx.attempt)
        raise ConnectionError

    assert len(run(fails).errors) == 1
    assert calls == [1, 2, 3]


def test_a_plain_function_a_partial_and_a_class_take_their_policies_along():
    """Whatever is accepted as a step."""
    import functools

    calls = []

    @retry(max_attempts=2)
    def plain(data, ctx, *, factor=1):
        calls.append(("plain", ctx.attempt))
        if ctx.attempt < 2:
            raise ConnectionError
        return data

    class Own(PipelineStep):
        @retry(max_attempts=3)
        def __call__(self, data, ctx):
            ctx.metrics.add("tried", ctx.attempt)
            calls.append(("own", ctx.attempt))
            if ctx.attempt < 3:
                raise ConnectionError
            return data

    class Foreign:
        @retry(max_attempts=2)
        def __call__(self, data, ctx):
            calls.append(("foreign", ctx.attempt))
            if ctx.attempt < 2:
                raise ConnectionError
            return data

    result = run(plain, functools.partial(plain, factor=2), Own(), Foreign())
    assert metrics(result) == {"tried": [3]}
    assert calls == [
        ("plain", 1), ("plain", 2), ("plain", 1), ("plain", 2),
        ("own", 1), ("own", 2), ("own", 3), ("foreign", 1), ("foreign", 2),
    ]  # fmt: skip


def test_a_strangers_decorator_brings_options_along_in_the_same_way(fake):
    """`__crystallize_options__` of a function is all that it takes."""
    calls = []

    def patient(function):
        function.__crystallize_options__ = {"retry": 1}
        return function

    @pipeline_step()
    @on_failure(lambda: 0)
    @patient
    def fails(data):
        calls.append(data)
        raise ConnectionError

    assert metrics(run(fails)) == {}
    assert fails.function(5) == 0
    assert (calls, fake.slept) == ([0, 0, 5, 5], [1.0, 1.0])


# S20: fallbacks


@pytest.mark.parametrize("is_async", [True, False])
def test_a_fallback_answers_and_commits_nothing_of_the_attempts(is_async):
    """Its value, its metrics and an event that says so; the attempts are told to `step_failed`."""
    watch = Watch()

    def body(data, ctx):
        ctx.metrics.add("tried", ctx.attempt)
        ctx.add("key", 1)
        ctx.emit("tried")
        raise ConnectionError("no")

    async def later(data, ctx):
        body(data, ctx)

    decorate = on_failure(lambda error: (str(error), {"status": 0}))
    step = decorate(pipeline_step()(retry(2)(later if is_async else body)))

    @pipeline_step()
    def keep(data, ctx):
        return data, {"value": data, "has_key": "key" in ctx}

    result = run(step, keep, plugins=[watch])
    assert metrics(result) == {"status": [0], "value": ["no"], "has_key": [False]}
    (event,) = watch.events
    assert (event.name, dict(event.payload), event.replicate, event.condition, event.step) == (
        "fallback.used", {"error": "ConnectionError: no"}, 0, "baseline", step.name,
    )  # fmt: skip
    assert [attempt for attempt, _ in watch.failed] == [1, 2]
    assert watch.after[0] == ("no", 2)


def test_a_fallback_that_raises_fails_the_step():
    """The step error has it as its cause, and that has what it was to replace."""

    @pipeline_step(fallback=lambda: 1 / 0)
    def fails(data):
        raise ConnectionError("no")

    (error,) = run(fails).errors.values()
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert str(error.__cause__.__cause__) == "no"


def test_a_timed_out_step_falls_back():
    @pipeline_step(timeout=0.02, fallback=lambda error: type(error).__name__)
    def slow(data):
        time.sleep(5)

    @pipeline_step()
    def keep(data):
        return data, {"value": data}

    assert metrics(run(slow, keep)) == {"value": ["StepTimeout"]}


def test_an_attempt_that_an_inner_policy_refused_is_not_committed_with_the_fallback():
    """It ended well and left metrics, and still it is the fallback that counts."""

    class Strict(BasePlugin):
        plugin_name = "strict"
        after = ("retries",)

        def wrap_step(self, step, call):
            def checked(data, ctx):
                call(data, ctx)
                raise ValueError("refused")

            return checked

    watch = Watch()

    @pipeline_step(fallback=lambda: 7, cacheable=True)
    def step(data, ctx):
        ctx.metrics.add("tried", 1)
        return data

    result = run(step, plugins=[Strict(), watch])
    assert metrics(result) == {}
    assert [(attempt, str(error)) for attempt, error in watch.failed] == [(1, "refused")]
    assert [event.name for event in watch.events] == ["fallback.used"]


def test_the_value_of_a_fallback_is_never_cached():
    """The next run asks again, and what the step then gives is cached."""

    # What the step depends on is in files, which no digest sees.
    def instead():
        return "instead", {"value": "instead"}

    @on_failure(instead)
    @pipeline_step(cacheable=True)
    def fetch(data, ctx):
        with Path("calls").open("a") as file:
            file.write("x")
        if not Path("healthy").exists():
            raise ConnectionError
        return "real", {"value": "real"}

    found = []
    for turn in range(4):
        if turn == 2:
            Path("healthy").touch()
        found += metrics(run(fetch))["value"]
    assert found == ["instead", "instead", "real", "real"]
    assert Path("calls").read_text() == "xxx"


def test_policies_are_no_part_of_what_a_cached_output_depends_on():
    """Who changes the number of attempts keeps the cache."""

    def body(data):
        return data

    hashes = {
        pipeline_step(cacheable=True)(decorate(body))().step_hash
        for decorate in (retry(2), retry(5, on=OSError), on_failure(lambda: 1), CircuitBreaker(2), CircuitBreaker(3))
    }
    assert len(hashes) == 1


def test_an_action_is_told_with_its_recipients():
    told = []
    tell = on_failure(action=lambda error, to: told.append((type(error).__name__, to)), recipients="me")

    @pipeline_step(retry=1, on_failure=tell, fallback=lambda: 1)
    def fails(data):
        raise ConnectionError

    assert metrics(run(fails)) == {}
    assert told == [("ConnectionError", ("me",))]


# S20: the breaker


def test_a_breaker_lasts_for_the_life_of_the_process(fake):
    """It is not the run that has it, but the function."""
    calls = []

    @pipeline_step()
    @CircuitBreaker(failure_threshold=3, timeout=60)
    def fetch(data):
        calls.append(data)
        if len(calls) < 4:
            raise ConnectionError
        return data, {"value": data}

    causes = [type(e.__cause__) for e in run(fetch, replicates=2).errors.values()]
    causes += [type(e.__cause__) for e in run(fetch, replicates=3).errors.values()]
    assert causes == [ConnectionError] * 3 + [CircuitOpenError] * 2
    assert len(calls) == 3
    fake.now += 60
    assert metrics(run(fetch, replicates=2)) == {"value": [0, 1]}
    assert CircuitBreaker.of(fetch).state == "closed"


def test_timeouts_count_as_failures_of_the_breaker():
    @pipeline_step(timeout=0.02, circuit_breaker=CircuitBreaker(failure_threshold=1))
    def slow(data):
        time.sleep(5)

    causes = [type(error.__cause__) for error in run(slow, replicates=2).errors.values()]
    assert causes == [StepTimeout, CircuitOpenError]


# S21: the object forms


def test_the_object_forms_mean_the_same_as_the_decorators(fake):
    """Every option of the page at once."""
    calls, told = [], []

    @pipeline_step(
        retry=retry(max_attempts=3, backoff=3.0, on=[OSError], not_on=[FileNotFoundError]),
        circuit_breaker=CircuitBreaker(failure_threshold=4, timeout=60),
        fallback=lambda error: (repr(error), {}),
        fallback_on=[ConnectionError, CircuitOpenError],
        on_failure=on_failure(action=lambda error, to: told.append(type(error).__name__), recipients=["me"]),
    )
    def fetch(data):
        calls.append(data)
        raise FileNotFoundError if data == 1 else ConnectionError

    result = run(fetch, replicates=3)
    assert fake.slept == [1.0, 3.0]  # replicate 1 is not retried; replicate 2 finds the breaker open
    assert calls == [0, 0, 0, 1]
    assert told == ["ConnectionError", "FileNotFoundError", "CircuitOpenError"]
    ((where, error),) = result.errors.items()
    assert (error.replicate, type(error.__cause__)) == (1, FileNotFoundError), where


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"retry": "3"}, r"expected an int of at least 0, the number of further attempts, or retry\(...\), found '3'"),
        ({"retry": CircuitBreaker()}, "expected an int of at least 0"),
        ({"circuit_breaker": 5}, r"expected CircuitBreaker\(failure_threshold=..., timeout=...\), found 5"),
        ({"circuit_breaker": retry()}, "expected CircuitBreaker"),
        ({"fallback": 3}, "expected a function that takes nothing, or the error; for a fixed value, lambda: value"),
        ({"fallback": on_failure(dict)}, "expected a function that takes nothing"),
        ({"fallback": lambda a, b: 0}, "expected a function that takes nothing"),
        ({"fallback": dict, "fallback_on": ["OSError"]}, "expected exception types, such as"),
        ({"fallback": dict, "fallback_on": [BaseException]}, "expected exception types, such as"),
        ({"on_failure": dict}, r"expected on_failure\(action=..., recipients=...\); a fallback is given by fallback="),
    ],
)
def test_wrong_types_are_refused_before_anything_runs(options, text):
    def body(data):
        raise AssertionError

    with pytest.raises(StepOptionError, match=text) as caught:
        run(pipeline_step(**options)(body))
    assert "step 'body'" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"fallback_on": [OSError]}, r"step 'body' has fallback_on=.* but no fallback; give fallback=function"),
        ({"fallback": dict, "on_failure": on_failure(list)}, "step 'body' has two fallbacks"),
        (
            {"fallback_on": OSError, "on_failure": on_failure(list, on=ValueError)},
            "says twice after which errors its fallback is used",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_runs(options, text):
    def body(data):
        raise AssertionError

    with pytest.raises((HookError, DefinitionError), match=text):
        run(pipeline_step(**options)(body))


def test_none_stands_for_no_policy():
    @pipeline_step(timeout=None, circuit_breaker=None, fallback=None, fallback_on=None, on_failure=None)
    def fails(data):
        raise ConnectionError

    (error,) = run(fails).errors.values()
    assert isinstance(error.__cause__, ConnectionError)


# S19: what `step_failed` is told


def blocking(data, ctx):
    time.sleep(5)


def cleaning_up(data, ctx):
    try:
        time.sleep(5)
    except BaseException as error:
        raise ValueError("could not clean up") from error


def swallowing(data, ctx):
    try:
        time.sleep(5)
    except BaseException:
        return data


def looping(data, ctx):
    while True:
        pass


async def awaiting(data, ctx):
    await asyncio.sleep(5)


async def awaiting_and_cleaning_up(data, ctx):
    try:
        await asyncio.sleep(5)
    finally:
        raise ValueError("could not clean up")


@pytest.mark.parametrize(
    ("body", "in_main"),
    [
        (blocking, True), (cleaning_up, True), (swallowing, True), (looping, True), (looping, False),
        (awaiting, True), (awaiting, False), (awaiting_and_cleaning_up, True),
    ],
)  # fmt: skip
def test_of_an_attempt_whose_time_is_over_everybody_is_told_a_step_timeout(body, in_main):
    """Never the means by which it was ended, nor what it made of that."""
    watch, results = Watch(), []
    step = pipeline_step(timeout=0.02, retry=1)(body)
    if in_main:
        results.append(run(step, plugins=[watch]))
    else:
        thread = threading.Thread(target=lambda: results.append(run(step, plugins=[watch])))
        thread.start()
        thread.join()
    assert [(attempt, type(error)) for attempt, error in watch.failed] == [(1, StepTimeout), (2, StepTimeout)]
    (error,) = results[0].errors.values()
    assert isinstance(error.__cause__, StepTimeout)
    assert all(f"step {body.__name__!r} did not finish within 0.02 s" in str(told) for _, told in watch.failed)

"""`@retry`, `@on_failure` and `@CircuitBreaker` on plain functions: what they do, and what they refuse."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import pickle
import subprocess
import sys

import pytest

from crystallize_core import PipelineStep, pipeline_step
from crystallize_core.errors import DefinitionError
from crystallize_retries import CircuitBreaker, CircuitOpenError, FakeClock, on_failure, retry, use_clock


@pytest.fixture(autouse=True)
def fake():
    with use_clock(FakeClock()) as replacement:
        yield replacement


def flaky(times, error=ConnectionError, *, is_async=False):
    """A function that fails so many times, and the list of its calls."""
    calls = []

    def body(value="value"):
        """What it does."""
        calls.append(value)
        if len(calls) <= times:
            raise error(f"no {len(calls)}")
        return value

    async def later(value="value"):
        """What it does."""
        await asyncio.sleep(0)
        return body(value)

    return (later if is_async else body), calls


def called(function, *args, **kwargs):
    result = function(*args, **kwargs)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


BOTH = pytest.mark.parametrize("is_async", [False, True])


# S20: retry


@BOTH
def test_max_attempts_counts_all_calls(fake, is_async):
    """Three attempts are three calls with two waits between them."""
    function, calls = flaky(9, is_async=is_async)
    with pytest.raises(ConnectionError, match="no 3") as caught:
        called(retry(max_attempts=3, backoff=2.0)(function))
    assert (len(calls), fake.slept, caught.value.__notes__) == (3, [1.0, 2.0], ["after 3 attempts"])


@pytest.mark.parametrize(
    ("backoff", "slept"), [(2.0, [1, 2, 4, 8]), (3, [1, 3, 9, 27]), (0.5, [1, 0.5, 0.25, 0.125]), (0, [1, 0, 0, 0])]
)
def test_a_number_stands_for_its_powers(fake, backoff, slept):
    called(retry(max_attempts=5, backoff=backoff)(flaky(4)[0]))
    assert fake.slept == slept


def test_a_backoff_object_starts_afresh_for_each_execution(fake):
    """`delays()` is asked once per execution that failed; the last wait is repeated where it ends."""

    class Own:
        asked = 0

        def delays(self):
            self.asked += 1
            yield from (0.5, 7)

    own = Own()
    function, calls = flaky(9)
    decorated = retry(max_attempts=4, backoff=own)(function)
    with pytest.raises(ConnectionError):
        decorated()
    assert fake.slept == [0.5, 7, 7]
    with pytest.raises(ConnectionError):
        decorated()
    assert (fake.slept[3:], own.asked, len(calls)) == ([0.5, 7, 7], 2, 8)
    retry(max_attempts=4, backoff=own)(lambda: 1)()
    assert own.asked == 2


def test_a_backoff_that_gives_no_seconds_is_told():
    class Wrong:
        def delays(self):
            yield -1

    with pytest.raises(DefinitionError, match=r"delays\(\) of a backoff must give finite numbers .* found -1"):
        retry(backoff=Wrong())(flaky(1)[0])()


@pytest.mark.parametrize(
    ("options", "error", "count"),
    [
        ({"on": [OSError]}, ConnectionError, 3),
        ({"on": OSError}, ConnectionError, 3),
        ({"on": [ValueError, KeyError]}, ConnectionError, 1),
        ({"not_on": [OSError]}, ConnectionError, 1),
        ({"on": [OSError], "not_on": [ConnectionError]}, ConnectionError, 1),
        ({"on": [OSError], "not_on": [ConnectionError]}, FileNotFoundError, 3),
        ({"on": []}, ConnectionError, 1),
    ],
)
def test_on_and_not_on_say_which_errors_are_retried(options, error, count):
    function, calls = flaky(9, error)
    with pytest.raises(error) as caught:
        retry(max_attempts=3, **options)(function)()
    assert len(calls) == count
    assert getattr(caught.value, "__notes__", []) == (["after 3 attempts"] if count == 3 else [])


def test_wrong_arguments_are_no_failure_of_the_function(fake):
    """The body was never entered, so that nothing is retried, counted or replaced."""
    function, calls = flaky(0)
    decorated = on_failure(lambda: 0)(retry()(CircuitBreaker(failure_threshold=1)(function)))
    for _ in range(3):
        with pytest.raises(TypeError, match="unexpected keyword argument 'wrong'"):
            decorated(wrong=1)
    assert (calls, fake.slept, CircuitBreaker.of(decorated).failures) == ([], [], 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_an_interruption_passes_through_everything(fake, error):
    function, calls = flaky(9, error)
    decorated = CircuitBreaker(failure_threshold=1)(retry()(on_failure(lambda: 0)(function)))
    with pytest.raises(error):
        decorated()
    assert (len(calls), fake.slept, CircuitBreaker.of(decorated).state) == (1, [], "closed")


# S20: on_failure


@BOTH
def test_a_fallback_gives_the_value_on_the_final_failure(is_async):
    function, calls = flaky(9, is_async=is_async)
    assert called(on_failure(lambda: "instead")(retry(max_attempts=3)(function))) == "instead"
    assert len(calls) == 3


def test_a_fallback_gets_the_error_if_it_takes_one():
    """Needed, or named as an error; a default that carries a value along is left alone."""

    def needs(problem):
        return repr(problem)

    def named(exc=None):
        return repr(exc)

    for fallback in (needs, named, functools.partial(lambda a, b: repr(b), 1)):
        assert on_failure(fallback)(flaky(1)[0])() == "ConnectionError('no 1')"
    assert on_failure(lambda value=7: value)(flaky(1)[0])() == 7
    assert on_failure(lambda *rest: rest)(flaky(1)[0])() == ()
    assert on_failure(dict)(flaky(1)[0])() == {}


@BOTH
def test_a_fallback_that_raises_is_the_failure(is_async):
    """What it was to replace is its cause."""

    def worse(error):
        raise KeyError("worse")

    with pytest.raises(KeyError, match="worse") as caught:
        called(on_failure(worse)(flaky(1, is_async=is_async)[0]))
    assert str(caught.value.__cause__) == "no 1"


def test_a_fallback_may_raise_the_error_again():
    def again(error):
        raise error

    with pytest.raises(ConnectionError) as caught:
        on_failure(again)(flaky(1)[0])()
    assert caught.value.__cause__ is None


def test_a_fallback_is_for_the_errors_it_is_for():
    decorate = on_failure(lambda: "instead", on=[ConnectionError])
    assert decorate(flaky(1)[0])() == "instead"
    with pytest.raises(ValueError):
        decorate(flaky(1, ValueError)[0])()


def test_an_async_function_may_have_an_async_fallback_and_action():
    told = []

    async def tell(error):
        await asyncio.sleep(0)
        told.append(str(error))

    async def instead():
        await asyncio.sleep(0)
        return "instead"

    decorate = on_failure(instead, action=tell)
    assert called(decorate(flaky(1, is_async=True)[0])) == "instead"
    assert told == ["no 1"]
    with pytest.raises(DefinitionError, match="is a plain function, and so must be its fallback and its on_failure"):
        decorate(flaky(1)[0])


@BOTH
def test_an_action_is_told_of_each_final_failure_with_the_recipients(is_async):
    told = []
    function, _ = flaky(2, is_async=is_async)
    decorate = on_failure(action=lambda error, to: told.append((str(error), to)), recipients=["a@b", "c@d"])
    with pytest.raises(ConnectionError):
        called(decorate(retry(max_attempts=2)(function)))
    assert told == [("no 2", ("a@b", "c@d"))]
    assert called(decorate(function)) == "value"
    assert len(told) == 1


@BOTH
def test_an_action_that_raises_changes_nothing(caplog, is_async):
    """It is noted on the error and logged."""

    def action(error):
        raise OSError("no mail")

    with pytest.raises(ConnectionError) as caught:
        called(on_failure(action=action)(flaky(1, is_async=is_async)[0]))
    (note,) = caught.value.__notes__
    assert note.endswith("the action action raised OSError: no mail")
    assert note in caplog.text
    assert called(on_failure(lambda: 5, action=action)(flaky(1, is_async=is_async)[0])) == 5


# S20: CircuitBreaker


@BOTH
def test_a_breaker_opens_tries_again_and_closes(fake, is_async):
    function, calls = flaky(4, is_async=is_async)
    decorated = CircuitBreaker(failure_threshold=3, timeout=60)(function)
    circuit = CircuitBreaker.of(decorated)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            called(decorated)
    assert (circuit.state, circuit.failures, len(calls)) == ("open", 3, 3)
    fake.now = 59.0
    with pytest.raises(CircuitOpenError) as caught:
        called(decorated)
    assert str(caught.value) == (
        f"'{function.__name__}' was not called: 3 calls in a row failed, the last with ConnectionError: no 3; "
        f"it is tried again in 1 s"
    )
    assert (caught.value.step, caught.value.retry_after) == (function.__name__, 1.0)
    fake.now = 60.0
    assert circuit.state == "half-open"
    with pytest.raises(ConnectionError):  # the trial fails: open at once
        called(decorated)
    assert (circuit.state, len(calls)) == ("open", 4)
    fake.now = 120.0
    assert called(decorated) == "value"
    assert (circuit.state, circuit.failures, len(calls)) == ("closed", 0, 5)


def test_a_success_ends_the_row_of_failures():
    outcomes = iter([1, 1, 0, 1, 1, 0])
    decorated = CircuitBreaker(failure_threshold=3)(lambda: 1 // (1 - next(outcomes)))
    for _ in range(6):
        with contextlib.suppress(ZeroDivisionError):
            decorated()
    assert CircuitBreaker.of(decorated).state == "closed"


def test_an_open_breaker_is_not_retried(fake):
    """The error says what it hides."""
    function, calls = flaky(9)
    decorated = retry(max_attempts=5, backoff=1)(CircuitBreaker(failure_threshold=2)(function))
    with pytest.raises(CircuitOpenError) as caught:
        decorated()
    assert (len(calls), fake.slept, str(caught.value.__cause__)) == (2, [1, 1], "no 2")
    with pytest.raises(CircuitOpenError):
        decorated()
    assert (len(calls), len(fake.slept)) == (2, 2)


def test_an_open_breaker_falls_back():
    function, calls = flaky(9)
    decorated = CircuitBreaker(failure_threshold=1)(on_failure(lambda exc: type(exc).__name__)(function))
    assert [decorated(), decorated()] == ["ConnectionError", "CircuitOpenError"]
    assert len(calls) == 1


def test_every_decorated_function_has_one_breaker():
    """One object over two functions makes two circuits; one function keeps its own through further decorators."""
    breaker = CircuitBreaker(failure_threshold=1)
    one, two = breaker(flaky(9)[0]), breaker(flaky(9)[0])
    with pytest.raises(ConnectionError):
        one()
    assert (CircuitBreaker.of(one).state, CircuitBreaker.of(two).state) == ("open", "closed")
    assert CircuitBreaker.of(retry()(one)) is CircuitBreaker.of(one)
    assert CircuitBreaker.of(pipeline_step()(one)()) is CircuitBreaker.of(one)
    CircuitBreaker.of(one).reset()
    assert CircuitBreaker.of(one).state == "closed"
    with pytest.raises(DefinitionError, match="has no circuit breaker"):
        CircuitBreaker.of(len)


def test_an_interrupted_trial_leaves_the_trial_to_the_next_call(fake):
    errors = iter([ConnectionError(), KeyboardInterrupt(), None])

    @CircuitBreaker(failure_threshold=1, timeout=1)
    def function():
        error = next(errors)
        if error is not None:
            raise error

    with pytest.raises(ConnectionError):
        function()
    fake.now = 1.0
    with pytest.raises(KeyboardInterrupt):
        function()
    assert CircuitBreaker.of(function).state == "half-open"
    function()
    assert CircuitBreaker.of(function).state == "closed"


# What a decorated function is


@BOTH
def test_a_decorated_function_keeps_what_it_is(is_async):
    function, _ = flaky(0, is_async=is_async)
    function.note = "own"
    decorated = retry()(on_failure(lambda: 0)(CircuitBreaker()(function)))
    assert decorated.__wrapped__ is function
    assert (decorated.__name__, decorated.__qualname__, decorated.__doc__, decorated.__module__) == (
        function.__name__, function.__qualname__, "What it does.", function.__module__,
    )  # fmt: skip
    assert inspect.signature(decorated) == inspect.signature(function)
    assert inspect.iscoroutinefunction(decorated) is is_async
    assert decorated.note == "own"
    assert called(decorated, value=3) == 3


def test_methods_can_be_decorated():
    class Client:
        calls = 0

        @retry(max_attempts=2)
        def ask(self, what):
            self.calls += 1
            if self.calls < 2:
                raise ConnectionError
            return what

    client = Client()
    assert (client.ask("x"), client.calls) == ("x", 2)


def test_a_function_that_calls_itself_has_its_policies_inside_too():
    calls = []

    @retry(max_attempts=2)
    def function(depth):
        calls.append(depth)
        if depth and calls.count(depth) < 2:
            raise ConnectionError
        return function(depth - 1) if depth else "done"

    assert function(2) == "done"
    assert calls == [2, 2, 1, 1, 0]


MODULE = """
from crystallize_core import pipeline_step
from crystallize_retries import CircuitBreaker, FakeClock, on_failure, retry, use_clock

@retry(max_attempts=1)
@CircuitBreaker(failure_threshold=1)
def plain(data, ctx):
    raise ValueError

@on_failure(lambda: 0)
@pipeline_step()
@CircuitBreaker(failure_threshold=1)
def step(data, ctx):
    raise ValueError

other = pipeline_step()(plain)
"""


def test_it_pickles_by_its_name_and_a_worker_has_a_closed_breaker_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "decorated_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import decorated_module as module

    for item in (module.plain, module.step):
        assert pickle.loads(pickle.dumps(item)) is item
    copy = pickle.loads(pickle.dumps(module.other))
    assert (copy.function, copy.options) == (module.plain, module.other.options)
    with pytest.raises(ValueError):
        module.plain(1, None)
    assert CircuitBreaker.of(module.plain).state == "open"
    (tmp_path / "sent").write_bytes(pickle.dumps((module.plain, module.step, module.other, module.step())))
    code = (
        "import pickle, pathlib; from crystallize_retries import CircuitBreaker; "
        "print([CircuitBreaker.of(item).state for item in pickle.loads(pathlib.Path('sent').read_bytes())])"
    )
    path = ":".join([str(tmp_path), *[entry for entry in sys.path if entry]])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(["closed"] * 4)


def test_it_can_be_sent_by_value():
    """For functions of a notebook, where the other process cannot import them."""
    cloudpickle = pytest.importorskip("cloudpickle")
    scope = {"__name__": "__main__"}
    exec(MODULE, scope)
    for name in ("plain", "other", "step"):
        copy = pickle.loads(cloudpickle.dumps(scope[name]))
        assert CircuitBreaker.of(copy).state == "closed"
    plain = pickle.loads(cloudpickle.dumps(scope["plain"]))
    with pytest.raises(ValueError):
        plain(1, None)
    with pytest.raises(CircuitOpenError):
        plain(1, None)


def test_the_errors_survive_pickling():
    error = CircuitOpenError("open", step="fetch", retry_after=2.5)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.step, copy.retry_after) == ("open", "fetch", 2.5)
    assert isinstance(copy, RuntimeError)


# Wrong use


def generator():
    yield 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: retry(len), r"with parentheses: @retry\(\)"),
        (lambda: retry(0), "max_attempts must be an int of at least 1, counting the first call; found 0"),
        (lambda: retry(True), "max_attempts must be an int"),
        (lambda: retry(2.0), "max_attempts must be an int"),
        (lambda: retry(backoff=-1), r"backoff must be a finite number of at least 0 or an object with delays\(\)"),
        (lambda: retry(backoff=float("nan")), "backoff must be"),
        (lambda: retry(backoff="2"), "backoff must be .* found '2'"),
        (lambda: retry(on=["OSError"]), r"retry: on must be exception types.* found 'OSError'"),
        (lambda: retry(on=KeyboardInterrupt), "retry: on must be exception types"),
        (lambda: retry(not_on=[3]), "retry: not_on must be exception types"),
        (on_failure, "needs a fallback, .* or an action"),
        (lambda: on_failure(3), "a fallback must be a function that takes nothing, or the error; found 3"),
        (lambda: on_failure(lambda a, b: 0), "a fallback must be a function"),
        (lambda: on_failure(on_failure(dict)), "a fallback must be a function"),
        (lambda: on_failure(pipeline_step()(lambda data: 0)), "a fallback must be a function"),
        (lambda: on_failure(dict, on=[3]), "on_failure: on must be exception types"),
        (lambda: on_failure(action=print, on=[OSError]), "says when the fallback is used, and there is none"),
        (lambda: on_failure(action="mail"), r"can be called as action\(error\); found 'mail'"),
        (lambda: on_failure(action=lambda e: 0, recipients=["a"]), r"called as action\(error, recipients\)"),
        (lambda: on_failure(dict, recipients=["a"]), "recipients are passed to the action, and there is none"),
        (lambda: CircuitBreaker(len), r"with parentheses: @CircuitBreaker\(\)"),
        (lambda: CircuitBreaker(0), "failure_threshold must be an int of at least 1; found 0"),
        (lambda: CircuitBreaker(True), "failure_threshold must be an int of at least 1; found True"),
        (lambda: CircuitBreaker(timeout=-1), "timeout must be a number of seconds, at least 0; found -1"),
        (lambda: CircuitBreaker(timeout="60"), "timeout must be a number of seconds"),
        (lambda: retry()(3), "found 3"),
        (lambda: retry()(PipelineStep), r"has them as options = \{...\}, or decorates its __call__"),
        (lambda: retry()(pipeline_step()(lambda data: 0)()), "decorate what makes the step"),
        (lambda: retry()(generator), "generator is a generator, whose errors come only when it is read"),
        (lambda: retry(2)(retry(3)(len)), "step 'len' is given the option 'retry' twice"),
        (lambda: on_failure(dict)(on_failure(list)(len)), "step 'len' is given the option 'fallback' twice"),
        (lambda: on_failure(dict, action=print)(on_failure(action=repr)(len)), "option 'on_failure' twice"),
        (lambda: retry(2)(pipeline_step(retry=3)(lambda data: 0)), "is given the option 'retry' twice"),
        (lambda: pipeline_step(retry=3)(retry(2)(lambda data: 0)), "is given the option 'retry' twice"),
    ],
)
def test_wrong_use_is_refused_where_it_is_written(make, text):
    with pytest.raises(DefinitionError, match=text):
        make()


def test_the_same_thing_said_twice_is_fine(fake):
    function, calls = flaky(9)
    with pytest.raises(ConnectionError):
        retry(2)(retry(2)(function))()
    assert len(calls) == 2

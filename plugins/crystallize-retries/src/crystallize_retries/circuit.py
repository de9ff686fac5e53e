"""The circuit breaker: leave a function alone that keeps failing, and try it again after a while.

pybreaker is not used: it reads the time of day from `datetime.now`, where no other clock can be put, it
holds its lock while the function runs, so that threads call it one after the other, and it has no `async def`.
"""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import attrs

from crystallize_core.clock import clock
from crystallize_core.errors import describe
from crystallize_retries.errors import NOT_THE_STEP, CircuitOpenError

__all__ = ["BreakerRule", "Circuit", "body_of", "circuit_for", "guarded", "guarded_async"]

Call = Callable[[Any, Any], Any]
AsyncCall = Callable[[Any, Any], Awaitable[Any]]
State = Literal["closed", "open", "half-open"]


@attrs.frozen
class BreakerRule:
    """When a circuit opens and for how long.

    Attributes:
        failure_threshold: So many failures one after the other open it.
        timeout: Seconds until a call is tried again.

    """

    failure_threshold: int = 5
    timeout: float = 60.0


@attrs.frozen
class _Pass:
    """Permission for one call; what the call comes to counts only while the circuit is as it was then."""

    era: int
    trial: bool


class Circuit:
    """What one function of this process came to lately, and whether it may be called.

    Closed, every call goes through; after `failure_threshold` failures one after the other it is open and
    calls fail at once; after `timeout` seconds it is half-open and lets exactly one call through, whose
    success closes it and whose failure opens it again. Safe to use from several threads.
    """

    def __init__(self, rule: BreakerRule) -> None:
        self.rule = rule
        self._lock = threading.Lock()
        self._failures = 0
        self._opened: float | None = None
        self._on_trial = False
        self._era = 0
        self._why = ""

    @property
    def state(self) -> State:
        """`closed`, `open` or `half-open`."""
        with self._lock:
            return self._state()

    @property
    def failures(self) -> int:
        """How many calls failed one after the other."""
        return self._failures

    def reset(self) -> None:
        """Close it, whatever happened before."""
        with self._lock:
            self._failures = 0
            self._turn(None)

    def enter(self, name: str) -> _Pass:
        """Ask whether a call may go through; what it came to is then told to `leave`.

        Args:
            name: What is called, for the message.

        Raises:
            CircuitOpenError: It may not.

        """
        with self._lock:
            state = self._state()
            if state == "closed":
                return _Pass(self._era, trial=False)
            if state == "half-open" and not self._on_trial:
                self._on_trial = True
                return _Pass(self._era, trial=True)
            raise self._refusal(name, state)

    def leave(self, permission: _Pass, error: BaseException | None) -> None:
        """Count what a call came to; an interruption, or what is not the function's doing, counts for nothing."""
        failed = isinstance(error, Exception) and not isinstance(error, NOT_THE_STEP)
        with self._lock:
            if permission.era != self._era:  # it began before the circuit was opened or closed
                return
            if permission.trial:
                self._on_trial = False
            if failed and error is not None:
                self._failures += 1
                if permission.trial or self._failures >= self.rule.failure_threshold:
                    self._why = describe(error)
                    self._turn(clock.monotonic())
            elif error is None:
                self._failures = 0
                if permission.trial:
                    self._turn(None)

    def _state(self) -> State:
        if self._opened is None:
            return "closed"
        return "half-open" if clock.monotonic() - self._opened >= self.rule.timeout else "open"

    def _turn(self, opened: float | None) -> None:
        self._opened = opened
        self._on_trial = False
        self._era += 1

    def _refusal(self, name: str, state: State) -> CircuitOpenError:
        left = 0.0
        if state == "open" and self._opened is not None:
            left = max(0.0, self.rule.timeout - (clock.monotonic() - self._opened))
        again = f"it is tried again in {left:g} s" if state == "open" else "a call that runs now is the trial"
        message = f"{name!r} was not called: {self._failures} calls in a row failed, the last with {self._why}; {again}"
        return CircuitOpenError(message, step=name, retry_after=left)


def guarded(call: Call, name: str, circuit: Circuit) -> Call:
    """`call`, as long as the circuit lets it through."""

    def watched(data: Any, ctx: Any) -> Any:
        permission = circuit.enter(name)
        try:
            output = call(data, ctx)
        except BaseException as error:
            circuit.leave(permission, error)
            raise
        circuit.leave(permission, None)
        return output

    return watched


def guarded_async(call: AsyncCall, name: str, circuit: Circuit) -> AsyncCall:
    """The same for a step that is `async def`."""

    async def watched(data: Any, ctx: Any) -> Any:
        permission = circuit.enter(name)
        try:
            output = await call(data, ctx)
        except BaseException as error:
            circuit.leave(permission, error)
            raise
        circuit.leave(permission, None)
        return output

    return watched


_circuits: Final[weakref.WeakKeyDictionary[Any, dict[BreakerRule, Circuit]]] = weakref.WeakKeyDictionary()
_circuits_lock: Final = threading.Lock()


def circuit_for(function: Any, rule: BreakerRule) -> Circuit:
    """The one circuit of a function in this process.

    Circuits are kept beside the functions and not in what is pickled, so that a worker has its own.
    """
    with _circuits_lock:
        of_function = _circuits.setdefault(body_of(function), {})
        # Not the rule itself: it may be the decorator, and those with equal numbers mean the same.
        plain = BreakerRule(rule.failure_threshold, rule.timeout)
        return of_function.setdefault(plain, Circuit(plain))


def body_of(target: Any) -> Any:
    """The function at the bottom of all wrappers; that of an object is the `__call__` of its class."""
    while isinstance(target, functools.partial):
        target = target.func
    target = inspect.unwrap(target)
    if inspect.ismethod(target):
        return body_of(target.__func__)
    if inspect.isroutine(target) or isinstance(target, type):
        return target
    return body_of(type(target).__call__)

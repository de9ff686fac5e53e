"""Watching the calls of hooks: their times, and a line for each as it happens.

What is watched is wrapped when the calls are compiled; a run that is not watched has nothing of it in its plan.
Those who watch are told of each call when it has ended, and of those that other calls happen inside of when they begin.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from functools import partial
from time import perf_counter_ns
from typing import Any, Final, Protocol

import attrs

__all__ = ["ENCLOSING", "POLICY", "Call", "Watcher", "watched"]

POLICY: Final = "policy"
"""Stands in place of the name of a hook for the calls of what `wrap_step` returned."""

ENCLOSING: Final = frozenset({"run_experiment_loop", POLICY})
"""Calls that other calls happen inside of."""


@attrs.define  # what is frozen takes several times as long to make, and one is made for each call
class Call:
    """One call of an implementation.

    Attributes:
        hook: The hook; `policy` for a call of what `wrap_step` returned.
        plugin: The name of the plugin.
        arguments: What the hook was called with, in the order of its specification. A policy has those of its
            `wrap_step`, with the context of this call in place of `call`.
        nanoseconds: How long it took, without what it is around.
        answer: What it returned.
        error: What it raised itself; None if nothing.

    """

    hook: str
    plugin: str
    arguments: tuple[Any, ...]
    nanoseconds: int = 0
    answer: Any = None
    error: BaseException | None = None


class Watcher(Protocol):
    """Somebody who watches."""

    def begins(self, call: Call) -> None:
        """A call begins that others happen inside of."""

    def ended(self, call: Call) -> None:
        """A call has ended."""


_Function = Callable[..., Any]


def watched(
    hook: str, plugin: str, call: Callable[[tuple[Any, ...]], Any], watchers: tuple[Watcher, ...], *, wraps: bool
) -> _Function:
    """A function of all arguments of the hook, that calls an implementation and tells of it.

    Args:
        hook, plugin: What is called.
        call: Calls the implementation with the arguments of the specification.
        watchers: Who is told.
        wraps: Whether it is a generator around the other implementations.

    """
    made = _Watched(hook, plugin, call, watchers)
    if hook == "wrap_step":
        return made.wrap_step
    return made.generator if wraps else made.plain


@attrs.frozen
class _Watched:
    hook: str
    plugin: str
    call: Callable[[tuple[Any, ...]], Any]
    watchers: tuple[Watcher, ...]

    def begins(self, hook: str, arguments: tuple[Any, ...]) -> None:
        if hook in ENCLOSING:
            for watcher in self.watchers:
                watcher.begins(Call(hook, self.plugin, arguments))

    def ended(self, found: Call) -> None:
        for watcher in self.watchers:
            watcher.ended(found)

    def plain(self, *arguments: Any) -> Any:
        """Call what is no wrapper."""
        self.begins(self.hook, arguments)
        answer, error = None, None
        start = perf_counter_ns()
        try:
            answer = self.call(arguments)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self.ended(Call(self.hook, self.plugin, arguments, perf_counter_ns() - start, answer, error))
        return answer

    def generator(self, *arguments: Any) -> Generator[Any, Any, Any]:
        """Go through a wrapper, whose time is that of its own code on both sides of its `yield`."""
        inner = self.call(arguments)
        resume: Callable[[], Any] = partial(next, inner)
        spent, passing = 0, None
        while True:
            error: BaseException | None = None
            start = perf_counter_ns()
            try:
                value = resume()
            except StopIteration as end:
                self.ended(Call(self.hook, self.plugin, arguments, spent + perf_counter_ns() - start))
                return end.value
            except BaseException as raised:
                error = None if raised is passing else raised
                self.ended(Call(self.hook, self.plugin, arguments, spent + perf_counter_ns() - start, None, error))
                raise
            spent += perf_counter_ns() - start
            try:
                yield value
            except BaseException as raised:  # noqa: BLE001 - handed to the wrapper, which decides about it
                passing, resume = raised, partial(inner.throw, raised)
            else:
                resume = partial(next, inner)

    # Policies -----------------------------------------------------------------------------------------

    def wrap_step(self, *arguments: Any) -> Any:
        """Ask for a policy, and watch that too."""
        experiment, step, inner = arguments
        meter = _Meter()
        timed = meter.around_async(inner) if step.is_async else meter.around(inner)
        found = self.plain(experiment, step, timed)
        if found is timed:
            return inner
        if not callable(found):
            return found
        policy = self._async_policy(found, meter, step) if step.is_async else self._policy(found, meter, step)
        vars(policy)["single_attempt"] = getattr(found, "single_attempt", False)
        return policy

    def _policy(self, found: _Function, meter: _Meter, step: Any) -> _Function:
        def policy(data: Any, ctx: Any) -> Any:
            with self._span(meter, step, ctx):
                return found(data, ctx)

        return policy

    def _async_policy(self, found: _Function, meter: _Meter, step: Any) -> _Function:
        async def policy(data: Any, ctx: Any) -> Any:
            with self._span(meter, step, ctx):
                return await found(data, ctx)

        return policy

    @contextlib.contextmanager
    def _span(self, meter: _Meter, step: Any, ctx: Any) -> Iterator[None]:
        """One call of a policy."""
        arguments = (None, step, ctx)
        self.begins(POLICY, arguments)
        error: BaseException | None = None
        span = meter.spans[id(ctx)] = _Span(perf_counter_ns())
        try:
            yield
        except BaseException as raised:
            error = None if raised is span.raised else raised
            raise
        finally:
            del meter.spans[id(ctx)]
            self.ended(Call(POLICY, self.plugin, arguments, span.own(perf_counter_ns()), None, error))


class _Span:
    """One call of a policy: what of its time is spent inside of it, and what came from there."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.inside = 0
        self.running: int | None = None
        self.raised: BaseException | None = None

    def own(self, now: int) -> int:
        """The time that is not spent inside; an attempt that was given up and still runs counts as inside."""
        still = 0 if self.running is None else now - self.running
        return max(0, now - self.start - self.inside - still)


class _Meter:
    """Takes the time inside of the calls of one policy; they are told apart by the context that is handed on.

    The thread does not tell them apart: a policy may have the attempt run in another one.
    """

    def __init__(self) -> None:
        self.spans: dict[int, _Span] = {}

    def around(self, inner: _Function) -> _Function:
        """The inner call with its time taken."""

        def call(data: Any, ctx: Any) -> Any:
            with self._inside(ctx):
                return inner(data, ctx)

        return call

    def around_async(self, inner: _Function) -> _Function:
        """The same for a coroutine function."""

        async def call(data: Any, ctx: Any) -> Any:
            with self._inside(ctx):
                return await inner(data, ctx)

        return call

    @contextlib.contextmanager
    def _inside(self, ctx: Any) -> Iterator[None]:
        span = self.spans.get(id(ctx))
        if span is None:  # a policy that hands on a context of its own
            yield
            return
        span.running = start = perf_counter_ns()
        try:
            yield
        except BaseException as error:
            span.raised = error
            raise
        finally:
            if span.running == start:
                span.inside += perf_counter_ns() - start
                span.running = None

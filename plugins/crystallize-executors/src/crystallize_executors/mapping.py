"""`parallel_map`: a function on every item of an iterable, side by side, with the results in order."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, Callable, Iterable, Sized
from typing import Any, Literal, TypeVar, overload

from crystallize_executors.budget import workers
from crystallize_executors.gathering import Gathering, ItemError, name_of
from crystallize_executors.map_threads import map_in_threads, map_inline, must_leave_thread

__all__ = ["parallel_map"]

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
Backend = Literal["thread", "process"]


@overload
def parallel_map(
    func: Callable[[ItemT], ResultT],
    items: Iterable[ItemT],
    num_workers: int | None = None,
    backend: Backend = "thread",
    *,
    max_workers: int | None = None,
    errors: Literal["raise"] = "raise",
) -> list[ResultT]: ...
@overload
def parallel_map(
    func: Callable[[ItemT], ResultT],
    items: Iterable[ItemT],
    num_workers: int | None = None,
    backend: Backend = "thread",
    *,
    max_workers: int | None = None,
    errors: Literal["collect"],
) -> list[ResultT | ItemError]: ...
def parallel_map(
    func: Callable[[ItemT], ResultT],
    items: Iterable[ItemT],
    num_workers: int | None = None,
    backend: Backend = "thread",
    *,
    max_workers: int | None = None,
    errors: Literal["raise", "collect"] = "raise",
) -> list[ResultT] | list[ResultT | ItemError]:
    """Call `func` with each item, several at a time; returns the results in the order of the items.

    Works anywhere, inside the steps of any executor and inside another `parallel_map`. Inside a worker, the call takes
    that worker's share of the cores, and `num_workers` is an upper limit.

    Args:
        func: A plain function of one argument; not `async`.
        items: Any iterable. A generator is read in this thread, only a little ahead of the work.
        num_workers: How many at a time; None for the cores that may be used here.
        backend: `"thread"`, for functions that wait or compute outside Python: they see a copy of the
            caller's context variables. `"process"`, for functions that compute in Python: function, items and
            results are pickled; functions of a script, lambdas and closures as well.
        max_workers: Another name for `num_workers`.
        errors: `"raise"`: the error of the first item, by the order of the input, that failed is raised as it
            is, with a note that has the index of the item; no item after it is started. `"collect"`: such an item has
            an `ItemError` for its result, and all others are run.

    Raises:
        TypeError: `func` cannot be called or is asynchronous, or `items` is no iterable.
        ValueError: Another argument has a value that it cannot have.
        NotSendableError: The function, an item or a result cannot be sent to another process.
        WorkerError: A worker process died; the message has the index of the item.

    """
    wanted = _checked(func, items, num_workers, max_workers, backend, errors)
    total = len(items) if isinstance(items, Sized) else None
    gathering = Gathering(items, name_of(func), collect=errors == "collect")
    count = workers(wanted, total)
    if backend == "process":
        from crystallize_executors.map_processes import map_in_processes  # noqa: PLC0415 - needs multiprocessing

        map_in_processes(gathering, func, count, total)
    elif count == 1 and not must_leave_thread():
        map_inline(gathering, func)
    else:
        map_in_threads(gathering, func, count)
    return gathering.results()


def _checked(func: Any, items: Any, num_workers: Any, max_workers: Any, backend: object, errors: object) -> int | None:
    """The number of workers that is asked for.

    Raises:
        TypeError, ValueError: As `parallel_map` says.

    """
    if not callable(func):
        hint = "; the function comes first, then the items" if callable(items) else ""
        raise TypeError(f"func must be callable; found {type(func).__qualname__}{hint}")
    if _is_async(func):
        raise TypeError(
            f"parallel_map calls plain functions, and {name_of(func)} is asynchronous: await asyncio.gather(...) in an "
            f"async step, or pass a function that runs it, such as lambda item: asyncio.run({name_of(func)}(item))"
        )
    if not isinstance(items, Iterable) and not hasattr(items, "__getitem__"):
        hint = "; collect an asynchronous iterable first" if isinstance(items, AsyncIterable) else ""
        raise TypeError(f"items must be an iterable; found {type(items).__qualname__}{hint}")
    for name, value in (("num_workers", num_workers), ("max_workers", max_workers)):
        if value is not None and (type(value) is not int or value < 1):
            expected = "an int of at least 1, or None to choose by the machine"
            raise ValueError(f"{name} must be {expected}; found {value!r}")
    if None not in {num_workers, max_workers} and num_workers != max_workers:
        found = f"num_workers={num_workers} and max_workers={max_workers}"
        raise ValueError(f"num_workers and max_workers are two names of one number; found {found}")
    for name, value, choices in (("backend", backend, ("thread", "process")), ("errors", errors, ("raise", "collect"))):
        if value not in choices:
            raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}; found {value!r}")
    wanted: int | None = max_workers if num_workers is None else num_workers
    return wanted


def _is_async(func: Any) -> bool:
    while isinstance(func, functools.partial):
        func = func.func
    if isinstance(func, type):
        return False
    call = getattr(type(func), "__call__", None)  # noqa: B004 - the method is wanted, not whether there is one
    return any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in (func, call))

"""What `parallel_map` sends between processes: the function, items, results and exceptions, each as bytes of its own.

Bytes of its own, so that what cannot be pickled or unpickled fails its own item and no other.
"""

from __future__ import annotations

import functools
import pickle
import traceback
from typing import TYPE_CHECKING, Any, Final, Self

from crystallize_core.errors import NotSendableError, RemoteError, describe, safe_str
from crystallize_core.packing import dumped
from crystallize_core.pickling import MainByValue, dumped_by_value
from crystallize_core.stack.files import reload_files, shipped_files
from crystallize_core.stack.overrides import overrides, take_over
from crystallize_executors.gathering import name_of
from crystallize_executors.map_threads import call_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Said = tuple[str | None, tuple[str, ...], str | None]

__all__ = ["Call", "Ticket", "function_bytes", "item_bytes", "read_error"]

LONGEST_CHAIN: Final = 20
"""So many causes of causes are sent with an exception."""


class Ticket(int):
    """The index of an item, which takes the item along to the worker but not back."""

    body: bytes

    def __new__(cls, index: int, body: bytes) -> Self:
        """An index with the pickled item."""
        ticket = super().__new__(cls, index)
        ticket.body = body
        return ticket

    def __reduce__(self) -> tuple[Any, ...]:
        return Ticket, (int(self), self.body)


class Call:
    """Runs the function on the item of a ticket; this is what a worker process is given.

    Args:
        files: The Python files to load first: path and content by the name of the module.
        body: The pickled function.
        said: What the command line says about stacks, which a file may make when it is loaded.

    """

    def __init__(self, files: dict[str, tuple[str, bytes]], body: bytes, said: Said) -> None:
        take_over(said)
        reload_files(files)
        self._files, self._body, self._said = files, body, said
        self._func: Callable[[Any], Any] = pickle.loads(body)  # noqa: S301 - sent by the process that started this one

    def __reduce__(self) -> tuple[Any, ...]:
        return Call, (self._files, self._body, self._said)

    def __call__(self, ticket: Ticket) -> tuple[bool, bytes]:
        """Whether it succeeded, and the pickled result or exception."""
        body, ticket.body = ticket.body, b""
        try:
            item = pickle.loads(body)  # noqa: S301 - as above
            del body
            result = call_plain(self._func, item)
        except BaseException as error:  # noqa: BLE001 - raised again by the coordinator
            return False, _error_bytes(error)
        try:
            return True, dumped(result)
        except Exception as error:  # noqa: BLE001 - a foreign __reduce__ may raise anything
            text = f"the result of {name_of(self._func)}, of type {type(result).__qualname__}, cannot be sent back"
            trouble = NotSendableError(f"{text} from its worker process: {describe(error)}")
            trouble.__cause__ = error
            return False, _error_bytes(trouble)


def function_bytes(func: Callable[[Any], Any]) -> bytes:
    """The payload for the workers.

    Raises:
        NotSendableError: The function cannot be pickled; the message names the part that is to blame.

    """
    try:
        body = _by_value(func)
    except Exception as error:
        stuck = [f"{what}: {describe(reason)}" for what, part in _parts(func) if (reason := _refusal(part)) is not None]
        listed = "".join(f"\n  {line}" for line in stuck or [describe(error)])
        raise NotSendableError(
            f"parallel_map cannot send {name_of(func)} to another process:{listed}\n"
            """  make what cannot be sent inside the function, pass it as part of the items, or use backend="thread\""""
        ) from error
    return pickle.dumps(_Recipe(shipped_files(body), body))


class _Recipe:
    """Pickles to a `Call` that is only made in the worker."""

    def __init__(self, files: dict[str, tuple[str, bytes]], body: bytes) -> None:
        said = overrides()
        self._call = files, body, (said.profile, said.options, said.executor)

    def __reduce__(self) -> tuple[Any, ...]:
        return Call, self._call


def item_bytes(item: Any) -> bytes:
    """A pickled item; by value where the worker could not find the name of what it is made of."""
    try:
        body = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - whatever it was, cloudpickle decides
        return _by_value(item)
    return _by_value(item) if b"__main__" in body else body


def _by_value(value: Any) -> bytes:
    with MainByValue():
        return dumped_by_value(value)


def _refusal(part: Any) -> Exception | None:
    try:
        _by_value(part)
    except Exception as error:  # noqa: BLE001 - foreign objects may raise anything when pickled
        return error
    return None


def _parts(func: Any) -> Iterator[tuple[str, Any]]:
    """What a function takes with it, with a name for each."""
    if isinstance(func, functools.partial):
        yield from _parts(func.func)
        yield from ((f"the bound argument {place}", value) for place, value in enumerate(func.args))
        yield from ((f"the bound argument {name!r}", value) for name, value in func.keywords.items())
        return
    owner = getattr(func, "__self__", None)
    if owner is not None:
        yield f"the {type(owner).__qualname__} that it is a method of", owner
    func = getattr(func, "__func__", func)
    code = getattr(func, "__code__", None)
    if code is None:
        return
    for name, cell in zip(code.co_freevars, func.__closure__ or (), strict=False):
        try:
            yield f"the variable {name!r} of the function around it", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from ((f"the global {name!r}", func.__globals__[name]) for name in code.co_names if name in func.__globals__)
    yield from (("a default of a parameter", value) for value in func.__defaults__ or ())


# --- exceptions: pickle forgets their causes and tracebacks, and cannot rebuild those with an __init__ of their own


def _error_bytes(error: BaseException) -> bytes:
    details = "".join(traceback.format_exception(error)).rstrip()
    chain: list[bytes] = []
    current: BaseException | None = error
    while current is not None and len(chain) < LONGEST_CHAIN:
        chain.append(_one_error(current, details if current is error else ""))
        current = current.__cause__
    return pickle.dumps((chain, details))


def _one_error(error: BaseException, details: str) -> bytes:
    for way in (error, _Bare(error)):
        try:
            body = dumped(way)
            copy = pickle.loads(body)  # noqa: S301 - our own bytes, made one line above
        except Exception:  # noqa: BLE001, S112 - any failure to travel means the same
            continue
        if type(copy) is type(error) and safe_str(copy) == safe_str(error):
            return body
    return pickle.dumps(RemoteError(type(error).__qualname__, safe_str(error), details))


class _Bare:
    """Pickles an exception as its type, arguments and attributes, and leaves its `__init__` out."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self._error), self._error.args, dict(vars(self._error)))


def _rebuilt(kind: type[BaseException], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    vars(error).update(attributes)
    return error


def read_error(body: bytes) -> BaseException:
    """The exception of a worker with its causes, and its traceback there as a note."""
    chain, details = pickle.loads(body)  # noqa: S301 - from a process of this call
    first: BaseException | None = None
    for part in reversed(chain):
        try:
            error = pickle.loads(part)  # noqa: S301 - as above
        except Exception as reason:  # noqa: BLE001 - a foreign __setstate__ may raise anything
            error = RemoteError("an exception that cannot be read here", describe(reason), details)
        if first is not None:
            error.__cause__ = first
        first = error
    if first is None:
        return RemoteError("an exception", "of which nothing arrived", details)
    first.add_note(details)
    return first

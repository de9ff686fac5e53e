"""What `parallel_map` knows while it runs: which items were taken, what became of them, and when to stop."""

from __future__ import annotations

import contextlib
import reprlib
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Gathering", "ItemError", "described", "name_of"]

_SHOWN: Final = 80
"""An item is described in at most so many characters."""
_NOTHING: Final[Any] = object()


@attrs.frozen
class ItemError:
    """Stands in the results of `parallel_map(..., errors="collect")` for an item that failed.

    Args:
        index: The place of the item in the input, from 0.
        error: What was raised.

    """

    index: int
    error: Exception


class Gathering:
    """Takes items out of the input one by one, and puts their results in order.

    One thread uses it, the one that called `parallel_map`; others may read `first_failure`.

    Args:
        items: The input.
        name: How messages call the function.
        collect: Whether an item that fails leaves an `ItemError` and does not end everything.

    """

    def __init__(self, items: Iterable[Any], name: str, *, collect: bool) -> None:
        self._items: Iterator[Any] = iter(items)
        self._name = name
        self._collect = collect
        self._results: list[Any] = []
        self._open: dict[int, Any] = {}
        self._exhausted = False
        self._failure: BaseException | None = None
        self.first_failure: int | None = None

    def next_item(self) -> tuple[int, Any] | None:
        """The next item and its index; None if no further item is to be started."""
        if self._exhausted or self.first_failure is not None:
            return None
        index = len(self._results)
        try:
            item = next(self._items)
        except StopIteration:
            self._exhausted = True
            return None
        except Exception as error:  # noqa: BLE001 - raised again when the items before it are done
            self._exhausted = True
            _note(error, f"parallel_map({self._name}): the iterable of the items raised this in place of item {index}")
            self._fail(index, error)
            return None
        self._results.append(_NOTHING)
        self._open[index] = item
        return index, item

    def done(self, index: int, result: Any) -> None:
        """Keep the result of an item."""
        del self._open[index]
        self._results[index] = result

    def failed(self, index: int, error: BaseException) -> None:
        """Keep what an item raised: as its result, or to raise it at the end."""
        item = self._open.pop(index)
        if self._collect and isinstance(error, Exception):
            self._results[index] = ItemError(index, error)
            return
        if self.first_failure is None or index < self.first_failure:
            _note(error, f"parallel_map({self._name}): raised for item {index}: {described(item)}")
        self._fail(index, error)

    def item(self, index: int) -> Any:
        """An item that was taken and is not done."""
        return self._open[index]

    def skipped(self, index: int) -> None:
        """Forget an item that was not run, because an earlier one failed."""
        del self._open[index]

    def left_behind(self, error: BaseException, threads: int) -> None:
        """Say on what ended the call that some of its threads did not end with it."""
        _note(error, f"parallel_map({self._name}): {threads} of its threads could not be stopped and still run")

    def is_settled(self) -> bool:
        """Whether nothing can change the outcome any more, except items that have not been taken."""
        return not self._open or (self.first_failure is not None and self.first_failure < min(self._open))

    def results(self) -> list[Any]:
        """The results in the order of the input.

        Raises:
            BaseException: What the first item that failed raised.

        """
        if self._failure is not None:
            error, self._failure = self._failure, None
            try:
                raise error
            finally:
                del error  # the traceback leads back to here, and a circle would keep the results alive
        return self._results

    def _fail(self, index: int, error: BaseException) -> None:
        if self.first_failure is None or index < self.first_failure:
            self.first_failure, self._failure = index, error


def described(item: Any) -> str:
    """The item in one short line, whatever it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = _SHOWN
    try:
        text = " ".join(short.repr(item).split())
    except Exception:  # noqa: BLE001 - a foreign __repr__ or __len__ may raise anything
        text = f"<{type(item).__qualname__} that cannot be shown>"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def name_of(func: Any) -> str:
    """A function in messages."""
    name = getattr(func, "__qualname__", None) or getattr(func, "__name__", None)
    if isinstance(name, str):
        return name.rpartition("<locals>.")[2]
    inner = getattr(func, "func", None)  # functools.partial
    return f"partial({name_of(inner)})" if callable(inner) else type(func).__qualname__


def _note(error: BaseException, text: str) -> None:
    with contextlib.suppress(Exception):  # an exception whose __notes__ is no list takes none
        error.add_note(text)

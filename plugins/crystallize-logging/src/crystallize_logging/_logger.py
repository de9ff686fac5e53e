"""`ctx.logger`: looks at the level first, and builds a logger of structlog only for a line that is written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crystallize_logging._output import Output

__all__ = ["ADDRESS", "LEVELS", "ContextLogger"]

LEVELS: Final[Mapping[str, int]] = {
    name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
}
ADDRESS: Final = ("experiment", "run", "replicate", "condition", "step", "attempt")
"""The keys that say where a line was written, in this order."""

_TAKEN: Final = frozenset({*ADDRESS, "event", "level", "timestamp", "exception", "stack"})


class ContextLogger:
    """A logger whose lines carry the address of where they were written.

    It is used like a logger of the standard library (`%` arguments, `exc_info=`, `extra=`) or with values by
    name: `ctx.logger.info("loaded", rows=3)`. A value whose name is one of the address, such as `step`, gets an
    underscore behind its name, so that the address stays right.

    Args:
        output: Gives the output of this process; called when the first line is written.
        level: The lowest level that is written, as a number of the standard library.
        values: What every line carries; read-only.
        also: The loggers of further instances of the plugin, which get every line as well.

    Attributes:
        started: When the attempt of the step that it belongs to began, where somebody watches.

    """

    __slots__ = ("_bound", "_level", "_output", "_threshold", "also", "started", "values")

    def __init__(
        self,
        output: Callable[[], Output],
        level: int,
        values: Mapping[str, Any],
        also: tuple[ContextLogger, ...] = (),
    ) -> None:
        self._output = output
        self._threshold = level
        self._level: int = min([level, *(other._level for other in also)]) if also else level  # noqa: SLF001 - of our kind
        self.values = values
        self.also = also
        self._bound: Any = None
        self.started: float | None = None

    def of(self, instance: int) -> ContextLogger:
        """The logger of one instance of the plugin alone; 0 is the one that gave this logger."""
        return self.also[instance - 1] if instance else ContextLogger(self._output, self._threshold, self.values)

    def bind(self, **values: Any) -> ContextLogger:
        """A logger whose lines carry these values too."""
        also = tuple(other.bind(**values) for other in self.also)
        return ContextLogger(self._output, self._threshold, {**self.values, **_renamed(values)}, also)

    def unbind(self, *names: str) -> ContextLogger:
        """A logger whose lines do not carry these values; names that are not there do not matter."""
        kept = {name: value for name, value in self.values.items() if name not in names or name in ADDRESS}
        also = tuple(other.unbind(*names) for other in self.also)
        return ContextLogger(self._output, self._threshold, kept, also)

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - as the standard library calls it
        """Whether a line of this level would be written."""
        return level >= self._level

    def debug(self, event: object, /, *args: Any, **values: Any) -> None:
        """Write a line of level DEBUG."""
        if self._level <= logging.DEBUG:
            self._write("debug", event, args, values)

    def info(self, event: object, /, *args: Any, **values: Any) -> None:
        """Write a line of level INFO."""
        if self._level <= logging.INFO:
            self._write("info", event, args, values)

    def warning(self, event: object, /, *args: Any, **values: Any) -> None:
        """Write a line of level WARNING."""
        if self._level <= logging.WARNING:
            self._write("warning", event, args, values)

    def error(self, event: object, /, *args: Any, **values: Any) -> None:
        """Write a line of level ERROR."""
        if self._level <= logging.ERROR:
            self._write("error", event, args, values)

    def critical(self, event: object, /, *args: Any, **values: Any) -> None:
        """Write a line of level CRITICAL."""
        if self._level <= logging.CRITICAL:
            self._write("critical", event, args, values)

    def exception(self, event: object, /, *args: Any, **values: Any) -> None:
        """Write a line of level ERROR with the traceback of the exception that is being handled."""
        if self._level <= logging.ERROR:
            self._write("error", event, args, {"exc_info": True, **values})

    def log(self, level: int, event: object, /, *args: Any, **values: Any) -> None:
        """Write a line of that level, or of the named one below it."""
        if level >= self._level:
            names = [name for name, number in LEVELS.items() if number <= level] or ["DEBUG"]
            self._write(names[-1].lower(), event, args, values)

    def _write(self, method: str, event: object, args: tuple[Any, ...], values: dict[str, Any]) -> None:
        for other in self.also:
            if other.isEnabledFor(LEVELS[method.upper()]):
                other._write(method, event, args, dict(values))  # noqa: SLF001 - of our kind
        if self.also and LEVELS[method.upper()] < self._threshold:
            return
        values.pop("stacklevel", None)  # of the standard library; lines have no place in the source here
        extra = values.pop("extra", None)
        if isinstance(extra, Mapping):
            values = {**extra, **values}
        try:
            if self._bound is None:
                self._bound = self._output().logger(dict(self.values))
            getattr(self._bound, method)(_formatted(event, args), **_renamed(values))
        except Exception as error:  # noqa: BLE001 - a step must not fail because of what it had to say
            self._output().note(error)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.values.items())
        return f"<ContextLogger {logging.getLevelName(self._level)} {shown}>"


def _renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}_" if name in _TAKEN else name: value for name, value in values.items()}


def _formatted(event: object, args: tuple[Any, ...]) -> str:
    """The message with its arguments put in; beside it, where they do not fit."""
    text = str(event)
    if not args:
        return text
    try:
        return text % (args[0] if len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args)
    except (TypeError, ValueError, KeyError):
        return f"{text} {args!r}"

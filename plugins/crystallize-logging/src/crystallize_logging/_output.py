"""Where lines go: the processors of structlog, and the two places that they end in.

This is the only file that imports structlog, and it is imported when the first line is written: structlog loads
all of Rich where that is installed, which takes longer than many a run. Nothing here is global: structlog is not
configured, the root logger gets no handler, and an application that uses structlog itself notices nothing.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import structlog

from crystallize_core.errors import describe
from crystallize_logging._plain import plain

if TYPE_CHECKING:
    from structlog.typing import EventDict

__all__ = ["Output", "output_to"]

_UNTOUCHED: Final = ("exc_info", "stack_info", "exception", "stack")  # structlog's own, of types that it knows
_FIRST: Final = ("timestamp", "level", "event")
_BYTES_OF_A_MODE: Final = 0o644


class Output:
    """The end of all loggers of one process that write to the same places.

    Args:
        style: `console` for lines that people read, `json` for one object per line; on standard error.
        path: A file that gets every line as JSON as well; None for no file.

    A line that cannot be written is lost, and the reason noted: a full disk or a closed terminal must not fail a
    step that only meant to say something.
    """

    def __init__(self, style: str, path: str | None) -> None:
        self._problem: str | None = None
        self._style = style
        self._path = path
        self._lock = threading.Lock()
        self._renderers = {colors: _console(colors=colors) for colors in (False, True)}
        self._traceback = structlog.processors.ExceptionRenderer()

    def logger(self, context: dict[str, Any]) -> Any:
        """A structlog logger with these values on every line."""
        return structlog.wrap_logger(
            self,
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.StackInfoRenderer(),
                _make_plain,
                self._render,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(0),  # the level was looked at before
            context_class=dict,
            cache_logger_on_first_use=False,
            **context,
        )

    def _render(self, logger: Any, method: str, event_dict: EventDict) -> tuple[tuple[str, str | None], dict[str, Any]]:
        record = None
        if self._style == "json" or self._path is not None:
            fields = self._traceback(logger, method, dict(event_dict))
            ordered = {**{key: fields.pop(key) for key in _FIRST}, **fields}
            record = json.dumps({key: plain(key, value) for key, value in ordered.items()}, ensure_ascii=False)
        if self._style == "json":
            assert record is not None
            return (record, record), {}
        return (self._for_people(logger, method, dict(event_dict)), record), {}

    def _for_people(self, logger: Any, method: str, fields: EventDict) -> str:
        fields.pop("run", None)
        if "replicate" in fields:  # the name of the experiment is on the lines around those of its cells
            fields.pop("experiment", None)
        if fields.get("attempt") == 1:
            del fields["attempt"]
        fields["timestamp"] = time.strftime("%H:%M:%S")
        return str(self._renderers[_has_colors()](logger, method, fields))

    def write(self, line: str, record: str | None) -> None:
        """Write a line to standard error, and its JSON to the file if there is one."""
        with self._lock:
            try:
                # Looked up each time: notebooks, tests and progress bars put something else in its place.
                if sys.stderr is not None:
                    sys.stderr.write(f"{line}\n")  # one call, so that lines of several processes stay whole
                    sys.stderr.flush()
                if self._path is not None and record is not None:
                    self._append(self._path, f"{record}\n".encode("utf-8", "surrogatepass"))
            except (OSError, ValueError) as error:  # ValueError: the stream is closed
                self.note(error)

    def note(self, error: BaseException) -> None:
        """Remember why a line was lost."""
        self._problem = describe(error)

    def take_problem(self) -> str | None:
        """Why a line was lost since the last call, or None."""
        problem, self._problem = self._problem, None
        return problem

    # structlog calls the method of the level.
    debug = info = warning = error = critical = exception = write

    @staticmethod
    def _append(path: str, content: bytes) -> None:
        # Opened for each line and written in one call: workers share the file without sharing a position in it.
        handle = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, _BYTES_OF_A_MODE)
        try:
            os.write(handle, content)
        finally:
            os.close(handle)


@lru_cache(maxsize=64)
def output_to(style: str, path: str | None) -> Output:
    """The output of this process for these places, so that its lines wait for each other."""
    return Output(style, path)


if hasattr(os, "register_at_fork"):
    # Another thread may have held a lock when the process was copied, and will never give it back in the copy.
    os.register_at_fork(after_in_child=output_to.cache_clear)


def _make_plain(_: Any, __: str, event_dict: EventDict) -> EventDict:
    return {key: value if key in _UNTOUCHED else plain(key, value) for key, value in event_dict.items()}


def _console(*, colors: bool) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        0,  # no padding behind the message; positional, because its name changed between versions
        colors=colors,
        sort_keys=False,
        exception_formatter=structlog.dev.plain_traceback,  # the same with and without Rich
    )


def _has_colors() -> bool:
    if os.environ.get("NO_COLOR") or sys.platform == "win32":  # there they would need another library
        return False
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False

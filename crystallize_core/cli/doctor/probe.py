"""What runs in a process of its own: imports plugins, watches what happens, and writes down each thing at once.

Nothing is kept for the end, because a plugin may end the process at any time.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["BEGIN", "END", "main"]

BEGIN: Final = "crystallize-doctor: begin"
END: Final = "crystallize-doctor: end"
"""Around what the import says on standard error."""


class Log:
    """The lines of JSON that the process which asks reads, and the end of this one when something takes too long."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._timeout = spec["timeout"]
        self._stream = open(spec["log"], "a", encoding="utf-8")  # noqa: SIM115, PTH123 - open until the process ends
        self._stuck = open(spec["stuck"], "a", encoding="utf-8")  # noqa: SIM115, PTH123 - as above

    def begin(self, **line: Any) -> None:
        """Say what begins; it is given its time, and then the process ends with a traceback, whatever it is at."""
        faulthandler.dump_traceback_later(self._timeout, exit=True, file=self._stuck)
        self.write(**line)

    def write(self, **line: Any) -> None:
        """Write one line, whole and at once."""
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()


def main(spec: Mapping[str, Any]) -> None:
    """Do what is asked and end the process, whatever threads are left."""
    from crystallize_core.stack.overrides import take_over  # noqa: PLC0415 - what is imported before plugins is kept small

    log = Log(spec)
    status = 0
    profile, options, executor = spec["overrides"]
    take_over((profile, tuple(options), executor))
    try:
        {"stack": _stack, "plugins": _plugins, "effects": _effects}[spec["mode"]](spec, log)
        log.write(done=True)
    except BaseException as error:  # noqa: BLE001 - said in words, because nobody sees the traceback
        log.write(crashed=_described(error))
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)


# The stack ------------------------------------------------------------------------------------------


def _stack(_: Mapping[str, Any], log: Log) -> None:
    """Make the stack of the project, as an experiment does."""
    import warnings  # noqa: PLC0415 - as above

    from crystallize_core.errors import ConfigurationError, PluginOrderError, StackError, describe  # noqa: PLC0415 - as above
    from crystallize_core.stack.resolve import resolve  # noqa: PLC0415 - as above

    warnings.simplefilter("ignore")
    log.begin()
    try:
        circles = [one.error for one in resolve().skipped if isinstance(one.error, PluginOrderError)]
        if circles:  # of plugins that are merely installed, which are skipped
            log.write(refused="CZ002", text=str(circles[0]))
    except PluginOrderError as error:
        log.write(refused="CZ002", text=str(error))
    except ConfigurationError as error:
        log.write(refused="CZ001", text=str(error))
    except StackError as error:
        log.write(refused="CZ003", text=str(error))
    except Exception as error:  # noqa: BLE001 - a stranger's plugin may fail in any way while it is made
        log.write(refused="CZ003", text=describe(error))


# Plugins --------------------------------------------------------------------------------------------


def _plugins(spec: Mapping[str, Any], log: Log) -> None:
    """Import each and make it, with the time of its import."""
    from crystallize_core.cli.doctor.making import Settings, examined  # noqa: PLC0415 - also imports what plugins use

    settings = Settings.of(spec["project"])
    before = set(sys.modules)
    for group, name, value in spec["entries"]:
        log.begin(begin="imported", plugin=name)
        print(BEGIN, file=sys.stderr, flush=True)  # noqa: T201 - between the lines of -X importtime
        start = time.perf_counter()
        with _said(log, name):
            loaded = _loaded(group, value)
            log.write(plugin=name, seconds=time.perf_counter() - start)
            print(END, file=sys.stderr, flush=True)  # noqa: T201 - as above
            log.write(modules=[module for module in sys.modules if module not in before])
            log.begin(begin="made", plugin=name)
            for line in examined(group, name, loaded, settings):
                log.write(plugin=name, **line)
        log.write(end=name)


@contextlib.contextmanager
def _said(log: Log, name: str) -> Iterator[None]:
    try:
        yield
    except _NoTargetError as error:
        log.write(plugin=name, code="CZ102", text=str(error))
    except SystemExit as error:
        log.write(plugin=name, code="CZ104", text=f"SystemExit: {error} was raised{_place(error)}")
    except BaseException as error:  # noqa: BLE001 - whatever is wrong is what is to be found
        log.write(plugin=name, code="CZ101", text=f"{_described(error)}{_place(error)}")


class _NoTargetError(Exception):
    """What an entry point refers to is not there."""


def _loaded(group: str, value: str) -> Any:
    """What an entry point refers to, or the module of a local file."""
    if group == "local":
        from pathlib import Path  # noqa: PLC0415 - as above

        from crystallize_core.errors import PluginError  # noqa: PLC0415 - as above
        from crystallize_core.stack.files import load_file  # noqa: PLC0415 - as above

        try:
            return load_file(Path(value))
        except PluginError as error:
            raise error.__cause__ or error from None
    module, _, attributes = (part.strip() for part in value.partition("[")[0].partition(":"))
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            message = f"the entry point refers to {value}, and there is no module {error.name!r}"
            raise _NoTargetError(message) from error
        raise
    for attribute in filter(None, attributes.split(".")):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            message = f"the entry point refers to {value}, and {module} has no {attribute!r}"
            raise _NoTargetError(message) from error
    return found


def _described(error: BaseException) -> str:
    """The last line of the traceback."""
    try:
        return traceback.format_exception_only(error)[-1].strip()
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return type(error).__qualname__


def _place(error: BaseException) -> str:
    """The innermost line that is neither ours nor the import system's."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename not in (__file__, importlib.__file__)
    ]
    frames = [frame for frame in frames if not frame.filename.endswith(f"stack{os.sep}files.py")]
    return f", at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


# What an import does besides ------------------------------------------------------------------------


def _effects(spec: Mapping[str, Any], log: Log) -> None:
    """Import what others ship first, then the plugins, and compare."""
    from crystallize_core.cli.doctor.making import examined  # noqa: F401, PLC0415 - imports what plugins use of the core
    from crystallize_core.cli.doctor.snapshot import Audit, differences, snapshot  # noqa: PLC0415 - as above

    sys.dont_write_bytecode = True
    log.begin()
    with _unheard():
        for module in spec["foreign"]:
            with contextlib.suppress(BaseException):
                importlib.import_module(module)
    # Where the stack has a local file, its folder is on the path.
    sys.path += [os.path.dirname(value) for group, _, value in spec["entries"] if group == "local"]  # noqa: PTH120 - text
    audit = Audit(spec["folders"])
    before = snapshot(spec["folders"])
    print(BEGIN, flush=True)  # noqa: T201 - what comes after it was printed by plugins
    print(BEGIN, file=sys.stderr, flush=True)  # noqa: T201 - the same
    audit.on = True
    for group, _, value in spec["entries"]:
        with contextlib.suppress(BaseException):  # the other process has found it
            _loaded(group, value)
    audit.on = False
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    found = differences(before, snapshot(spec["folders"]))
    heard = audit.words()
    log.write(
        effects={code: ", ".join(w for w in (found.get(code), heard.get(code)) if w) for code in {**found, **heard}}
    )


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Without what is printed meanwhile."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123 - a device
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield

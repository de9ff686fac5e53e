"""Leaving: what is still there when the plugin is gone."""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import threading
import time
import weakref
from pathlib import Path
from typing import Any, Final

from crystallize_core.testing.plugins.check import DoesNotApply, check, fail_where
from crystallize_core.testing.plugins.checks.results import same
from crystallize_core.testing.plugins.steps import EVERYTHING
from crystallize_core.testing.plugins.subject import Subject

_PATIENCE: Final = 2.0
"""Seconds that a thread may take to end after the run."""
_OPEN: Final = next((folder for folder in (Path("/proc/self/fd"), Path("/dev/fd")) if folder.is_dir()), None)


def use(subject: Subject) -> None:
    """Run an experiment with a new one, and let go of both."""
    subject.experiment(subject.make(), steps=EVERYTHING).run()
    gc.collect()


@check
def no_thread_is_left(subject: Subject) -> None:
    """Every thread that it has started ends with the run."""
    before = set(threading.enumerate())
    use(subject)
    until = time.monotonic() + _PATIENCE
    while (left := set(threading.enumerate()) - before) and time.monotonic() < until:
        for thread in left:
            thread.join(_PATIENCE / 10)
    fail_where(
        [f"{thread!r} is left behind" for thread in left],
        "end and join your threads in after_run, which is called after failures as well",
    )


@check
def no_process_is_left(subject: Subject) -> None:
    """Every process that it has started ends with the run."""
    subject.needs_others_executor()
    before = set(_children())
    use(subject)
    left = sorted(set(_children()) - before)
    fail_where([f"process {process} is left behind" for process in left], "end your processes in after_run")


def _children() -> list[int]:
    found = [process.pid for process in multiprocessing.active_children() if process.pid is not None]
    for path in Path("/proc/self/task").glob("*/children"):
        try:
            found += map(int, path.read_text(encoding="utf-8").split())
        except OSError:  # the thread has ended meanwhile
            continue
    return found


@check
def no_file_is_left_open(subject: Subject) -> None:
    """Every file and connection that it has opened is closed with the run."""
    if _OPEN is None:
        raise DoesNotApply("this system does not list the open files of a process")
    use(subject)  # what is opened once for the whole process is open now
    before = _open_files()
    use(subject)
    left = {number: name for number, name in _open_files().items() if before.get(number) != name}
    fail_where([f"{name} is left open" for name in left.values()], "close files in after_run, or use them in `with`")


def _open_files() -> dict[str, str]:
    found = {}
    for number in os.listdir(_OPEN or "/"):  # noqa: PTH208 - `iterdir` would add its own
        try:
            found[number] = os.readlink(f"{_OPEN}/{number}")  # noqa: PTH115 - the text of the link, whatever it is
        except OSError:  # that of the listing itself
            continue
    return found


@check
def nothing_waits_for_the_end_of_the_process(subject: Subject) -> None:
    """It registers nothing that runs when the interpreter exits, which nobody sees fail."""
    use(subject)
    before = atexit._ncallbacks()  # noqa: SLF001 - there is no other way to count
    use(subject)
    count = atexit._ncallbacks() - before  # noqa: SLF001 - as above
    if count:
        raise AssertionError(f"a run has registered {count} functions with atexit; clean up in after_run")


@check
def it_can_be_forgotten(subject: Subject) -> None:
    """When experiment and result are gone, nothing holds the plugin any more."""
    subject.needs_class()
    plugin: Any = subject.make()
    try:
        reference = weakref.ref(plugin)
    except TypeError as error:
        raise DoesNotApply("its class has slots without __weakref__, so that nobody can tell") from error
    experiment = subject.experiment(plugin, steps=EVERYTHING)
    experiment.run()
    del plugin, experiment
    until = time.monotonic() + _PATIENCE
    while gc.collect() is not None and reference() is not None and time.monotonic() < until:
        time.sleep(_PATIENCE / 100)  # a thread that has done its work may be about to end
    if reference() is not None:
        holders = [type(holder).__qualname__ for holder in gc.get_referrers(reference())]
        raise AssertionError(f"something still holds the plugin after its experiment is gone: {', '.join(holders)}")


@check
def runs_without_it_are_as_before(subject: Subject) -> None:
    """After it was used, an experiment without it comes to what it came to before, and calls none of its hooks."""
    before = subject.plain(steps=EVERYTHING)
    use(subject)
    same(before, subject.plain(steps=EVERYTHING), "before the plugin was used", "afterwards")

"""The environment variables of what a step was granted, set while it runs.

They belong to the process and not to a step. So they are set only for a step that has the process to itself, and not at
all beside another one that has set them: two that overlap would put back what the other had set.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

from crystallize_executors.machine import VISIBLE

__all__ = ["THREADS", "in_force", "variables"]

THREADS: Final = ("MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Where numerical libraries look for the number of threads that they may use."""


def variables(cpu: float | None, gpus: tuple[str, ...]) -> dict[str, str]:
    """The variables that say how many cores and which devices a step has."""
    found = {} if cpu is None else dict.fromkeys(THREADS, str(max(1, int(cpu))))
    return {**found, VISIBLE: ",".join(gpus)} if gpus else found


_owners: Final[list[object]] = []
"""Who has set variables, the innermost last: a step inside a step sets its own on top."""
_lock: Final = threading.Lock()


@contextlib.contextmanager
def in_force(wanted: Mapping[str, str], owner: object, outer: object | None) -> Iterator[None]:
    """Set variables while what is inside runs, and put back what there was; do nothing beside somebody else.

    Args:
        wanted: The variables.
        owner: Who sets them.
        outer: The step around this one, if there is one.

    """
    if not wanted or not _is_free(owner, outer):
        yield
        return
    before = {name: os.environ.get(name) for name in wanted}
    try:
        os.environ.update(wanted)
        with _thread_pools(wanted.get(THREADS[0])):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        with _lock:
            _owners.remove(owner)


def _is_free(owner: object, outer: object | None) -> bool:
    with _lock:
        if _owners and _owners[-1] is not outer:
            return False
        _owners.append(owner)
        return True


def _thread_pools(threads: str | None) -> Any:
    """What limits the libraries that are loaded already and do not look at the environment again."""
    if threads is not None:
        try:
            import threadpoolctl  # noqa: PLC0415 - optional, and only steps that ask for cores need it
        except ImportError:
            pass
        else:
            return threadpoolctl.threadpool_limits(limits=int(threads))
    return contextlib.nullcontext()

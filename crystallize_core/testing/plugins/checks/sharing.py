"""Several runs: one after the other, at the same time, of one plugin and of several."""

from __future__ import annotations

import contextlib
import copy
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from crystallize_core.context import BASELINE_CONDITION
from crystallize_core.result import Result
from crystallize_core.testing.events import CapturedEvents
from crystallize_core.testing.plugins.check import DoesNotApply, check, fail_where
from crystallize_core.testing.plugins.checks.results import same, usual
from crystallize_core.testing.plugins.steps import EVERYTHING
from crystallize_core.testing.plugins.subject import STEPS, Subject
from crystallize_core.testing.tiny import source

_PATIENCE: Final = 5.0
"""Seconds that one run waits for the other to begin."""


@check
def a_second_run_knows_nothing_of_the_first(subject: Subject) -> None:
    """One experiment that runs twice comes to the same twice."""
    experiment = subject.experiment()
    same(experiment.run(), experiment.run(), "in its first run", "in its second")


@check
def one_plugin_serves_two_experiments(subject: Subject) -> None:
    """One plugin object in two experiments, run one after the other and the first once more, changes nothing for either."""
    plugin = subject.make()
    one, other = subject.experiment(plugin), subject.experiment(plugin, replicates=2, name="other")
    first, _, again = one.run(), other.run(), one.run()
    same(first, again, "before another experiment had run", "afterwards")


@check
def two_experiments_at_once_do_not_mix(subject: Subject) -> None:
    """Two experiments with a plugin each, running at the same time, come to what they come to alone."""
    _at_once(subject, subject.make)


@check
def two_runs_of_one_plugin_at_once_do_not_mix(subject: Subject) -> None:
    """Two experiments that share one plugin object come at the same time to what they come to alone."""
    plugin = subject.make()
    _at_once(subject, lambda: plugin)


def _at_once(subject: Subject, make: Callable[[], Any]) -> None:
    expected = usual(subject)
    barrier = threading.Barrier(2)

    def meet(ctx: Any) -> Any:
        """The usual data; neither run goes on before the other has begun."""
        if (ctx["replicate"], ctx["condition"]) == (0, BASELINE_CONDITION):
            with contextlib.suppress(threading.BrokenBarrierError):  # the other one has failed; it says why
                barrier.wait(_PATIENCE)
        return source(ctx)

    made = [subject.experiment(make(), name=f"tiny {number}", datasource=meet) for number in range(2)]
    with ThreadPoolExecutor(2) as pool:
        found: list[Result] = list(pool.map(lambda experiment: experiment.run(), made))
    for result in found:
        same(expected, result, "alone", "beside another run")


@check
def two_of_it_share_nothing(subject: Subject) -> None:
    """A run with one plugin changes neither another one of the class nor the class itself."""
    subject.needs_class()
    other, kind = subject.make(), type(subject.sample)
    before, class_before = _state(vars(other)) if hasattr(other, "__dict__") else b"", _containers(kind)
    subject.experiment(subject.make(), steps=EVERYTHING).run()
    if hasattr(other, "__dict__") and _state(vars(other)) != before:
        raise AssertionError(
            "a run with one plugin has changed another one; what belongs to a run is kept by its experiment"
        )
    changed = [name for name, content in _containers(kind).items() if content != class_before.get(name)]
    fail_where(
        [f"a run has changed {kind.__qualname__}.{name}, which all plugins of the class share" for name in changed]
    )


def _state(fields: Any) -> bytes:
    try:
        return pickle.dumps(dict(fields))
    except Exception as error:
        raise DoesNotApply("what the plugin holds cannot be compared, because it cannot be pickled") from error


def _containers(kind: type) -> dict[str, Any]:
    """The lists, tables and sets of a class, copied."""
    return {
        name: copy.copy(value)
        for base in kind.__mro__
        for name, value in vars(base).items()
        if isinstance(value, (list, dict, set)) and not name.startswith("__")
    }


@check
def a_plugin_beside_it_is_called(subject: Subject) -> None:
    """Other plugins hear as many events with it as without it."""
    alone, beside = CapturedEvents(), CapturedEvents()
    subject.experiment(alone, steps=STEPS).run()
    subject.experiment(beside, subject.make(), steps=STEPS).run()
    missing = [address for address in alone.addresses if address not in beside.addresses]
    fail_where([f"event {name!r} of replicate {replicate} is lost" for name, replicate, _, _ in missing])

"""The result: the same whoever runs the replicates, and with an observer the same as without it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from crystallize_core.result import Result
from crystallize_core.testing.ablation import differences
from crystallize_core.testing.plugins.check import check, fail_where
from crystallize_core.testing.plugins.steps import ASYNC, CACHED, EVERYTHING
from crystallize_core.testing.plugins.subject import STEPS, Subject
from crystallize_core.treatment import Treatment


def same(one: Result, other: Result, first: str, second: str) -> None:
    """Fail with what differs first where two results differ, and where the observer was switched off."""
    fail_where([note.text for result in (one, other) for note in result.run.notes if note.kind == "switched-off"])
    if one.digest != other.digest:
        lines = differences(one, other, first, second)
        raise AssertionError("\n".join([f"the digest is {one.digest} {first}, and {other.digest} {second}:", *lines]))


def usual(subject: Subject, steps: Sequence[Any] = STEPS) -> Result:
    """The result with the plugin under the plain loop."""
    return subject.experiment(steps=steps).run()


@check
def it_repeats_itself(subject: Subject) -> None:
    """Two runs with it have the same digest."""
    same(usual(subject), usual(subject), "in the first run", "in the second")


@check
def threads_come_to_the_same(subject: Subject) -> None:
    """The digest under threads is that of the plain loop."""
    subject.needs_others_executor()
    same(usual(subject), subject.under("thread"), "under the plain loop", "under threads")


@check
def processes_come_to_the_same(subject: Subject) -> None:
    """The digest under worker processes is that of the plain loop."""
    subject.needs_others_executor()
    same(usual(subject), subject.under("process"), "under the plain loop", "under processes")


@check
def processes_fail_alike(subject: Subject) -> None:
    """With steps that fail, are left out and are cached, worker processes come to what the plain loop comes to."""
    subject.needs_others_executor()
    found = subject.under("process", steps=EVERYTHING)
    same(usual(subject, EVERYTHING), found, "under the plain loop", "under processes")


@check
def a_running_loop_comes_to_the_same(subject: Subject) -> None:
    """In an event loop, as in a notebook, `run` and `arun` come to what they come to in a script."""

    async def both() -> tuple[Result, Result]:
        return subject.experiment().run(), await subject.experiment().arun()

    for found in asyncio.run(both()):
        same(usual(subject), found, "in a script", "in an event loop")


@check
def async_steps_work(subject: Subject) -> None:
    """Steps that are `async def` have their metrics, in a script and awaited."""
    expected = subject.plain(steps=ASYNC) if not subject.essential else usual(subject, ASYNC)
    fail_where([str(error) for error in expected.errors.values()])
    same(expected, usual(subject, ASYNC), "as it should be", "with the plugin")
    same(expected, asyncio.run(subject.experiment(steps=ASYNC).arun()), "in a script", "awaited")


@check
def the_cache_makes_no_difference(subject: Subject) -> None:
    """A cold and a warm cache come to the same."""
    same(usual(subject, CACHED), usual(subject, CACHED), "with a cold cache", "with a warm one")


@check
def an_observer_changes_no_result(subject: Subject) -> None:
    """With an observer, the digest is that of the experiment without it, also where steps fail, are left out and are cached."""
    subject.needs_observer()
    for steps in (STEPS, EVERYTHING):
        same(usual(subject, steps), subject.plain(steps=steps), "with it", "without it")


@check
def it_works_without_treatments(subject: Subject) -> None:
    """An experiment of the baseline alone, and of one replicate, runs."""
    result = subject.experiment(treatments=(), replicates=1).run()
    fail_where([str(error) for error in result.errors.values()])
    assert list(result.metrics.conditions) == ["baseline"], list(result.metrics.conditions)
    assert len(result.metrics.baseline["total"]) == 1, result.metrics.baseline["total"]


@check
def it_takes_any_name(subject: Subject) -> None:
    """Names of experiments and treatments may have what formats and shells take for their own."""
    names = ("größer als 1", "{x} %s", "a b'c")
    treatments = [Treatment(name, {"factor": 2.0}) for name in names]
    result = subject.experiment(treatments=treatments, name="{0} %s $HOME").run()
    fail_where([str(error) for error in result.errors.values()])
    assert list(result.metrics.conditions) == ["baseline", *names], list(result.metrics.conditions)


@check
def describe_run_is_plain(subject: Subject) -> None:
    """What `describe_run` adds to the record is JSON with names, and the same whenever it is asked."""
    subject.needs_hook("describe_run")
    calls = [call for call in subject.watched_run() if call.hook == "describe_run"]
    for call in calls:
        if call.answer is None:
            continue
        try:
            text = json.dumps(call.answer, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AssertionError(f"describe_run returned what is no JSON: {error}; return plain values") from error
        if json.loads(text) != call.answer:
            raise AssertionError(f"describe_run returned {call.answer!r}, and JSON gives back {json.loads(text)!r}")
        if call.again != call.answer:
            raise AssertionError(f"describe_run returned {call.answer!r} and then {call.again!r}")


@check
def the_result_can_be_written(subject: Subject) -> None:
    """The result with it can be written as JSON and be read back with the same digest."""
    result = usual(subject)
    text = result.to_json()
    assert text is not None
    found = Result.from_json(text)
    assert found.digest == result.digest, f"{found.digest} was read back, and {result.digest} written"

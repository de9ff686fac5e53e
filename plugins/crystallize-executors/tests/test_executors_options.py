"""The options of the executors: what they accept, what they refuse and in which words."""

from __future__ import annotations

from importlib.metadata import entry_points

import attrs
import pytest

import crystallize_executors
from crystallize_core import BasePlugin
from crystallize_executors import (
    AsyncExecution,
    ParallelExecution,
    ProcessExecution,
    SerialExecution,
    ThreadExecution,
)

ALL = [AsyncExecution, ParallelExecution, ProcessExecution, SerialExecution, ThreadExecution]


def test_every_executor_has_its_documented_options_and_defaults():
    """The fields of an executor are its options, in the documented order."""
    found = {kind.__name__: {f.name: f.default for f in attrs.fields(kind)} for kind in ALL}
    assert found == {
        "AsyncExecution": {"max_workers": None, "progress": False},
        "ParallelExecution": {"max_workers": None, "executor_type": "thread", "progress": False},
        "ProcessExecution": {"max_workers": None, "start_method": None, "max_deaths": 3, "progress": False},
        "SerialExecution": {"progress": False},
        "ThreadExecution": {"max_workers": None, "progress": False},
    }


def test_every_executor_says_its_name_and_what_its_replicates_share():
    """Plugins that behave differently beside threads or processes look at `concurrency`."""
    made = [kind() for kind in ALL] + [ParallelExecution(executor_type="process")]
    assert [(one.plugin_name, one.concurrency) for one in made] == [
        ("async", "async"),
        ("parallel", "thread"),
        ("process", "process"),
        ("serial", "serial"),
        ("thread", "thread"),
        ("parallel", "process"),
    ]
    assert all(isinstance(one, BasePlugin) for one in made)


def test_the_entry_points_name_these_classes():
    """An executor is found under the name that it calls itself by."""
    found = {point.name: point.load() for point in entry_points(group="crystallize.executors")}
    ours = {name: kind for name, kind in found.items() if kind.__module__.startswith("crystallize_executors.")}
    if not ours:
        pytest.skip("crystallize-executors is not installed as a distribution")
    assert ours == {kind.plugin_name: kind for kind in ALL}


def test_public_names_are_sorted_and_exist():
    """`__all__` is complete and in order."""
    assert crystallize_executors.__all__ == sorted(crystallize_executors.__all__)
    assert all(hasattr(crystallize_executors, name) for name in crystallize_executors.__all__)


@pytest.mark.parametrize("kind", [AsyncExecution, ParallelExecution, ProcessExecution, ThreadExecution])
@pytest.mark.parametrize("wrong", [0, -1, True, "3", 2.0])
def test_a_wrong_number_of_workers_is_refused(kind, wrong):
    """The message says what is expected and what was found."""
    with pytest.raises(ValueError) as caught:
        kind(max_workers=wrong)
    expected = "max_workers must be an int of at least 1, or None to choose by the machine; found "
    assert str(caught.value) == expected + repr(wrong)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("wrong", [1, None, "yes"])
def test_a_progress_that_is_no_bool_is_refused(kind, wrong):
    """`progress` is a switch and nothing else."""
    with pytest.raises(ValueError, match="progress must be True or False; found "):
        kind(progress=wrong)


def test_words_outside_the_choice_are_refused():
    """A misspelt choice lists the words that exist."""
    with pytest.raises(ValueError, match="executor_type must be 'thread' or 'process'; found 'proces'"):
        ParallelExecution(executor_type="proces")
    with pytest.raises(ValueError, match="start_method must be 'spawn' or 'forkserver' or None; found 'fork'"):
        ProcessExecution(start_method="fork")
    with pytest.raises(ValueError, match="max_deaths must be an int of at least 1; found 0"):
        ProcessExecution(max_deaths=0)

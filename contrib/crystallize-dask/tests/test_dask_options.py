"""The options: what they accept, what they refuse and in which words; and what is imported when."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from importlib.metadata import entry_points

import attrs
import pytest

import crystallize_dask
from crystallize_core import BasePlugin, WorkerError
from crystallize_dask import DaskExecution
from crystallize_dask.options import scheduler_address


def test_the_documented_options_and_defaults():
    """The fields are the options, in the documented order."""
    assert {field.name: field.default for field in attrs.fields(DaskExecution)} == {
        "address": None,
        "max_workers": None,
        "threads_per_worker": 1,
        "max_deaths": 3,
        "connect_timeout": 10.0,
        "progress": False,
    }


def test_it_says_its_name_and_what_its_replicates_share():
    """Plugins that behave differently beside threads or processes look at `concurrency`."""
    made = DaskExecution()
    assert (made.plugin_name, made.concurrency, isinstance(made, BasePlugin)) == ("dask", "process", True)


def test_the_entry_point_names_this_class():
    """It is found under the name that it calls itself by."""
    (found,) = entry_points(group="crystallize.executors", name="dask")
    assert found.load() is DaskExecution


def test_public_names_are_sorted_and_exist():
    """`__all__` is complete and in order."""
    assert crystallize_dask.__all__ == ["DaskExecution"]


def test_an_executor_is_the_same_after_its_way_to_a_worker():
    """It is a recipe: nothing of a connection is in it."""
    made = DaskExecution(address="dask://10.0.0.1:8786", max_workers=3, max_deaths=1, connect_timeout=2)
    assert pickle.loads(pickle.dumps(made)) == made


def test_importing_the_package_does_not_import_dask():
    """Listing plugins stays quick."""
    program = "import sys, crystallize_dask; print(sorted(set(sys.modules) & {'dask', 'distributed', 'tornado'}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("tcp://10.0.0.1:8786", "tcp://10.0.0.1:8786"),
        ("tls://login.example.org:8786", "tls://login.example.org:8786"),
        ("dask://login:8786", "tcp://login:8786"),
        ("login:8786", "tcp://login:8786"),
        ("tcp://[::1]:8786", "tcp://[::1]:8786"),
        ("tcp://127.0.0.1:8786/", "tcp://127.0.0.1:8786"),
    ],
)
def test_an_address_may_be_written_in_these_ways(address, meant):
    """With and without a scheme; `dask://` is what the command line passes."""
    DaskExecution(address=address)
    assert scheduler_address(address) == meant


def test_a_scheduler_file_says_the_address(tmp_path):
    """What `dask scheduler --scheduler-file` writes."""
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"type": "Scheduler", "address": "tcp://10.0.0.7:8786"}))
    DaskExecution(address=str(file))
    assert scheduler_address(str(file)) == "tcp://10.0.0.7:8786"


def test_a_scheduler_file_that_is_not_there_is_named(tmp_path):
    """With the command that writes it."""
    file = str(tmp_path / "scheduler.json")
    with pytest.raises(WorkerError) as caught:
        scheduler_address(file)
    assert str(caught.value).startswith(f"the scheduler file {file} cannot be read: FileNotFoundError: ")
    assert f"`dask scheduler --scheduler-file {file}` writes it" in str(caught.value)


@pytest.mark.parametrize("wrong", ["localhost", "tcp://localhost", "dask://", "", " ", 8786, "tcp://a b:1"])
def test_what_is_no_address_is_refused(wrong):
    """The message lists the forms that there are."""
    with pytest.raises(ValueError) as caught:
        DaskExecution(address=wrong)
    assert str(caught.value) == (
        'address must be "tcp://host:port", "tls://host:port", "dask://host:port", "host:port" or the path of a scheduler '
        f"file, or None for a cluster on this machine; found {wrong!r}"
    )


@pytest.mark.parametrize("wrong", [0, -1, True, "3", 2.0])
def test_wrong_numbers_are_refused(wrong):
    """The message says what is expected and what was found."""
    for name, more in {
        "max_workers": ", or None to choose by the machine",
        "threads_per_worker": "",
        "max_deaths": "",
    }.items():
        with pytest.raises(ValueError) as caught:
            DaskExecution(**{name: wrong})
        assert str(caught.value) == f"{name} must be an int of at least 1{more}; found {wrong!r}"


@pytest.mark.parametrize("wrong", [0, -1.5, True, "3", None, float("inf"), float("nan")])
def test_wrong_seconds_are_refused(wrong):
    """A timeout is a number above 0."""
    with pytest.raises(ValueError) as caught:
        DaskExecution(connect_timeout=wrong)
    assert str(caught.value) == f"connect_timeout must be a number of seconds above 0; found {wrong!r}"

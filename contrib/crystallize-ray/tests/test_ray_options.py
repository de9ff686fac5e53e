"""The options of `RayExecution`, and what importing it costs."""

from __future__ import annotations

import pickle
import subprocess
import sys

import attrs
import pytest

from crystallize_core import CrystallizeError, Experiment
from crystallize_ray import RayExecution

GIVEN = {
    "address": "ray://head:10001",
    "max_workers": 4,
    "max_deaths": 2,
    "connect_timeout": 3.5,
    "runtime_env": {"env_vars": {"A": "1"}},
    "log_to_driver": True,
    "progress": True,
}


def test_the_defaults_start_a_ray_on_this_machine_and_say_nothing():
    """What the README promises."""
    assert attrs.asdict(RayExecution()) == {
        "address": None,
        "max_workers": None,
        "max_deaths": 3,
        "connect_timeout": 10.0,
        "runtime_env": None,
        "log_to_driver": False,
        "progress": False,
    }


def test_an_executor_is_a_recipe_that_can_be_pickled():
    """It holds options, and no connection."""
    executor = RayExecution(**GIVEN)
    assert pickle.loads(pickle.dumps(executor)) == executor
    assert attrs.asdict(executor) == GIVEN


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        (
            "address",
            "head",
            'address must be "auto", "host:port", "ray://host:port", or None for a Ray on this machine',
        ),
        ("address", "tcp://head:1", 'address must be "auto", "host:port", "ray://host:port", or None'),
        ("max_workers", 0, "max_workers must be an int of at least 1, or None to choose by the machine; found 0"),
        ("max_workers", True, "max_workers must be an int of at least 1, or None to choose by the machine; found True"),
        ("max_deaths", None, "max_deaths must be an int of at least 1; found None"),
        ("connect_timeout", 0, "connect_timeout must be a number of seconds above 0; found 0"),
        ("runtime_env", "here", "runtime_env must be a mapping such as"),
        ("log_to_driver", 1, "log_to_driver must be True or False; found 1"),
        ("progress", "yes", "progress must be True or False; found 'yes'"),
    ],
)
def test_a_value_that_an_option_cannot_have_is_refused(option, value, expected):
    """The message has the name of the option, what is expected and what was found."""
    with pytest.raises(ValueError) as caught:
        RayExecution(**{option: value})
    assert str(caught.value).startswith(expected)
    assert str(caught.value).endswith(f"found {value!r}")


def test_importing_the_package_does_not_import_ray():
    """Listing plugins stays quick."""
    code = "import sys, crystallize_ray; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_missing_ray_is_one_message_that_says_what_to_install():
    """The library is asked for when a run needs it."""
    code = """
import sys
sys.modules["ray"] = None
from crystallize_core import CrystallizeError, Experiment
from crystallize_ray import RayExecution
try:
    Experiment(lambda ctx: 1, [lambda data, ctx: data], [RayExecution()], replicates=2).run()
except Exception as error:
    print(error.__cause__ or error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "the executor 'ray' needs Ray: pip install crystallize-ray" in done.stdout


def test_the_executor_is_found_by_its_name_with_the_options_of_the_project(tmp_path, monkeypatch):
    """By the installed entry point; the address in place of a name is an option like any other."""
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")
    (tmp_path / "crystallize.toml").write_text("plugins = []\n[options.ray]\nmax_workers = 0\n")
    experiment = Experiment(lambda ctx: 1, [lambda data, ctx: data], replicates=1)
    with pytest.raises(CrystallizeError, match="max_workers must be an int of at least 1"):
        experiment.run(executor="ray")
    with pytest.raises(CrystallizeError, match=r"address must be .*; found .ray://head."):
        experiment.run(executor="ray://head")

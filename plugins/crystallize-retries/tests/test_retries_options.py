"""The options of the plugin and of its steps."""

from __future__ import annotations

import attrs
import pytest

import crystallize_retries
from crystallize_core import BasePlugin
from crystallize_retries import RetryPlugin
from crystallize_retries.options import check_retry, check_timeout


def test_the_plugin_has_its_documented_name_options_and_defaults():
    """The fields are the options."""
    plugin = RetryPlugin()
    assert isinstance(plugin, BasePlugin)
    assert (plugin.plugin_name, plugin.essential) == ("retries", True)
    assert attrs.asdict(plugin) == {"first_delay": 1.0, "backoff": 2.0, "max_delay": 60.0}
    assert sorted(plugin.step_options()) == [
        "circuit_breaker", "fallback", "fallback_on", "on_failure", "retry", "timeout",
    ]  # fmt: skip


def test_public_names_are_sorted_and_exist():
    """`__all__` is complete and in order."""
    assert crystallize_retries.__all__ == sorted(crystallize_retries.__all__)
    assert all(hasattr(crystallize_retries, name) for name in crystallize_retries.__all__)


@pytest.mark.parametrize("value", [0, 1, 17])
def test_good_numbers_of_attempts_are_taken_as_they_are(value):
    """0 is the same as no option."""
    assert check_retry(value) == value


@pytest.mark.parametrize("wrong", [-1, True, False, "3", 1.0, None])
def test_wrong_numbers_of_attempts_are_refused(wrong):
    """The message says what is expected; who asked is added by the core."""
    with pytest.raises(
        ValueError, match=r"^expected an int of at least 0, the number of further attempts, or retry\(\.\.\.\)$"
    ):
        check_retry(wrong)


@pytest.mark.parametrize(("value", "seconds"), [(1, 1.0), (0.5, 0.5), (3600, 3600.0), (None, None)])
def test_good_limits_become_seconds(value, seconds):
    """None stands for no limit."""
    assert check_timeout(value) == seconds


@pytest.mark.parametrize("wrong", [0, -1, True, "3", float("nan"), float("inf"), [1]])
def test_wrong_limits_are_refused(wrong):
    """A limit that nobody can keep is no limit."""
    with pytest.raises(ValueError, match=r"^expected a positive number of seconds for each attempt$"):
        check_timeout(wrong)


@pytest.mark.parametrize("field", ["first_delay", "backoff", "max_delay"])
@pytest.mark.parametrize("wrong", [-1, "1", True, float("nan")])
def test_wrong_options_of_the_plugin_are_refused(field, wrong):
    """The message names the option."""
    with pytest.raises(ValueError, match=f"{field} must be a number of at least 0; found "):
        RetryPlugin(**{field: wrong})

"""What distributions say about the core that they need is compared by the numbers of releases."""

from __future__ import annotations

import pytest

from crystallize_core.stack.bounds import bounds, unmet

MET = [
    "crystallize-core", "crystallize-core>=0.3", "crystallize_core (>=0.3,<1)", "Crystallize.Core[x] >= 0.3 ; python_version > '3'",
    "crystallize-core~=0.3", "crystallize-core~=0.3.1", "crystallize-core==0.3.*", "crystallize-core==0.3.2",
    "crystallize-core!=0.4", "crystallize-core<=0.3.2.0", "crystallize-core @ https://example.org/core.whl",
    "crystallize-core===0.3.2", "crystallize-core>=99; extra == 'new'", "crystallize-core-of-others>=99", "numpy>=99",
]  # fmt: skip
UNMET = {
    "crystallize-core>=99": ">=99",
    "crystallize_core (>=0.4,<1)": ">=0.4,<1",
    "crystallize-core<0.3": "<0.3",
    "crystallize-core>0.3.2": ">0.3.2",
    "crystallize-core~=0.4": "~=0.4",
    "crystallize-core~=0.2.9": "~=0.2.9",
    "crystallize-core==0.2.*": "==0.2.*",
    "crystallize-core!=0.3.*": "!=0.3.*",
    "crystallize-core == 0.3": "==0.3",
}


@pytest.mark.parametrize("requirement", MET)
def test_a_requirement_that_is_met_or_not_about_the_core_says_nothing(requirement):
    """What cannot be compared counts as met."""
    assert unmet([requirement], "0.3.2") is None


@pytest.mark.parametrize(("requirement", "bound"), UNMET.items())
def test_a_requirement_that_is_not_met_is_given_as_pip_takes_it(requirement, bound):
    """Without spaces."""
    assert unmet(["numpy>=1", requirement], "0.3.2") == f"crystallize-core{bound}"


@pytest.mark.parametrize("version", ["0.4", "0.4.0rc1", "0.4.1.dev3+local"])
def test_only_the_numbers_of_a_release_count(version):
    """A development version of 0.4 is 0.4 here."""
    assert unmet(["crystallize-core>=0.4,<0.5"], version) is None


def test_a_checkout_that_is_not_installed_meets_everything():
    """Nobody knows what it is."""
    assert unmet(["crystallize-core>=99"], "0+unknown") is None


def test_the_bounds_are_listed():
    """Those of extras are left out."""
    assert bounds(["crystallize-core >= 0.3", "numpy", "crystallize-core>=9; extra == 'new'"]) == [">=0.3"]

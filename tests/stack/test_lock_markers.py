"""Requirements of distributions, and when they count."""

from __future__ import annotations

import sys

import pytest

from crystallize_core.stack.lock.markers import Needed, holds, normalized, parse


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("attrs>=23.2", Needed("attrs", (), "")),
        ("Typing_Extensions ; python_version < '3.13'", Needed("typing-extensions", (), 'python_version < "3.13"')),
        ("torch[Opt.Einsum, cuda] (>=2)", Needed("torch", ("cuda", "opt-einsum"), "")),
        ("numpy>=1.26 ; extra == 'numpy'", Needed("numpy", (), 'extra == "numpy"')),
        ("mine @ https://host/a;b.whl ; os_name == 'nt'", Needed("mine", (), 'os_name == "nt"')),
        ("mine @ https://host/a;b.whl", Needed("mine", (), "")),
    ],
)
def test_a_requirement_is_its_name_extras_and_marker(text, needed):
    """Versions do not count: what is installed has been chosen."""
    assert parse(text) == needed


def test_what_is_no_requirement_is_none():
    """Damaged metadata of a stranger."""
    assert parse("[nothing]") is None


@pytest.mark.parametrize(
    ("marker", "extra", "true"),
    [
        ("", "", True),
        ("python_version >= '3.9'", "", True),
        ("python_version < '3.9'", "", False),
        ("'3.9' < python_version", "", True),
        ("extra == 'Opt_Einsum'", "opt-einsum", True),
        ("extra == 'docs'", "", False),
        ("extra == 'docs' and python_version < '3.9'", "docs", False),
        ("(extra == 'docs' or extra == 'test') and python_version > '3.9'", "test", True),
        ("sys_platform not in 'no machine'", "", True),
        ("python_version ~= '3.0'", "", True),
        ("python_version ~= '2.0'", "", False),
        ("no marker at all", "", True),
        ("something_else == 'x'", "", True),
    ],
)
def test_a_marker_holds_or_does_not(marker, extra, true):
    """What cannot be read holds: what is not installed is left out anyway."""
    assert holds(marker, extra) is true


def test_a_platform_is_told_from_a_version():
    """Only what differs between the machines of a team."""
    assert parse("colorama ; sys_platform == 'win32'").of_platform
    assert not parse("tomli ; python_version < '3.11' and extra == 'x'").of_platform


def test_names_are_normalized_as_an_index_does():
    """So that one distribution has one name."""
    assert normalized("Importlib_Metadata.X--y") == "importlib-metadata-x-y"


def test_the_running_python_is_what_markers_speak_of():
    """Its minor version."""
    assert holds(f"python_version == '{sys.version_info[0]}.{sys.version_info[1]}'")

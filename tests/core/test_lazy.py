"""Packages whose names are imported when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import crystallize_core.cache as package


def test_every_public_name_is_found_and_listed():
    """What `__all__` promises is there, whichever module it lives in."""
    assert set(package.__all__) <= set(dir(package))
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


def test_a_name_that_is_not_there_is_an_attribute_error():
    """In the words of Python."""
    with pytest.raises(AttributeError, match=r"^module 'crystallize_core\.cache' has no attribute 'nothing'$"):
        package.nothing


def test_importing_the_package_imports_none_of_its_modules():
    """They come with the first name."""
    code = "import sys, crystallize_core.cache as c; print([m for m in sys.modules if m.startswith(c.__name__ + '.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

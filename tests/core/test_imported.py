"""Libraries that something else imports, and that are looked at while it does."""

from __future__ import annotations

import importlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from crystallize_core.imported import imported

BEGINS = """
import builtins
builtins.import_begins.set()
builtins.import_goes_on.wait(60)
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Writes a module whose import stands still until it is told to go on; gives its name."""
    monkeypatch.setattr("builtins.import_begins", threading.Event(), raising=False)
    monkeypatch.setattr("builtins.import_goes_on", threading.Event(), raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(BEGINS + text)
        importlib.invalidate_caches()
        return name

    yield write
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def looked_at_meanwhile(name):
    """What it is to a thread that asks while another one imports it."""
    import builtins

    with ThreadPoolExecutor(2) as threads:
        importing = threads.submit(importlib.import_module, name)
        builtins.import_begins.wait(60)
        assert name in sys.modules
        asking = threads.submit(imported, name)
        with pytest.raises(TimeoutError):
            asking.result(0.1)  # that it is not there in a moment is how one sees that it waits
        builtins.import_goes_on.set()
        return importing.exception(), asking.result()


def test_nothing_is_imported_to_be_looked_at(library):
    """What nobody uses is not there."""
    name = library("used_by_nobody", "")
    assert (imported(name), name in sys.modules) == (None, False)


def test_what_another_thread_is_importing_is_waited_for(library):
    """It has all its names then, also those that come last."""
    error, module = looked_at_meanwhile(library("imported_slowly", "last = 1"))
    assert (error, module.last, module) == (None, 1, sys.modules["imported_slowly"])
    assert imported("imported_slowly") is module


def test_what_another_thread_fails_to_import_is_not_there(library):
    """The error is that thread's."""
    error, module = looked_at_meanwhile(library("imported_in_vain", "raise RuntimeError('it does not work here')"))
    assert (str(error), module) == ("it does not work here", None)


def test_a_module_that_may_not_be_imported_is_not_there(monkeypatch):
    """As `sys.modules` says it: None."""
    monkeypatch.setitem(sys.modules, "forbidden", None)
    assert imported("forbidden") is None

"""The code of strangers that runs before a run: what it raises has an address, what it changes is put back."""

from __future__ import annotations

import os
import random
import warnings
from pathlib import Path

import pytest

from crystallize_core import ConfigurationError, PluginError
from crystallize_core.errors import listed
from crystallize_core.stack.effects import ProcessState
from crystallize_core.stack.foreign import PluginSideEffectWarning, patience, watched


def test_a_process_that_was_not_changed_is_left_alone(project):
    """Nothing is said."""
    assert ProcessState.now().put_back() == []


def test_what_was_changed_is_put_back_and_named(project):
    """All of it at once."""
    state, drawn = ProcessState.now(), random.getstate()
    os.chdir("/")
    random.seed(1)
    assert state.put_back() == ["the working folder", "the global random numbers"]
    assert (Path.cwd(), random.getstate()) == (project.folder, drawn)
    assert state.put_back() == []


def test_a_working_folder_that_was_removed_is_no_reason_to_fail(tmp_path, project):
    """It cannot be put back."""
    folder = tmp_path / "gone"
    folder.mkdir()
    os.chdir(folder)
    state = ProcessState.now()
    os.chdir(project.folder)
    folder.rmdir()
    assert state.put_back() == ["the working folder"]


def test_the_warning_points_to_whoever_made_the_experiment(project):
    """And not into this package."""
    with pytest.warns(PluginSideEffectWarning) as caught, watched("a", "x_a:Plugin", "x-a 1.0"):
        os.chdir("/")
    assert [(w.filename, str(w.message)) for w in caught] == [
        (__file__, "plugin 'a' of x-a 1.0 changed the working folder while it was loaded, which was put back")
    ]


def test_what_is_raised_gets_the_address(project):
    """A plugin error has one already."""
    with pytest.raises(PluginError) as caught, watched("a", "x_a:Plugin", "x-a 1.0"):
        raise GeneratorExit
    assert str(caught.value) == "plugin 'a' cannot be used: GeneratorExit [distribution 'x-a 1.0', plugin 'a']"
    with pytest.raises(PluginError) as caught, watched("a", "x_a:Plugin", "x-a 1.0"):
        raise PluginError("mine")
    assert str(caught.value) == "mine"


def test_ctrl_c_stays_what_it_is(project):
    """With a note."""
    with pytest.raises(KeyboardInterrupt) as caught, watched("a", "x_a:Plugin", None):
        raise KeyboardInterrupt
    assert caught.value.__notes__ == ["interrupted while plugin 'a' was loaded; CRYSTALLIZE_DISABLE=a leaves it out"]


def test_a_plugin_that_is_loaded_again_is_not_timed_again(project, capsys, monkeypatch):
    """The thread that waits costs nothing after the first time."""
    import threading

    monkeypatch.setenv("CRYSTALLIZE_PATIENCE", "1000")
    found = []
    for _ in range(2):
        with watched("b", "x_b:Plugin", "x-b 1.0"):
            found.append([t.name for t in threading.enumerate() if t.name == "crystallize-patience"])
    assert found == [["crystallize-patience"], []]


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
def test_a_patience_of_no_seconds_is_refused(project, monkeypatch, text):
    """With what was found."""
    monkeypatch.setenv("CRYSTALLIZE_PATIENCE", text)
    with pytest.raises(ConfigurationError) as caught:
        patience()
    assert str(caught.value) == f"environment variable CRYSTALLIZE_PATIENCE: expected seconds above 0, found {text!r}"


def test_the_patience_has_a_default(project, monkeypatch):
    """Of five seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert patience() == 5.0
        monkeypatch.setenv("CRYSTALLIZE_PATIENCE", " 0.5 ")
        assert patience() == 0.5


def test_many_lines_are_cut_and_counted():
    """Twenty are read."""
    lines = [str(number) for number in range(22)]
    assert (listed(lines[:20]), listed(lines)) == (lines[:20], [*lines[:20], "and 2 more"])

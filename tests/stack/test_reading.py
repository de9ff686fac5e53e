"""What is installed is read once, and again as soon as something is installed, removed or changed."""

from __future__ import annotations

import os
import sys

import pytest

from crystallize_core.stack import reading
from crystallize_core.stack.discovery import EXECUTORS, PLUGINS, installed
from crystallize_core.stack.reading import groups

pytestmark = pytest.mark.usefixtures("project")


def age(path, seconds=10):
    """As if it had been there for a while: what was just written is read again in any case."""
    for folder in [path, *path.rglob("*")]:
        status = folder.stat()
        os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns - seconds * 1_000_000_000))


@pytest.fixture
def settled(site, monkeypatch):
    """A site that is older than what a clock can tell apart, and nothing else on the path that changes."""
    site.plugin("loud", "")
    monkeypatch.setattr(sys, "path", [str(site.folder)])
    age(site.folder)
    return site


def names(group=PLUGINS):
    return [item.name for item in installed(group)]


def test_what_was_read_is_kept(settled):
    """The very same."""
    assert groups() is groups()
    assert names() == ["loud"]


def test_another_thread_may_throw_away_what_was_kept_at_any_moment(settled, monkeypatch):
    """Also while it is compared with what is there now."""
    groups()
    looked = reading._times

    def thrown_away_meanwhile(paths):
        reading._kept.clear()
        return looked(paths)

    monkeypatch.setattr(reading, "_times", thrown_away_meanwhile)
    assert names() == ["loud"]


def test_what_was_read_while_it_was_new_is_not_kept(site):
    """It may change once more within the same moment."""
    site.plugin("loud", "")
    assert groups() is not groups()


def test_a_list_that_was_given_out_can_be_changed(settled):
    """It belongs to whoever asked."""
    installed(PLUGINS).clear()
    assert names() == ["loud"]


def test_a_distribution_that_is_installed_meanwhile_is_there(settled):
    """In the same process."""
    assert names() == ["loud"]
    settled.plugin("quiet", "")
    assert names() == ["loud", "quiet"]


def test_a_distribution_that_is_removed_meanwhile_is_gone(settled):
    """As if it had never been there."""
    assert names() == ["loud"]
    info = settled.folder / "x_loud-1.0.dist-info"
    for file in info.iterdir():
        file.unlink()
    info.rmdir()
    assert names() == []


def test_entry_points_that_are_changed_in_place_are_read_again(settled):
    """As an editable installation may do it."""
    assert (names(), names(EXECUTORS)) == (["loud"], [])
    file = settled.folder / "x_loud-1.0.dist-info" / "entry_points.txt"
    file.write_text("[crystallize.executors]\nswarm = x_loud:Plugin\n")
    assert (names(), names(EXECUTORS)) == ([], ["swarm"])


def test_another_search_path_is_another_answer(settled, tmp_path, monkeypatch):
    """Also where nothing has changed in any folder."""
    assert names() == ["loud"]
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "empty")])
    assert names() == []


def test_the_first_of_two_copies_on_the_path_counts(site, tmp_path, monkeypatch):
    """As in an import."""
    site.plugin("loud", "")
    other = tmp_path / "other"
    other.mkdir()
    type(site)(other).distribution("x_Loud", "[crystallize.plugins]\nold = x_loud:Plugin\n", version="0.5")
    monkeypatch.setattr(sys, "path", [str(site.folder), str(other)])
    assert [(item.name, item.version) for item in installed(PLUGINS)] == [("loud", "1.0")]


def test_a_folder_that_an_uninstallation_left_behind_hides_nothing(site, tmp_path, monkeypatch):
    """It has no metadata; a copy behind it has."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "x_loud-0.5.dist-info").mkdir()
    site.plugin("loud", "")
    monkeypatch.setattr(sys, "path", [str(other), str(site.folder)])
    assert names() == ["loud"]

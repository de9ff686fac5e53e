"""What a stack needs, and where it came from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from importlib_metadata import distribution

from crystallize_core.stack.lock.distributions import Source, closure, installed_distribution, source_of


@pytest.fixture
def needs(site):
    """Install distributions without files, with what each needs."""

    def needs(name, *requirements):
        site.distribution(name)
        lines = "".join(f"Requires-Dist: {text}\n" for text in requirements)
        info = site.folder / f"{name}-1.0.dist-info"
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{lines}", encoding="utf-8")

    return needs


def test_everything_that_is_needed_is_found_and_nothing_else(needs):
    """Directly or not, once, with circles, as far as it is installed."""
    needs("top", "middle>=1", "gone")
    needs("middle", "bottom", "Top")
    needs("bottom")
    needs("other")
    assert list(closure(["top"])) == ["bottom", "middle", "top"]


def test_an_extra_counts_where_it_is_asked_for(needs):
    """And only there."""
    needs("top", "middle[fast]")
    needs("middle", "quick ; extra == 'fast'", "docs ; extra == 'docs'")
    needs("quick")
    needs("docs")
    assert list(closure(["top"])) == ["middle", "quick", "top"]


def test_what_a_plugin_may_use_counts_where_it_is_installed(needs):
    """A plugin that finds NumPy uses it, whoever installed it."""
    needs("plugin", "numbers ; extra == 'numbers'", "missing ; extra == 'more'", "old ; python_version < '3'")
    needs("numbers")
    needs("old")
    assert list(closure(["plugin"], all_extras=["plugin"])) == ["numbers", "plugin"]


def test_what_only_some_machines_need_carries_its_marker(needs):
    """Those below it as well; what is needed elsewhere, too, is needed everywhere."""
    marker = 'sys_platform != "nowhere"'
    needs("top", f"special ; {marker}", "shared")
    needs("special", "below", "shared")
    needs("below")
    needs("shared")
    found = {name: member.marker for name, member in closure(["top"]).items()}
    assert found == {"below": marker, "shared": "", "special": marker, "top": ""}


def test_a_name_that_is_not_installed_is_none(project):
    """Not an error."""
    assert installed_distribution("not-installed-anywhere") is None


@pytest.mark.parametrize(
    ("said", "source"),
    [
        (None, Source("index")),
        ("{ damaged", Source("index")),
        ({"url": "file:///home/me/lib", "dir_info": {"editable": True}}, Source("editable", "../lib")),
        ({"url": "file:///home/me/study/x%20y.whl", "archive_info": {}}, Source("path", "x y.whl")),
        (
            {"url": "https://host/x.whl", "archive_info": {"hashes": {"sha256": "ab"}}},
            Source("archive", "https://host/x.whl#sha256=ab"),
        ),
        (
            {"url": "https://me:secret@host/x.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            Source("git", "git+https://host/x.git@c0ffee"),
        ),
        (
            {"url": "ssh://git@host/x.git", "vcs_info": {"vcs": "git", "commit_id": "c0"}, "subdirectory": "lib"},
            Source("git", "git+ssh://git@host/x.git@c0#subdirectory=lib"),
        ),
    ],
)
def test_where_a_distribution_came_from_is_what_its_installer_wrote(site, said, source):
    """Local paths relative to the lock, passwords never."""
    site.distribution("mine")
    if said is not None:
        text = said if isinstance(said, str) else json.dumps(said)
        (site.folder / "mine-1.0.dist-info" / "direct_url.json").write_text(text, encoding="utf-8")
    assert source_of(distribution("mine"), Path("/home/me/study")) == source

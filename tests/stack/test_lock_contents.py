"""The files of a distribution have one digest, however and wherever they were installed."""

from __future__ import annotations

import json

import pytest
from blake3 import blake3
from importlib_metadata import distribution

from crystallize_core.stack.lock.contents import UNREADABLE, digest_of, file_digest, files_of


def _hash(text):
    return blake3(text.encode()).hexdigest()


@pytest.fixture
def installed(site):
    """Write a package `mine` with its metadata, as an installer does, and give what is known of it."""

    def installed(record=("mine/__init__.py", "mine/data.txt"), direct_url=None):
        (site.folder / "mine").mkdir(exist_ok=True)
        (site.folder / "mine" / "__init__.py").write_text("x = 1\n", encoding="utf-8")
        (site.folder / "mine" / "data.txt").write_text("data\n", encoding="utf-8")
        site.distribution("mine", "[crystallize.plugins]\nmine = mine:Plugin\n")
        info = site.folder / "mine-1.0.dist-info"
        (info / "RECORD").write_text("".join(f"{name},sha256=,1\n" for name in record), encoding="utf-8")
        if direct_url is not None:
            (info / "direct_url.json").write_text(json.dumps(direct_url), encoding="utf-8")
        return distribution("mine")

    return installed


POINTS = "[crystallize.plugins]\nmine = mine:Plugin\n"
EXPECTED = {"entry_points.txt": _hash(POINTS), "mine/__init__.py": _hash("x = 1\n"), "mine/data.txt": _hash("data\n")}


def test_the_files_are_those_of_the_record_by_their_bytes(installed):
    """With the entry points, sorted by name."""
    assert list(files_of(installed()).items()) == list(EXPECTED.items())


def test_what_installers_write_for_themselves_does_not_count(installed, site):
    """Compiled files, scripts with the path of the interpreter, and what says who installed it."""
    record = [
        "mine/__init__.py",
        "mine/data.txt",
        "mine/__pycache__/__init__.cpython-311.pyc",
        "../../../bin/mine",
        "mine-1.0.dist-info/RECORD",
        "mine-1.0.dist-info/INSTALLER",
        "mine-1.0.dist-info/METADATA",
    ]
    (site.folder / "mine" / "__pycache__").mkdir(parents=True)
    (site.folder / "mine" / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"compiled")
    assert files_of(installed(record)) == EXPECTED


def test_a_linked_distribution_has_the_files_of_its_sources(installed):
    """An editable install and a copy of the same sources have the same digest."""
    linked = installed(
        record=["__editable__.mine.pth"], direct_url={"url": "file:///x", "dir_info": {"editable": True}}
    )
    assert files_of(linked) == EXPECTED


def test_where_nobody_wrote_down_what_was_installed_the_package_is_looked_at(installed):
    """And nothing of it is imported."""
    assert files_of(installed(record=[])) == EXPECTED


def test_a_module_of_one_file_is_found(site):
    """Without a package around it."""
    site.plugin("single", "raise SystemExit('this must not run')\n")
    expected = {
        "entry_points.txt": _hash("[crystallize.plugins]\nsingle = x_single:Plugin\n"),
        "x_single.py": _hash("raise SystemExit('this must not run')\n"),
    }
    assert files_of(distribution("x-single")) == expected


def test_a_package_in_a_namespace_is_found(site):
    """The namespace belongs to several distributions, and so do not its other packages."""
    for name in ("ours", "theirs"):
        (site.folder / "space" / name).mkdir(parents=True)
        (site.folder / "space" / name / "__init__.py").write_text(f"name = '{name}'\n", encoding="utf-8")
    site.distribution("ours", "[crystallize.plugins]\nours = space.ours:Plugin\n")
    assert list(files_of(distribution("ours"))) == ["entry_points.txt", "space/ours/__init__.py"]


def test_a_file_that_came_to_lie_in_a_package_counts(installed, site):
    """It can be imported, so it is code that was not installed."""
    found = installed()
    (site.folder / "mine" / "below").mkdir()
    (site.folder / "mine" / "below" / "added.py").write_text("", encoding="utf-8")
    (site.folder / "mine" / "notes.txt").write_text("", encoding="utf-8")
    assert files_of(found) == {**EXPECTED, "mine/below/added.py": _hash("")}


def test_a_file_that_is_gone_does_not_count(installed, site):
    """So the digest is another."""
    found = installed()
    (site.folder / "mine" / "data.txt").unlink()
    assert files_of(found) == {name: digest for name, digest in EXPECTED.items() if name != "mine/data.txt"}


def test_every_change_of_a_file_is_another_digest():
    """Of its name as well."""
    digests = {digest_of(files) for files in ({}, {"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "1"})}
    assert len(digests) == 5


def test_the_order_in_which_files_are_found_does_not_count():
    """It is that of the file system."""
    assert digest_of({"a": "1", "b": "2"}) == digest_of({"b": "2", "a": "1"})


def test_a_file_that_cannot_be_read_is_told_from_one_that_is_not_there(tmp_path):
    """Neither is an error."""
    unreadable = tmp_path / "loop"
    unreadable.symlink_to(unreadable)
    assert (file_digest(unreadable), file_digest(tmp_path / "none"), file_digest(tmp_path)) == (UNREADABLE, "", "")


def test_what_would_be_imported_counts_and_not_what_it_hides(installed, site, project, monkeypatch):
    """Another module of that name that comes earlier on the path."""
    found = installed()
    project.write("mine/__init__.py", "x = 2\n")
    monkeypatch.syspath_prepend(str(project.folder))
    assert files_of(found) == {**EXPECTED, "mine/__init__.py": _hash("x = 2\n")}


def test_damaged_metadata_is_no_error(installed, site):
    """What can be read counts."""
    found = installed()
    (site.folder / "mine-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff")
    assert files_of(found) == {name: digest for name, digest in EXPECTED.items() if name != "entry_points.txt"}

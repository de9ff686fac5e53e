"""A folder of fake distributions that this Python takes for installed, and a project to work in."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from pathlib import Path

import attrs
import pytest
from importlib_metadata import distributions


@attrs.frozen
class Site:
    """A folder on `sys.path`, like site-packages."""

    folder: Path

    def module(self, name: str, code: str) -> None:
        """Write an importable module."""
        (self.folder / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")
        importlib.invalidate_caches()

    def distribution(self, name: str, entry_points: str = "", *, version: str = "1.0") -> None:
        """Write what a package manager leaves behind of an installed distribution."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(textwrap.dedent(entry_points), encoding="utf-8")
        (info / "RECORD").write_text("", encoding="utf-8")
        importlib.invalidate_caches()

    def plugin(self, name: str, code: str, *, group: str = "plugins", attribute: str = "Plugin") -> None:
        """Write the distribution `x-<name>` with one module and one entry point of that name."""
        self.module(f"x_{name}", code)
        self.distribution(f"x-{name}", f"[crystallize.{group}]\n{name} = x_{name}:{attribute}\n")


@pytest.fixture
def site(tmp_path, monkeypatch, project):
    """A folder of distributions; the real plugins of this environment are hidden behind empty ones of their names."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    made = Site(folder)
    for distribution in list(distributions()):
        if any(point.group.startswith("crystallize.") for point in distribution.entry_points):
            made.distribution(distribution.metadata["Name"])
    before = set(sys.modules)
    yield made
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]
    importlib.invalidate_caches()


@attrs.frozen
class Project:
    """The current folder."""

    folder: Path

    def write(self, name: str, text: str) -> Path:
        """Write a file, indented like the test that holds it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def config(self, text: str) -> Path:
        """Write `crystallize.toml`."""
        return self.write("crystallize.toml", text)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty folder to work in, and an environment without settings of ours."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))  # local files put their folder there
    for name in os.environ:
        if name.startswith("CRYSTALLIZE_"):
            monkeypatch.delenv(name)
    return Project(folder)

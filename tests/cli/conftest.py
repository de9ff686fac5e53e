"""A folder to work in, the command, and distributions that are installed for one test only."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner
from importlib_metadata import distributions

from crystallize_core.cli import main


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty folder to work in; what a test changes in this process is undone afterwards."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for variable in ("PROFILE", "DISABLE", "AUTOLOAD", "STRICT", "PLUGINS", "EXECUTOR", "ALLOW"):
        monkeypatch.setenv(f"CRYSTALLIZE_{variable}", "")
    return folder


@pytest.fixture
def write(project):
    """Write a file below the project."""

    def write(name, text):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def crystallize(project):
    """Run the command in this process."""

    def crystallize(*args):
        return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="crystallize")

    return crystallize


@pytest.fixture
def in_shell(project):
    """Run the command in a process of its own."""

    def in_shell(*args, path=()):
        known = [str(folder) for folder in path] + [p for p in [os.environ.get("PYTHONPATH")] if p]
        return subprocess.run(
            [sys.executable, "-m", "crystallize_core", *map(str, args)],
            cwd=project,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(known)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return in_shell


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Make a distribution of modules and entry points, and put it where it is found as if it were installed."""

    def install(name, entry_points, modules=None, version="1.2"):
        folder = tmp_path / "site" / name
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        groups = (
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in found.items())
            for group, found in entry_points.items()
        )
        (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
        for module, text in (modules or {}).items():
            (folder / f"{module}.py").write_text(textwrap.dedent(text), encoding="utf-8")
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    yield install
    site = str(tmp_path / "site")
    for module in [n for n, m in sys.modules.items() if str(getattr(m, "__file__", None) or "").startswith(site)]:
        del sys.modules[module]


@pytest.fixture
def alone(install, project):
    """What this environment has installed is hidden behind empty distributions of the same names."""
    for distribution in list(distributions()):
        if any(point.group.startswith("crystallize.") for point in distribution.entry_points):
            install(distribution.metadata["Name"], {})


@pytest.fixture
def experiment_file(write) -> Path:
    """A file with one experiment of two conditions."""
    return write(
        "study.py",
        """
        from crystallize_core import Experiment, Hypothesis, Treatment, pipeline_step


        @pipeline_step()
        def scale(data, *, factor=1.0):
            return [x * factor for x in data]


        @pipeline_step()
        def total(data, ctx):
            return data, {"total": sum(data) + ctx.get("offset", 0)}


        def doubled(baseline, treatment):
            return {"accepted": treatment["total"] == [2 * x for x in baseline["total"]]}


        def halved(baseline, treatment):
            return {"accepted": treatment["total"] == [x / 2 for x in baseline["total"]]}


        study = Experiment(
            datasource=lambda ctx: [1, 2, 3],
            pipeline=[scale, total],
            treatments=[Treatment("double", {"factor": 2.0}), Treatment("half", {"factor": 0.5})],
            hypotheses=[
                Hypothesis(doubled, metrics="total", treatments=["double"]),
                Hypothesis(halved, metrics="total", treatments=["half"]),
            ],
            name="study",
            replicates=2,
            autoload=False,
        )
        """,
    )

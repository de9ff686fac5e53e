"""The tutorial does what it says: its files are written, its commands run, and print what the page shows."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
BLOCK = re.compile(r"^(`{3,4})(\w+)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
# What needs a network; `tox -e author` builds, installs and tests distributions of this kind.
NOT_HERE = ("pip install", "python -m build", "python -m twine", "cd crystallize-finite && tox")
FAILS = {"crystallize run study.py -o finite.ignore=3": 2}
METADATA = "Metadata-Version: 2.1\nName: crystallize-finite\nVersion: 0.1.0\n"
ENTRY_POINTS = "[crystallize.plugins]\nfinite = crystallize_finite:FinitePlugin\n"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the checkout is not beside the tests")


def installed(site):
    """What `pip install -e` leaves behind."""
    info = site / "crystallize_finite-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA, encoding="utf-8")
    (info / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")


def run(command, folder, environment):
    """One command of the page; gives back what it printed, on both channels."""
    program, *words = shlex.split(command)
    module = {"crystallize": "crystallize_core", "pytest": "pytest"}[program]
    more = ["-q", "-p", "no:cacheprovider"] if program == "pytest" else []
    done = subprocess.run(
        [sys.executable, "-m", module, *words, *more],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == FAILS.get(command, 0), f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_the_tutorial_from_top_to_bottom(tmp_path):
    """Files are those whose first line says where they are; a block of text is in what the command before it printed."""
    site = tmp_path / "site"
    project = tmp_path / "project"
    project.mkdir()
    known = {name: value for name, value in os.environ.items() if not name.startswith("CRYSTALLIZE_")}
    source = project / "crystallize-finite" / "src"
    path = os.pathsep.join([str(site), str(source), *filter(None, sys.path)])
    # as where nothing else is installed: what else this environment has would have something to say as well
    environment = {**known, "PYTHONPATH": path, "CRYSTALLIZE_PLUGINS": "finite"}
    printed, ran, texts = "", [], 0
    for _, kind, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "console":
            for command in text.splitlines():
                if command == "pip install -e crystallize-finite":
                    installed(site)
                if not command.startswith(NOT_HERE):
                    here = environment if site.exists() else {**environment, "CRYSTALLIZE_PLUGINS": ""}
                    printed = run(command, project, here)
                    ran.append(command)
        elif kind == "text":
            texts += 1
            assert text.rstrip("\n") in printed, printed
        elif kind == "markdown":
            (project / "crystallize-finite" / "README.md").write_text(text, encoding="utf-8")
        else:
            place = re.match(r"# (\S+)\n", text)
            assert place is not None, text
            (project / place[1]).write_text(text[place.end() :], encoding="utf-8")
    assert (len(ran), texts) == (6, 4)
    assert "metric 'ratio'" not in run("crystallize run study.py", project, environment)

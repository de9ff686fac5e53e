"""What several modules of tests of the core share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest


@pytest.fixture
def run_kit(tmp_path):
    """Runs a conformance kit in a suite of its own; gives back what became of each test, by class and name.

    Called with the module that the suite imports, the text of the suite, and the tests that are wanted if not all are.
    """

    def run(module, text, *wanted):
        shutil.copy(Path(__file__).with_name(module), tmp_path)
        (tmp_path / "test_suite.py").write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        report = tmp_path / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        tests = [f"test_suite.py::{test}" for test in wanted] or ["test_suite.py"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
        done = subprocess.run(
            [*command, *tests], cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False, env=environment
        )
        assert report.is_file(), done.stdout + done.stderr
        return dict(map(outcome_of, ElementTree.parse(report).iter("testcase")))

    return run


def outcome_of(case):
    """The name of a test, with what became of it and what it said."""
    name = f"{case.attrib['classname'].rpartition('.')[2]}::{case.attrib['name']}"
    if not len(case):
        return name, ("passed", "")
    return name, (case[0].tag, f"{case[0].attrib.get('message', '')}\n{case[0].text or ''}")

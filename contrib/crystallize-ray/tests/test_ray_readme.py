"""The README shows code that runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import attrs

from crystallize_ray import RayExecution

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_snippet_of_the_readme_runs_as_a_script(cluster, tmp_path):
    """What a reader pastes into a file works, without another word; here on a cluster that is there, to save time."""
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "snippet.py").write_text(snippet)
    env = {**os.environ, "RAY_ADDRESS": cluster.address}
    done = subprocess.run(
        [sys.executable, "snippet.py"], capture_output=True, text=True, timeout=120, check=False, env=env, cwd=tmp_path
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_readme_tells_how_to_install_it():
    """The line that a reader needs first."""
    assert "pip install crystallize-ray\n" in README


def test_the_table_has_every_option_with_its_default():
    """In the order of the class."""
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", README, re.MULTILINE))
    assert rows == {field.name: repr(field.default) for field in attrs.fields(RayExecution)}

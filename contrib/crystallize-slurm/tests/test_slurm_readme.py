"""The README shows code that runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from crystallize_slurm import SlurmExecution

README = Path(__file__).resolve().parent.parent / "README.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["experiment"])
def test_the_snippets_of_the_readme_run_as_scripts(snippet, slurm, tmp_path):
    """What a reader pastes into a file works, without another word."""
    script = tmp_path / "snippet.py"
    script.write_text(snippet)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_readme_tells_how_to_install_it():
    """The line that a reader needs first."""
    assert "pip install crystallize-slurm\n" in README.read_text()


def test_the_readme_has_every_option():
    """With its default."""
    rows = dict(
        re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", README.read_text().partition("## How it works")[0], re.MULTILINE)
    )
    defaults = {field.name: getattr(SlurmExecution(), field.name) for field in attrs.fields(SlurmExecution)}
    assert rows == {
        name: str(value) if isinstance(value, (int, float)) else repr(value).replace("'", '"')
        for name, value in defaults.items()
    }

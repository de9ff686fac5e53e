"""The README shows code that runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


SNIPPETS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["experiment", "resources", "parallel_map"])
def test_the_snippets_of_the_readme_run_as_scripts(snippet, tmp_path):
    """What a reader pastes into a file works, without another word."""
    script = tmp_path / "snippet.py"
    script.write_text(snippet)
    alone = {**os.environ, "CRYSTALLIZE_AUTOLOAD": "0"}  # whatever else is installed has no part in it
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, env=alone, timeout=120, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_readme_tells_how_to_install_it():
    """The line that a reader needs first."""
    assert "pip install crystallize-executors\n" in README.read_text()

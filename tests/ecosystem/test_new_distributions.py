"""What `crystallize plugins new` writes is built, installed and tested as its author would: by its own tox.

It needs an index, and the wheel of the core that is tested: `tox -e author` gives both. Everywhere else it is skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

WHEEL = os.environ.get("CRYSTALLIZE_TEST_AUTHOR") and os.environ.get("TOX_PACKAGE")
VARIANTS = {
    "watcher": ("--observer",),
    "everything": ("--hooks", "all"),
    "swift": ("--executor",),
    "stepper": ("--step",),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WHEEL, reason="builds and installs from an index; run by tox -e author"),
]


def done(command, folder, **more):
    """What a command prints; it has to succeed."""
    own = ("CRYSTALLIZE_", "PYTEST_", "TOX_", "PYTHONPATH", "PYTHONSAFEPATH", "VIRTUAL_ENV", "COV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    found = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**kept, **more},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert found.returncode == 0, f"{command}\n{found.stdout[-6000:]}{found.stderr[-3000:]}"
    return found.stdout


@pytest.fixture(params=VARIANTS)
def variant(request, tmp_path):
    """A new distribution."""
    done(["crystallize_core", "plugins", "new", request.param, *VARIANTS[request.param]], tmp_path)
    return tmp_path / f"crystallize-{request.param}"


def test_its_own_tox_passes(variant):
    """Its tests against the built wheel, ruff and mypy; the core is the one that is tested here."""
    constraint = variant / "constraint.txt"
    constraint.write_text(f"crystallize-core @ {Path(WHEEL).as_uri()}\n", encoding="utf-8")
    printed = done(["tox"], variant, UV_CONSTRAINT=str(constraint), PIP_CONSTRAINT=str(constraint))
    assert re.findall(r"^  (\w+): OK", printed, re.MULTILINE) == ["tests", "lint", "types"]
    assert re.search(r"\d+ passed", printed)


def test_the_wheel_has_the_package_and_the_sdist_all_of_it(variant):
    """With the mark that it is typed, the license, and the tests."""
    package = variant.name.replace("-", "_")
    done(["build", "--no-isolation"], variant)
    (wheel,), (sdist,) = (variant / "dist").glob("*.whl"), (variant / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as found:
        names = set(found.namelist())
        metadata = found.read(f"{package}-0.1.0.dist-info/METADATA").decode()
    assert {f"{package}/__init__.py", f"{package}/py.typed"} <= names
    assert f"{package}-0.1.0.dist-info/licenses/LICENSE" in names
    assert "Requires-Dist: crystallize-core>=0.1" in metadata
    with tarfile.open(sdist) as packed:
        files = {name.partition("/")[2] for name in packed.getnames()}
    assert {"README.md", "tests/conftest.py", "tests/test_readme.py", "tox.ini"} <= files

"""The catalog of plugins is what their metadata and the recorded results of the conformance kits say."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
GENERATE = CHECKOUT / "docs" / "generate"
FOLDERS = sorted(
    folder
    for parent in ("plugins", "contrib")
    for folder in (CHECKOUT / parent).glob("crystallize*")
    if folder.is_dir()
)
AGAIN = "run: python docs/generate/record.py {}"

pytestmark = pytest.mark.skipif(not FOLDERS or not GENERATE.is_dir(), reason="the checkout is not beside the tests")


def recorded():
    return json.loads((GENERATE / "conformance.json").read_text(encoding="utf-8"))


def names(result):
    """The tests of the kit that ran, without parameters."""
    skipped = [name for found in result["skipped"].values() for name in found]
    return {name.partition("[")[0] for name in (*result["passed"], *result["failed"], *skipped)}


def of_the_kits(folder):
    """The test classes of a distribution that derive from a kit and are no slow ones: `file::class`."""
    found = []
    for file in sorted(folder.glob("tests/test_*conformance.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef) or "slow" in "".join(map(ast.unparse, node.decorator_list)):
                continue
            if {ast.unparse(base) for base in node.bases} & {"PluginConformance", "ExecutorConformance"}:
                found.append(f"{folder.parent.name}/{folder.name}/tests/{file.name}::{node.name}")
    return found


@pytest.mark.ecosystem
def test_the_page_is_what_is_generated():
    """To the byte; the message says what to run."""
    command = [sys.executable, str(GENERATE), "catalog", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_conformance_test_of_a_distribution_is_recorded(folder):
    """And nothing is that is no longer there; what was never recorded says so on the page."""
    found = [result["test"] for result in recorded().get(folder.name, [])]
    if not found and folder.parent.name == "contrib":
        pytest.skip("bridges are recorded where their libraries are installed")
    assert sorted(found) == sorted(of_the_kits(folder)), AGAIN.format(folder.name)


@pytest.mark.parametrize("name", sorted(recorded() if GENERATE.is_dir() else ()))
def test_a_record_has_the_tests_that_the_kits_have_today(name):
    """A new test of a kit makes the record stale."""
    from crystallize_core.testing import ExecutorConformance, PluginConformance

    kits = {
        kit.__name__: {test for test in dir(kit) if test.startswith("test_")}
        for kit in (ExecutorConformance, PluginConformance)
    }
    for result in recorded()[name]:
        assert names(result) == kits[result["kit"]], AGAIN.format(name)


def test_nothing_that_was_recorded_has_failed():
    """A plugin that does not conform is mended, not recorded."""
    assert [
        (result["test"], result["failed"]) for found in recorded().values() for result in found if result["failed"]
    ] == []


@pytest.mark.ecosystem
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["crystallize-artifacts", "crystallize-logging", "crystallize-retries", "crystallize-seeding"]
)
def test_recording_again_gives_the_same(name, tmp_path):
    """Which tests pass and which are skipped for which reason; it takes as long as the kits do."""
    copy = tmp_path / "docs" / "generate"
    copy.mkdir(parents=True)
    for file in GENERATE.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    for part in ("plugins", "pyproject.toml", "tests"):
        (tmp_path / part).symlink_to(CHECKOUT / part)
    command = [sys.executable, str(copy / "record.py"), name]
    subprocess.run(command, capture_output=True, check=True, timeout=600)
    assert json.loads((copy / "conformance.json").read_text(encoding="utf-8"))[name] == recorded()[name]


def test_every_plugin_of_the_metadata_has_a_section():
    """Each entry point of plugins and executors, with its name as heading."""
    page = (CHECKOUT / "docs" / "catalog.md").read_text(encoding="utf-8")
    projects = [(folder / "pyproject.toml").read_text(encoding="utf-8") for folder in FOLDERS]
    tables = [
        re.split(r'^\[project\.entry-points\."crystallize\.(?:plugins|executors)"\]\n', text, flags=re.MULTILINE)[1:]
        for text in projects
    ]
    expected = [
        name
        for parts in tables
        for part in parts
        for name in re.findall(r"^(\w+) = ", part.partition("\n[")[0], re.MULTILINE)
    ]
    assert len(expected) >= 12
    assert sorted(re.findall(r"^### `(\w+)`$", page, re.MULTILINE)) == sorted(expected)

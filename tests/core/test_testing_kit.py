"""The kit for authors of plugins, as a test suite of theirs has it."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from crystallize_core.testing import ExecutorConformance
from crystallize_core.testing.executors.kit import Kit
from crystallize_core.testing.plugins.checks import ALL

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"
SWITCH = 'pytest_plugins = ["crystallize_core.testing"]\n'
KIT = "(ExecutorConformance)"
PLUGIN_KIT = "(PluginConformance)"


def blocks_of_the_page():
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def section(name):
    return PAGE.read_text(encoding="utf-8").partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]


def suite(folder, tests):
    """Run a test suite in a folder of its own; returns the last line that pytest prints."""
    (folder / "conftest.py").write_text(SWITCH)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_suite.py").write_text(textwrap.dedent(tests))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return re.sub(r" in .*", "", done.stdout.strip().splitlines()[-1]), done.stdout + done.stderr


def test_the_fixture_replaces_the_clock_for_one_test(tmp_path):
    """Each test has a new one, and afterwards the clock is that of the machine, also after a failure."""
    last, everything = suite(
        tmp_path,
        """
        import pytest
        from crystallize_core.clock import FakeClock, clock, manual_clock

        @pytest.mark.parametrize("turn", [1, 2])
        def test_with(fake_clock, turn):
            assert isinstance(fake_clock, FakeClock)
            assert manual_clock() is fake_clock
            clock.sleep(1000)
            assert (clock.monotonic(), fake_clock.now, fake_clock.slept) == (1000, 1000, [1000])

        def test_without():
            assert manual_clock() is None

        @pytest.mark.xfail(strict=True)
        def test_failing(fake_clock):
            raise ValueError

        def test_after_the_failure():
            assert manual_clock() is None
        """,
    )
    assert last == "4 passed, 1 xfailed", everything


def test_nothing_of_the_kit_is_there_unless_it_is_switched_on(tmp_path):
    """No entry point loads it into the test runs of others."""
    tests = tmp_path / "test_alone.py"
    tests.write_text("def test_alone(fake_clock):\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tests)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert "fixture 'fake_clock' not found" in done.stdout


def test_without_pytest_the_error_says_how_to_get_it():
    """Where a name is used that needs it; the comparison without an observer does not."""
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from crystallize_core.testing import ablate; from crystallize_core.testing import fake_clock"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr.strip().splitlines()[-1] == (
        "ModuleNotFoundError: fake_clock of crystallize_core.testing is for pytest, which is not installed: "
        "pip install pytest"
    )


@pytest.mark.ecosystem
@pytest.mark.skipif(not PAGE.is_file(), reason="the checkout is not beside the tests")
def test_the_tests_of_the_page_pass(tmp_path):
    """The first block is the conftest.py, the others are one file of tests, but for the executor."""
    first, *others = blocks_of_the_page()
    others = [block for block in others if KIT not in block and PLUGIN_KIT not in block]
    assert first == SWITCH
    last, everything = suite(tmp_path, "\n".join(others))
    tests = sum(block.count("def test_") for block in others)
    assert tests
    assert last == f"{tests} passed", everything


@pytest.mark.ecosystem
@pytest.mark.skipif(not PAGE.is_file(), reason="the checkout is not beside the tests")
def test_the_executor_of_the_page_passes_the_kit(tmp_path):
    """As it stands there, but for what takes longest."""
    (block,) = [block for block in blocks_of_the_page() if KIT in block]
    last, everything = suite(tmp_path, block + "\n    tiny = 500\n    huge_bytes = 1_000_000\n")
    assert re.fullmatch(r"\d\d passed, \d+ skipped", last), everything


@pytest.mark.skipif(not PAGE.is_file(), reason="the checkout is not beside the tests")
def test_the_plugin_of_the_page_passes_the_kit(tmp_path):
    """As it stands there."""
    (block,) = [block for block in blocks_of_the_page() if PLUGIN_KIT in block]
    last, everything = suite(tmp_path, block)
    assert re.fullmatch(r"\d\d passed, \d+ skipped", last), everything


@pytest.mark.skipif(not PAGE.is_file(), reason="the checkout is not beside the tests")
def test_every_check_is_in_the_table_with_its_promise():
    """In their order, and no other."""
    rows = re.findall(r"^\| `(\w+)` \| ([A-Z`].+\.) \|$", section("PluginConformance"), re.MULTILINE)
    assert rows == [(check.name, check.promise) for check in ALL]


@pytest.mark.skipif(not PAGE.is_file(), reason="the checkout is not beside the tests")
def test_every_attribute_of_the_kit_is_in_the_table_with_its_default():
    """And no other."""
    attributes = {
        name: getattr(ExecutorConformance, name)
        for name in ExecutorConformance.__annotations__ | Kit.__annotations__
        if not name.startswith("_")
    }
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \|", section("ExecutorConformance"), re.MULTILINE)
    assert dict(rows) == {name: repr(value) for name, value in attributes.items()}
    assert [name for name in attributes if f"{name}:" not in (ExecutorConformance.__doc__ or "")] == []

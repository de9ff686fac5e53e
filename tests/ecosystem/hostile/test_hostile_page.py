"""The page on hostile plugins and the tests agree: every row has a test, and every case has a row."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[2] / "docs" / "hostile.md"
ROW = re.compile(
    r"^\| (?P<does>.+?) \| (?P<happens>.+?) \| (?P<said>.+?) \| (?P<cure>.+?) \| "
    r'\[test\]\(\.\./(?P<link>tests/[\w/]+\.py) "(?P<file>tests/[\w/]+\.py)::(?P<test>\w+)"\) \|$',
    re.MULTILINE,
)
TABLES = {
    "test_hostile_loading": ("CASES",),
    "test_hostile_metadata": ("BROKEN", "USED"),
    "test_hostile_answers": ("WRONG", "OUTCOMES", "RECORDED"),
    "test_hostile_effects": ("PUT_BACK", "LEFT", "ACCEPTED", "PATCHES", "CHANGES"),
}
"""The modules of tests, and the names of their tables of cases."""

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the checkout is not beside the tests")


def rows():
    return [match.groupdict() for match in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


def tables(module):
    spec = importlib.util.spec_from_file_location(f"{module}_as_read_by_the_page", HERE / f"{module}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return [getattr(found, name) for name in TABLES[module]]


def plain(cell):
    return cell.replace("`", "").strip()


def test_every_line_of_a_table_is_a_row_with_a_test():
    """So that no row is overlooked here."""
    text = PAGE.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ") and "[test]" in line]
    assert len(lines) == len(rows()) > 100


def test_every_row_names_a_test_that_exists():
    """By its file and its name."""
    for row in rows():
        assert row["link"] == row["file"]
        assert f"def {row['test']}(" in (PAGE.parent.parent / row["file"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("module", TABLES)
def test_every_case_has_one_row_and_no_row_is_about_a_case_that_is_not_there(module):
    """They are called the same."""
    cases = [plain(case) for table in tables(module) for case in table]
    named = [plain(row["does"]) for row in rows() if row["file"].endswith(f"/{module}.py")]
    assert [case for case in cases if named.count(case) != 1] == []
    tests = (HERE / f"{module}.py").read_text(encoding="utf-8")
    alone = re.findall(r"^def (test_\w+)\(machine", tests, re.MULTILINE)
    others = [row for row in rows() if row["file"].endswith(f"/{module}.py") and plain(row["does"]) not in cases]
    assert [row["does"] for row in others if row["test"] not in alone] == []


@pytest.mark.parametrize("module", ["test_hostile_loading", "test_hostile_metadata", "test_hostile_answers"])
def test_every_row_quotes_what_is_said(module):
    """The message of the case, or how it begins."""
    said = {plain(row["does"]): plain(row["said"]) for row in rows() if row["file"].endswith(f"/{module}.py")}
    for table in tables(module)[: 2 if module == "test_hostile_answers" else 1]:
        for case, (*_, text) in table.items():
            assert said[plain(case)].rstrip(" …") == plain(" ".join(text.split())).rstrip(" ,…")

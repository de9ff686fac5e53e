"""The comparison with other tools: what it claims of this one is proved by a test that exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "comparison.md"
YES = re.compile(r'\[yes\]\(\.\./(?P<link>[\w/]+\.py) "(?P<file>[\w/]+\.py)::(?P<name>\w+)"\)')
OTHERS = ["pytest", "kedro", "tox", "datasette", "snakemake", "hydra"]

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the checkout is not beside the tests")


def rows():
    """The cells of all rows."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[1] != "here"]


@cache
def defined_in(file):
    tree = ast.parse((CHECKOUT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def is_proved(cell):
    match = YES.match(cell)
    if match is None or match["link"] != match["file"] or not match["name"].startswith("test_"):
        return False
    return (CHECKOUT / match["file"]).is_file() and match["name"] in defined_in(match["file"])


def test_every_row_says_something_of_everybody():
    """And there are enough of them to be worth reading."""
    found = rows()
    assert len(found) > 40
    assert [row for row in found if len(row) != 2 + len(OTHERS) or not all(row)] == []


def test_every_yes_of_ours_names_a_test_that_exists():
    """By its file and its name; what is no such yes is a no."""
    wrong = [row for row in rows() if not (re.match(r"no\b", row[1]) or is_proved(row[1]))]
    assert wrong == []


def test_no_test_proves_two_rows():
    """A claim is worth a test of its own."""
    named = [match["file"] + match["name"] for row in rows() if (match := YES.match(row[1]))]
    assert [name for name in named if named.count(name) > 1] == []


def test_where_others_are_better_it_is_said():
    """In rows with a no in our column and a yes in that of another one."""
    worse = [row for row in rows() if row[1].startswith("no")]
    assert len(worse) > 8
    assert [row for row in worse if not any(re.match(r"\[?yes", cell) for cell in row[2:])] == []


def test_every_source_is_there_and_used():
    """What is said of others has an address."""
    text = PAGE.read_text(encoding="utf-8")
    used = set(re.findall(r"\]\[([\w-]+)\]", text))
    defined = re.findall(r"^\[([\w-]+)\]: (?:https://|#)\S+", text, re.MULTILINE)
    assert sorted(used) == sorted(defined)


def test_a_yes_of_another_tool_has_a_source():
    """All but the one that everybody knows."""
    bare = [row[0] for row in rows() for cell in row[2:] if re.match(r"yes\b", cell)]
    assert set(bare) <= {"years of use with a stable contract"}

"""The page on locking shows what happens: its files are written, its commands are typed, its output is compared."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "lock.md"
BLOCK = re.compile(r"^```(toml|python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w.]+\.(?:toml|py))\n")


def _pattern(text):
    """`…` stands for anything, also for several lines where it stands alone on one."""
    parts = re.split(r"(^…\n|…)", text, flags=re.MULTILINE)
    kinds = {"…\n": r"(?:.*\n)*", "…": r".*"}
    return "".join(kinds.get(part, re.escape(part)) for part in parts)


@pytest.mark.ecosystem
@pytest.mark.skipif(not PAGE.is_file(), reason="the checkout is not beside the tests")
def test_what_the_page_shows_is_what_happens(in_shell, write):
    """Each command with its output, from top to bottom."""
    typed = 0
    for kind, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        named = FILE.match(text)
        if kind != "console":
            if named is not None:
                write(named[1], text)
            continue
        for command, expected in re.findall(r"^\$ crystallize (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
            done = in_shell(*shlex.split(command))
            assert re.match(_pattern(expected), done.stdout or done.stderr), (command, done.stdout, done.stderr)
            typed += 1
    assert typed == 6

"""A plugin that watches which files a step reads: an entry is used only while these files are what they were."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from crystallize_core import BasePlugin, Experiment, pipeline_step
from crystallize_core.fingerprint import content_digest

_OPENED: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar("_OPENED")
_RUNS: contextvars.ContextVar[Any] = contextvars.ContextVar("_RUNS")


def _digest(path: str) -> str:
    """What a file is now; that there is none is an answer too."""
    try:
        return content_digest(Path(path).read_bytes())
    except OSError:
        return "no file"


def read_text(path: str) -> str:
    """What steps call to read a file that counts."""
    _OPENED.get({})[path] = _digest(path)
    return Path(path).read_text(encoding="utf-8")


class _Files(Mapping[str, str]):
    """The digest of any file: as it was when the step opened it, or as it is now; lists those that were opened."""

    def __init__(self, opened: dict[str, str]) -> None:
        self._opened = opened

    def __getitem__(self, path: str) -> str:
        return self._opened[path] if path in self._opened else _digest(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened)

    def __len__(self) -> int:
        return len(self._opened)


class FilesPlugin(BasePlugin):
    """Makes the files that a step reads a part of what its output depends on."""

    name = "files"

    def cache_dependencies(self, experiment: Any, step: Any, ctx: Any) -> Mapping[str, Any]:
        """Before the step: anything that it may ask about. After it: what it has opened."""
        if _RUNS.get(None) is not ctx:  # it has not begun, and each step starts with a list of its own
            _OPENED.set({})
        return _Files(_OPENED.get())

    def before_step(self, experiment: Any, step: Any, ctx: Any) -> None:
        """From here on it is this step that opens files."""
        _RUNS.set(ctx)


@pipeline_step(cacheable=True)
def count(data):
    """Depends on two files, of which it reads the second only if the first says so."""
    settings = json.loads(read_text("settings.json"))
    words = read_text("words.txt") if settings["words"] else ""
    return data, {"words": len(words.split())}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    Path("settings.json").write_text('{"words": true}')
    Path("words.txt").write_text("one two")


def ran():
    """The number of words, and whether it came from the cache."""
    result = Experiment(lambda ctx: 1, [count], [FilesPlugin()], autoload=False).run()
    (number,) = result.metrics.baseline.metrics["words"]
    return number, result.provenance["baseline"][0][0]["cache_hit"]


def test_unchanged_files_are_a_hit():
    """Whatever happens to others."""
    assert ran() == (2, False)
    Path("other.txt").write_text("not read")
    assert ran() == (2, True)


@pytest.mark.parametrize("text", ["one two three", "one  two", ""])
def test_a_changed_file_runs_the_step_again(text):
    """Any change of its content counts, and going back to what it was is a hit again."""
    ran()
    Path("words.txt").write_text(text)
    assert ran() == (len(text.split()), False)
    Path("words.txt").write_text("one two")
    assert ran() == (2, True)


def test_only_files_that_were_read_count():
    """Which these are may depend on what is in the others."""
    Path("settings.json").write_text('{"words": false}')
    assert ran() == (0, False)
    Path("words.txt").unlink()
    assert ran() == (0, True)


def test_a_dry_run_names_the_file():
    """As `crystallize cache why` does."""
    ran()
    Path("words.txt").write_text("three")
    found = Experiment(lambda ctx: 1, [count], [FilesPlugin()], autoload=False).dry_run()
    assert found["count"].changes == ("'words.txt' of plugin 'files'",)

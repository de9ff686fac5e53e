"""Entries that are stored or removed at one moment: what a run has stored is found by the next one."""

from __future__ import annotations

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from crystallize_core import Pipeline, step
from crystallize_core.cache import FileStore
from crystallize_core.cache.files import write_whole

MANY = 8


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


class Gate:
    """Lets steps end at one moment, and is nothing that they depend on."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)

        self.is_open = False

    def __call__(self) -> None:
        if not self.is_open:
            self.barrier.wait(30)

    def __getstate__(self):
        return None


def ran(folder: Any, what: Any, at: int) -> str:
    pipeline = Pipeline([what], name="study", cache_dir=folder, checkpoint=False)
    result = pipeline.run(context={"at": at, **{f"key_{n}": n for n in range(MANY)}})
    result.raise_for_status()
    assert result["made"] == at
    return result.step_results["reads"].state


def test_runs_that_read_different_parameters_and_end_at_one_moment_keep_all_entries(folder):
    """Each reads a parameter that the others do not read, so that each has names of its own to note."""
    gate = Gate(MANY)

    @step(outputs=["made"])
    def reads(context):
        gate()
        return context[f"key_{context['at']}"]

    def ran_or_all_give_up(at: int) -> str:
        try:
            return ran(folder, reads, at)
        except BaseException:
            gate.barrier.abort()
            raise

    with ThreadPoolExecutor(MANY) as threads:
        runs = [threads.submit(ran_or_all_give_up, at) for at in range(MANY)]
    errors = [error for error in (run.exception() for run in runs) if error is not None]
    assert [repr(error) for error in errors if "BrokenBarrierError" not in str(error)] == []
    cold = [run.result() for run in runs]
    assert cold == ["ok"] * MANY
    gate.is_open = True
    warm = [ran(folder, reads, at) for at in range(MANY)]
    assert warm == ["cached"] * MANY


def test_an_entry_outlives_a_clean_up_in_the_middle_of_its_being_stored(folder, monkeypatch):
    """Somebody removes the folders without entries just before the first entry of a folder is there."""

    @step(outputs=["made"])
    def reads(context):
        return context["at"]

    write = FileStore._write_file

    def interrupted(store: FileStore, name: str, content: bytes, **how: Any) -> None:
        if name.endswith(".pkl"):
            Pipeline([reads], name="study", cache_dir=folder).invalidate_cache()
        write(store, name, content, **how)

    monkeypatch.setattr(FileStore, "_write_file", interrupted)
    assert [ran(folder, reads, 3), ran(folder, reads, 3)] == ["ok", "cached"]


def test_an_entry_is_written_although_its_folder_is_removed_between_two_looks_at_it(tmp_path, monkeypatch):
    """The folder is there when it is to be made, and gone when `mkdir` asks whether it is a folder."""
    make, removed = Path.mkdir, []

    def removed_meanwhile(path: Path, *given: Any, **how: Any) -> None:
        if not removed:
            removed.append(path)
            raise FileExistsError(errno.EEXIST, "File exists", str(path))
        make(path, *given, **how)

    monkeypatch.setattr(Path, "mkdir", removed_meanwhile)
    write_whole(tmp_path / "step" / "entry", [b"content"])
    assert (tmp_path / "step" / "entry").read_bytes() == b"content"
    assert removed == [tmp_path / "step"]


def test_a_file_where_a_folder_should_be_is_told_as_it_is(tmp_path):
    """It is not somebody who removes a folder again and again."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "file" / "entry", [b"content"])

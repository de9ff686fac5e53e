"""The runs of the matrix, and whether all of them came to the same."""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from crystallize_core.result_text import table
from crystallize_core.testing.matrix.experiments import EXPERIMENTS, KILLED, MISHAPS, NONE, experiment

__all__ = ["CACHES", "Cell", "Matrix", "run_matrix"]

CACHES: Final = ("cold", "warm")
STACK: Final = """\
plugins = ["seeding", "retries"]

[options.seeding]
seed = 7
rng = "numpy"

[options.retries]
first_delay = 0.0
"""
SHOWN: Final = 12
"""So many digits of a digest are in the table."""


@attrs.frozen
class Cell:
    """One run.

    Attributes:
        executor, cache, mishap, experiment: Which.
        digest: That of its result; None where it was left out or went wrong.
        trouble: What went wrong, or why it was left out; empty where nothing was.

    """

    executor: str
    cache: str
    mishap: str
    experiment: str
    digest: str | None
    trouble: str = ""


@attrs.frozen
class Matrix:
    """All runs.

    Attributes:
        cells: In the order in which they were made.

    """

    cells: Sequence[Cell]

    @property
    def digests(self) -> dict[str, set[str]]:
        """The digests of each experiment; one, where executors, caches and mishaps make no difference."""
        found: dict[str, set[str]] = {}
        for cell in self.cells:
            found.setdefault(cell.experiment, set()).update([] if cell.digest is None else [cell.digest])
        return found

    @property
    def troubles(self) -> list[str]:
        """What went wrong, in words; runs that were left out are no trouble."""
        runs = [cell for cell in self.cells if cell.trouble and not cell.trouble.startswith(_LEFT_OUT)]
        found = [f"{c.experiment}, {c.executor}, {c.cache} cache, {c.mishap}: {c.trouble}" for c in runs]
        several = {name: digests for name, digests in self.digests.items() if len(digests) > 1}
        return found + [f"{name} has {len(digests)} digests" for name, digests in several.items()]

    def __str__(self) -> str:
        """The table: a row for each executor, cache and mishap, a column for each experiment."""
        names = list(dict.fromkeys(cell.experiment for cell in self.cells))
        rows: dict[tuple[str, str, str], dict[str, str]] = {}
        for cell in self.cells:
            text = cell.digest[:SHOWN] if cell.digest and not cell.trouble else "-" if _is_left_out(cell) else "FAILED"
            rows.setdefault((cell.executor, cell.cache, cell.mishap), {})[cell.experiment] = text
        listed = [(*row, *(found.get(name, "") for name in names)) for row, found in rows.items()]
        return "\n".join(table(("executor", "cache", "mishap", *names), listed))


_LEFT_OUT = "left out: "


def _is_left_out(cell: Cell) -> bool:
    return cell.trouble.startswith(_LEFT_OUT)


def run_matrix(
    executors: Mapping[str, Callable[[], Any] | str | None],
    folder: Path,
    *,
    experiments: Sequence[str] = EXPERIMENTS,
    mishaps: Sequence[str] = MISHAPS,
    replicates: int = 8,
) -> Matrix:
    """Run the experiments under each executor, with each mishap, with a cold cache and with a warm one.

    Args:
        executors: By the name in the table: what makes an executor; the name of an installed one, with options as in
            `process:start_method=spawn,max_workers=2`; or None for the plain loop.
        folder: An empty folder for a project, its caches, and notes of what happened. All workers have to see it.
        experiments: Which of the experiments.
        mishaps: Which of the mishaps. Workers can be killed only where they are processes.
        replicates: How many replicates each has.

    """
    cells: list[Cell] = []
    with _clean_environment(), contextlib.chdir(folder):
        for name, given in executors.items():
            executor = given() if callable(given) else _configured(given)
            for mishap in mishaps:
                for which in experiments:
                    where = folder.absolute() / f"run-{len(cells)}"
                    cells += _cold_and_warm(Cell(name, "", mishap, which, None), executor, where, replicates)
    return Matrix(cells)


@contextlib.contextmanager
def _clean_environment() -> Iterator[None]:
    """Without what the environment says of stacks and caches."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("CRYSTALLIZE_")}
    for name in kept.keys() - {"CRYSTALLIZE_WORKERS"}:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.pop("CRYSTALLIZE_CACHE_DIR", None)
        os.environ.update(kept)


def _configured(spec: str | None) -> str | None:
    """The name of an executor, for which the project then has the options that are written behind it."""
    name, _, options = (spec or "").partition(":")
    if options.startswith("//"):  # the address of a cluster
        name, options = spec or "", ""
    lines = [_assignment(option) for option in options.split(",") if option]
    text = STACK + (f"\n[options.{name}]\n" + "\n".join(lines) if lines else "")
    Path("crystallize.toml").write_text(text, encoding="utf-8")
    return name or None


def _assignment(option: str) -> str:
    key, _, value = option.partition("=")
    try:
        tomllib.loads(f"it = {value}")
    except tomllib.TOMLDecodeError:
        value = json.dumps(value)
    return f"{key} = {value}"


def _cold_and_warm(cell: Cell, executor: Any, where: Path, replicates: int) -> Iterator[Cell]:
    os.environ["CRYSTALLIZE_CACHE_DIR"] = str(where / "cache")
    # Whoever reads it finds the same folder in both runs, and what happened in the first one is forgotten.
    marks = where / "marks"
    for cache in CACHES:
        marks.mkdir(parents=True)
        yield _run(attrs.evolve(cell, cache=cache), executor, marks, replicates)
        marks.rename(where / f"marks of the {cache} run")


def _run(cell: Cell, executor: Any, marks: Path, replicates: int) -> Cell:
    try:
        made = experiment(cell.experiment, cell.mishap, marks, replicates, executor)
        shared = (
            "serial" if made.stack.executor is None else getattr(made.stack.executor.plugin, "concurrency", "process")
        )
        if cell.mishap == KILLED and shared != "process":
            return attrs.evolve(cell, trouble=f"{_LEFT_OUT}its replicates run in the process that waits for them")
        result = made.run()
    except Exception as error:  # noqa: BLE001 - it is told of with the others
        return attrs.evolve(cell, trouble=f"{type(error).__name__}: {error}")
    trouble = "".join(f"{len(result.errors)} cells failed: {error}" for error in list(result.errors.values())[:1])
    if cell.mishap != NONE and not any(marks.iterdir()):
        trouble = trouble or "nothing happened"
    return attrs.evolve(cell, digest=result.digest, trouble=trouble)

"""The command: `python -m crystallize_core.testing.matrix EXECUTOR ...`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from crystallize_core.testing.matrix.experiments import EXPERIMENTS, MISHAPS
from crystallize_core.testing.matrix.runs import run_matrix

FAILED = 1


@click.command()
@click.argument("executors", nargs=-1, required=True)
@click.option("--experiment", "experiments", multiple=True, type=click.Choice(EXPERIMENTS), help="Only this one.")
@click.option("--mishap", "mishaps", multiple=True, type=click.Choice(MISHAPS), help="Only this one.")
@click.option("--replicates", type=click.IntRange(min=2), default=8, show_default=True, help="Of each experiment.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where caches and notes are kept, for clusters whose workers do not see the temporary folder of this machine.",
)
def main(
    executors: tuple[str, ...],
    experiments: tuple[str, ...],
    mishaps: tuple[str, ...],
    replicates: int,
    folder: Path | None,
) -> None:
    """Run three experiments under each of the EXECUTORS, with cold and warm caches and with mishaps, and print the digests.

    An executor is the name of an installed one, with options behind a colon: process:start_method=spawn,max_workers=2
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="matrix-") as inside:
        found = run_matrix(
            {name: name for name in executors},
            Path(inside),
            experiments=experiments or EXPERIMENTS,
            mishaps=mishaps or MISHAPS,
            replicates=replicates,
        )
    click.echo(str(found))
    for trouble in found.troubles:
        click.echo(trouble, err=True)
    if found.troubles:
        sys.exit(FAILED)
    count = sum(cell.digest is not None for cell in found.cells)
    click.echo(f"\n{count} runs, and one digest for each experiment")


if __name__ == "__main__":
    main()

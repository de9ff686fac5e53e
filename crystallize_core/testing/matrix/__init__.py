"""One digest, whoever runs the replicates: executors by cold and warm caches by mishaps, for three experiments.

    python -m crystallize_core.testing.matrix serial thread process process:start_method=spawn

prints the table, and ends with 1 where an experiment has more than one digest. In tests:

    matrix = run_matrix({"serial": None, "mine": lambda: MyExecution(max_workers=2)}, folder=tmp_path)
    assert matrix.digests == {"pure": matrix.first["pure"], ...}
"""

from crystallize_core.testing.matrix.runs import Cell, Matrix, run_matrix

__all__ = ["Cell", "Matrix", "run_matrix"]

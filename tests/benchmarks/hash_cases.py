"""One case of digests in an interpreter of its own: `python hash_cases.py CASE`; prints a JSON object of microseconds.

Wall time, because large values are hashed by several threads; what is compared is measured in turn in one process.
"""

import hashlib
import json
import pickle
import sys
import time
from pathlib import Path

ROUNDS = 9


def best(cases, calls):
    """The best time of one call of each case, in microseconds."""
    for run in cases.values():
        run()
    found = dict.fromkeys(cases, float("inf"))
    for _ in range(ROUNDS):
        for name, run in cases.items():
            start = time.perf_counter()
            for _ in range(calls):
                run()
            found[name] = min(found[name], (time.perf_counter() - start) / calls * 1e6)
    return found


def compared(value, calls):
    import joblib

    from crystallize_core.fingerprint import content_digest

    return best(
        {
            "core": lambda: content_digest(value),
            "pickle+sha256": lambda: hashlib.sha256(pickle.dumps(value)).hexdigest(),
            "joblib": lambda: joblib.hash(value),
        },
        calls,
    )


def array():
    """100 MB of numbers."""
    import numpy as np

    return compared(np.random.default_rng(1).standard_normal(12_500_000), 1)


def small():
    """A list of three numbers."""
    return compared([1, 2, 3], 5_000)


def frame():
    """A table of 10^6 rows with numbers, numbers of which some are missing, and texts."""
    import numpy as np
    import pandas as pd

    rows = np.arange(1_000_000)
    table = pd.DataFrame({"a": rows / 3, "b": pd.array(rows, dtype="Int64"), "c": [f"row {row}" for row in rows]})
    table.loc[::7, "b"] = None
    return compared(table, 1)


CASES = {"array": array, "small": small, "frame": frame}

if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]
    print(json.dumps(CASES[sys.argv[1]]()))

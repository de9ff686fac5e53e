"""One case of cached steps in an interpreter of its own: `python cache_cases.py CASE`; prints a JSON object of microseconds.

Wall time of a hit. `core` is crystallize_core: what a run costs more than with a step that is not cached. `joblib` is a
call of a function of `joblib.Memory`. `peer` is crystallize-ml, which hashes for steps that are not cached too, so that a
hit is compared by the whole of a replicate with a cached step; what each further cached step costs stands beside it.
"""

import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5


def best(cases):
    """The best time of each of some calls, taken in turn, in microseconds."""
    for run in cases.values():
        run()
    found = dict.fromkeys(cases, float("inf"))
    for _ in range(ROUNDS):
        for name, run in cases.items():
            start = time.perf_counter()
            run()
            found[name] = min(found[name], (time.perf_counter() - start) * 1e6)
    return found


def same(x):
    return x


def more(data):
    return data + 1


def first(data):
    return data, {"first": float(data[0])}


def core(data, steps, replicates=1):
    from crystallize_core import Experiment

    experiment = Experiment(lambda ctx: data, steps, autoload=False)
    return lambda: experiment.run(replicates=replicates, provenance="none")


def core_step(function):
    from crystallize_core import pipeline_step

    return pipeline_step(cacheable=True)(function)


def peer(data, function, *, steps=1, replicates=1):
    from crystallize import ArtifactPlugin, Experiment, LoggingPlugin, Pipeline, SeedPlugin, data_source, pipeline_step

    logging.disable(logging.CRITICAL)

    @data_source
    def given(ctx):
        return data

    @pipeline_step(cacheable=True)
    def step(data, ctx):
        return function(data)

    plugins = [ArtifactPlugin(tempfile.mkdtemp()), SeedPlugin(seed=1), LoggingPlugin(log_level="ERROR")]
    experiment = Experiment(given(), Pipeline([step() for _ in range(steps)]), plugins)
    return lambda: experiment.run(replicates=replicates)


def in_joblib(function):
    import joblib

    return joblib.Memory(tempfile.mkdtemp(), verbose=0).cache(function)


def small():
    """A hit with a list of three numbers, which the next step takes."""
    data, calls = [1, 2, 3], 500
    call = in_joblib(same)
    found = best(
        {
            "core": core(data, [core_step(same), same], calls),
            "core, not cached": core(data, [same, same], calls),
            "peer": peer(data, same, replicates=100),
            "peer, ten more": peer(data, same, steps=11, replicates=100),
            "joblib": lambda: [call(data) for _ in range(calls)],
        }
    )
    return {
        "core": (found["core"] - found["core, not cached"]) / calls,
        "joblib": found["joblib"] / calls,
        "core replicate": found["core"] / calls,
        "peer replicate": found["peer"] / 100,
        "peer step": (found["peer, ten more"] - found["peer"]) / 1000,
    }


def call():
    """A hit by one call of a pipeline with one cached step, which sets up a run each time."""
    data, calls = [1, 2, 3], 500
    in_files = in_joblib(same)
    from crystallize import FrozenContext as PeerContext
    from crystallize import Pipeline as PeerPipeline
    from crystallize import pipeline_step as peer_step
    from crystallize_core import Pipeline

    logging.disable(logging.CRITICAL)

    @peer_step(cacheable=True)
    def step(data, ctx):
        return same(data)

    ours, theirs = Pipeline([core_step(same)]), PeerPipeline([step()])
    found = best(
        {
            "core": lambda: [ours.run(data) for _ in range(calls)],
            "joblib": lambda: [in_files(data) for _ in range(calls)],
            "peer": lambda: [theirs.run(data, PeerContext({})) for _ in range(calls)],
        }
    )
    return {name: value / calls for name, value in found.items()}


def numbers():
    import numpy as np

    return np.random.default_rng(1).standard_normal(12_500_000)  # 100 MB


def large():
    """A hit with an array of 100 MB in and out, of which the next step takes one number."""
    data = numbers()
    call = in_joblib(more)
    return best(
        {
            "core": core(data, [core_step(more), first]),
            "peer": peer(data, more),
            "joblib": lambda: first(call(data)),
        }
    )


def chain():
    """Ten hits in a row with 100 MB each, beside hashing the first input once."""
    from crystallize_core import content_digest

    data = numbers()
    return best({"core": core(data, [core_step(more) for _ in range(10)]), "hash": lambda: content_digest(data)})


def many():
    """A hit beside 100 entries and beside 100,000."""
    from crystallize_core.cache import FileStore

    found = {}
    store = FileStore()
    run = core([1, 2, 3], [core_step(same)], 500)
    run()
    (folder,) = (path for path in store.folder.iterdir() if len(path.name) == 64)  # that of the step
    made = 0
    for entries in (100, 100_000):
        for number in range(made, entries):
            (folder / f"{number:064x}.pkl").touch()
        made = entries
        found[f"{entries} entries"] = best({"core": run})["core"] / 500
    return found


CASES = {"small": small, "call": call, "large": large, "chain": chain, "many": many}

if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ |= {"XDG_CONFIG_HOME": f"{folder}/home", "CRYSTALLIZE_CACHE_DIR": f"{folder}/cache"}
        print(json.dumps(CASES[sys.argv[1]]()))
        os.chdir("/")

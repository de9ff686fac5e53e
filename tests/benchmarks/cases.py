"""One case of one system in an interpreter of its own: `python cases.py SYSTEM WORKLOAD`; prints microseconds.

The systems do the same work in their own words: `bare` is the plain loop (the floor of any framework),
`core` is crystallize_core, `peer` is crystallize-ml. Times are processor time, the best of several rounds.
"""

import json
import logging
import sys
import tempfile
import time
from pathlib import Path

CHAIN = 10
STEPS = 3
CONDITIONS = {"baseline": {"delta": 0}, "t1": {"delta": 1}, "t2": {"delta": 2}, "t3": {"delta": 3}}
ROUNDS = 5
REPLICATES = {"bare": 20_000, "core": 5_000, "peer": 300}


def noop(x):
    return x


def measure(data, delta):
    return data, data[0] + delta


def payload(kind):
    if kind == "small":
        return [1, 2, 3]
    import numpy as np

    return np.random.default_rng(1).standard_normal(1_250_000)  # 10 MB


# bare ------------------------------------------------------------------------------------------------


def bare_chain(hooks, data):
    def hook(step, value):
        pass

    before, after = [hook] * hooks, [hook] * hooks

    def run(replicates):
        for _ in range(replicates):
            value = data
            for step in range(CHAIN):
                for call in before:
                    call(step, value)
                value = noop(value)
                for call in after:
                    call(step, value)

    return run


# core ------------------------------------------------------------------------------------------------


def core_chain(hooks, data):
    from crystallize_core import BasePlugin, Experiment, Pipeline, pipeline_step

    class Nothing(BasePlugin):
        def before_step(self, experiment, step):
            pass

        def after_step(self, experiment, step, data, ctx):
            pass

    @pipeline_step()
    def step(data, ctx):
        return noop(data)

    plugins = [Nothing() for _ in range(hooks)]
    experiment = Experiment(lambda ctx: data, Pipeline([step() for _ in range(CHAIN)]), plugins, autoload=False)
    return lambda replicates: experiment.run(replicates=replicates)


def core_experiment():
    from crystallize_core import Experiment, Pipeline, Treatment, pipeline_step

    @pipeline_step()
    def measured(data, ctx, *, metric, delta=0):
        data, value = measure(data, delta)
        return data, {metric: value}

    experiment = Experiment(
        lambda ctx: [1, 2, 3],
        Pipeline([measured(metric=f"m{i}") for i in range(STEPS)]),
        treatments=[Treatment(name, values) for name, values in CONDITIONS.items()],
        autoload=False,
    )

    def run(replicates):
        metrics = experiment.run(replicates=replicates).metrics
        return {"baseline": metrics.baseline.metrics, **{n: t.metrics for n, t in metrics.treatments.items()}}

    return run


# crystallize-ml ---------------------------------------------------------------------------------------


def peer_plugins(*more):
    from crystallize import ArtifactPlugin, LoggingPlugin, SeedPlugin

    logging.disable(logging.CRITICAL)
    folder = tempfile.mkdtemp()
    return [ArtifactPlugin(folder), SeedPlugin(seed=1), LoggingPlugin(log_level="ERROR"), *more]


def peer_source(data):
    from crystallize import data_source

    @data_source
    def given(ctx):
        return data

    return given()


def peer_chain(hooks, data):
    from crystallize import BasePlugin, Experiment, Pipeline, pipeline_step

    class Nothing(BasePlugin):
        def before_step(self, experiment, step):
            pass

        def after_step(self, experiment, step, data, ctx):
            pass

    @pipeline_step()
    def step(data, ctx):
        return noop(data)

    plugins = peer_plugins(*(Nothing() for _ in range(hooks)))
    experiment = Experiment(peer_source(data), Pipeline([step() for _ in range(CHAIN)]), plugins)
    return lambda replicates: experiment.run(replicates=replicates)


def peer_experiment():
    from crystallize import Experiment, Pipeline, Treatment, pipeline_step

    @pipeline_step()
    def measured(data, ctx, *, metric, delta=0):
        data, value = measure(data, delta)
        return data, {metric: value}

    experiment = Experiment(
        peer_source([1, 2, 3]),
        Pipeline([measured(metric=f"m{i}") for i in range(STEPS)]),
        peer_plugins(),
        treatments=[Treatment(name, values) for name, values in CONDITIONS.items() if name != "baseline"],
    )

    def run(replicates):
        metrics = experiment.run(replicates=replicates).metrics
        return {"baseline": metrics.baseline.metrics, **{n: t.metrics for n, t in metrics.treatments.items()}}

    return run


# measuring ------------------------------------------------------------------------------------------------


def best(run, replicates):
    run(2)
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run(replicates)
        times.append(time.process_time() - start)
    return min(times) / replicates * 1e6


def chain(system, hooks, kind="small"):
    """Microseconds per step of a chain."""
    replicates = REPLICATES[system] if kind == "small" or system != "peer" else 5
    return best(globals()[f"{system}_chain"](hooks, payload(kind)), replicates) / CHAIN


def experiment(system):
    """Microseconds per cell of an experiment; checks that the work was really done."""
    run = globals()[f"{system}_experiment"]()
    for name, metrics in run(2).items():
        assert metrics == {f"m{i}": [1 + CONDITIONS[name]["delta"]] * 2 for i in range(STEPS)}, (name, metrics)
    return best(run, 1000) / len(CONDITIONS)


WORKLOADS = {
    "chain": lambda system: chain(system, 0),
    "chain-5-plugins": lambda system: chain(system, 5),
    "chain-10-MB": lambda system: chain(system, 0, "array"),
    "experiment": experiment,
}

if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]
    print(json.dumps(WORKLOADS[sys.argv[2]](sys.argv[1])))

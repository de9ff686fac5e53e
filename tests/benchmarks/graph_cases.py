"""One case of a graph of named steps, or of a policy, in an interpreter of its own: `python graph_cases.py CASE`.

Prints a JSON object of microseconds. Times are processor time, the best of several rounds; what is compared is
measured in turn in one process, so that a machine whose speed drifts does no harm.
"""

import json
import sys
import time
from pathlib import Path

CHAIN = 10
GRAPH = 1000
ROUNDS = 9


def best(cases, calls):
    """The best time of one call of each case, in microseconds."""
    for run in cases.values():
        run(2)
    found = dict.fromkeys(cases, float("inf"))
    for _ in range(ROUNDS):
        for name, run in cases.items():
            start = time.process_time()
            run(calls)
            found[name] = min(found[name], (time.process_time() - start) / calls * 1e6)
    return found


def function(name, *parameters):
    """A function that returns its first parameter; one of its own each time, as users write them."""
    scope = {}
    exec(f"def {name}({', '.join(parameters)}):\n    return {parameters[0]}", scope)
    return scope[name]


def named(count, **options):
    """Steps that take what the one before made, by name."""
    from crystallize_core import step

    return [step(outputs=[f"a{n + 1}"], **options)(function(f"s{n}", f"a{n}")) for n in range(count)]


def chained(count, **options):
    from crystallize_core import pipeline_step

    return [pipeline_step(**options)(function(f"s{n}", "data")) for n in range(count)]


def runs(steps, *plugins, value=1):
    from crystallize_core import Experiment, Pipeline

    experiment = Experiment(lambda ctx: value, Pipeline(steps), plugins, autoload=False)
    return lambda replicates: experiment.run(replicates=replicates)


def compiling():
    """A graph of 1000 named steps, cached by default, is made a plan of."""
    from crystallize_core.engine.hooks import HookCalls
    from crystallize_core.engine.plan import compile_plan
    from crystallize_core.stack.resolve import resolve
    from crystallize_core.wiring import Sources

    steps, hooks = named(GRAPH), HookCalls(resolve(autoload=False))
    sources = Sources({"baseline": frozenset()}, inputs=frozenset({"a0"}), has_data=False)
    return best({"graph": lambda calls: [compile_plan(steps, hooks, sources=sources) for _ in range(calls)]}, 1)


def first(data):
    return data


def stepping():
    """Microseconds per step of a chain and of a graph of ten steps."""
    from crystallize_core import step

    graph = [step(outputs=["a0"], cache=False)(first), *named(CHAIN - 1, cache=False)]
    found = best({"chain": runs(chained(CHAIN)), "graph": runs(graph)}, 2000)
    return {name: microseconds / CHAIN for name, microseconds in found.items()}


def policies():
    """Microseconds per step: without plugins, with plugins whose options it does not use, and with `retry=3`."""
    from crystallize_executors import ResourcesPlugin
    from crystallize_retries import RetryPlugin

    cases = {
        "no plugin": runs(chained(CHAIN)),
        "unused": runs(chained(CHAIN), RetryPlugin()),
        "resources unused": runs(chained(CHAIN), RetryPlugin(), ResourcesPlugin()),
        "retry=3": runs(chained(CHAIN, retry=3), RetryPlugin()),
    }
    return {name: microseconds / CHAIN for name, microseconds in best(cases, 1000).items()}


def retrying():
    """Microseconds of one call, bare and with the policy `retry=3` around it."""
    from crystallize_retries import RetryPlugin

    class Step:
        name, options, is_async, function = "step", {"retry": 3}, False, None

    def bare(data, ctx):
        return data

    guarded = RetryPlugin().wrap_step(None, Step(), bare)

    def often(call):
        def run(calls):
            for _ in range(calls):
                call(1, None)

        return run

    return best({"bare": often(bare), "retry=3": often(guarded)}, 200_000)


CASES = {"compiling": compiling, "stepping": stepping, "policies": policies, "retrying": retrying}

if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]
    print(json.dumps(CASES[sys.argv[1]]()))

"""One case of a stack in an interpreter of its own: `python stack_cases.py CASE`; prints microseconds.

Times are processor time, the best of several rounds. `floor-order` is what the standard library takes for the order
alone, and `plain` and `observed` are a step in a run without plugins and in one with five observers.
"""

import inspect
import json
import sys
import time
from graphlib import TopologicalSorter

from crystallize_core import BasePlugin, Experiment, pipeline_step
from crystallize_core.hookspecs import ANSWERING, HOOKS
from crystallize_core.stack.attached import ActivePlugin, Stack

PLUGINS = 50
OBSERVERS = 5
STEPS = 10
REPLICATES = 500
ROUNDS = 7


class Placed(BasePlugin):
    def before_run(self, run):
        pass

    def before_step(self, step, ctx):
        pass

    def after_step(self, step, ctx):
        pass


def placed(number):
    made = Placed()
    made.plugin_name = f"p{number}"
    if number % 5 == 0:
        made.before = ("*",) if number % 10 == 0 else (f"p{number + 1}",)
    if number % 7 == 0 and number:
        made.after = (f"p{number - 1}",)
    return made


def observer(number):
    """Implements every hook that an observer may have, and does nothing in any."""
    scope, methods = {}, {"essential": False, "plugin_name": f"observer{number}"}
    for hook in sorted(HOOKS.keys() - ANSWERING):
        exec(f"def {hook}({', '.join(['self', *inspect.signature(HOOKS[hook]).parameters])}): pass", scope)
        methods[hook] = scope[hook]
    return type("Observer", (BasePlugin,), methods)()


@pipeline_step()
def step(data, ctx):
    return data


def best(call, count=1):
    times = []
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        call()
        times.append((time.process_time_ns() - start) / 1000 / count)
    return min(times)


def stack():
    plugins = [placed(number) for number in range(PLUGINS)]
    return lambda: Stack([ActivePlugin(plugin.plugin_name, plugin, "argument") for plugin in plugins])


def floor_order():
    graph = {f"p{number}": [f"p{other}" for other in range(0, number, 10)] for number in range(PLUGINS)}
    return lambda: list(TopologicalSorter(graph).static_order())


def run(observers):
    plugins = [observer(number) for number in range(observers)]
    experiment = Experiment(lambda ctx: 1, [step() for _ in range(STEPS)], plugins, autoload=False)
    return lambda: experiment.run(replicates=REPLICATES)


CASES = {
    "stack": (stack, 1),
    "floor-order": (floor_order, 1),
    "plain": (lambda: run(0), STEPS * REPLICATES),
    "observed": (lambda: run(OBSERVERS), STEPS * REPLICATES),
}

if __name__ == "__main__":
    make, count = CASES[sys.argv[1]]
    print(json.dumps(best(make(), count)))

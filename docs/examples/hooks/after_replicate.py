import time

from crystallize_core import BasePlugin, Experiment


class Durations(BasePlugin):
    """Measures each cell, where it runs."""

    essential = False

    def __init__(self):
        self.began = {}

    def before_replicate(self, ctx):
        self.began[ctx["replicate"], ctx["condition"]] = time.perf_counter()

    def after_replicate(self, ctx, outcome):
        seconds = time.perf_counter() - self.began.pop((ctx["replicate"], ctx["condition"]))
        print(f"replicate {outcome.replicate}, {outcome.condition}: {seconds:.3f} s")


Experiment(lambda ctx: 1, [lambda data: data], [Durations()]).run()

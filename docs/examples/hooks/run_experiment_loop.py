from crystallize_core import BasePlugin, Experiment


class Backwards(BasePlugin):
    """An executor that begins with the last replicate."""

    concurrency = "serial"

    def run_experiment_loop(self, replicate_fn):
        for number in reversed(replicate_fn.pending):
            if not replicate_fn.stopped:
                replicate_fn.deliver(replicate_fn(number))
        return []


result = Experiment(lambda ctx: ctx["replicate"], [lambda data: (data, {"n": data})], [Backwards()], replicates=3).run()
assert result.metrics.baseline["n"] == [0, 1, 2]

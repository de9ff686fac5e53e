from crystallize_core import BasePlugin, Experiment


class Enough(BasePlugin):
    """Stops when two replicates have gone well; later ones are left out, also those that were started."""

    def should_stop(self, outcomes):
        return sum(not outcome.failed for outcome in outcomes) >= 2 or None


result = Experiment(lambda ctx: ctx["replicate"], [lambda data: (data, {"n": data})], [Enough()], replicates=9).run()
assert result.metrics.baseline["n"] == [0, 1]

from crystallize_core import BasePlugin, Experiment


class Batch(BasePlugin):
    """Tells all workers something that only the coordinator knows."""

    def before_run(self, run):
        run.shared["batch"] = {"size": 10 * run.replicates}


def size(data, ctx):
    return data, {"size": ctx.run.shared["batch"]["size"]}


assert Experiment(lambda ctx: 1, [size], [Batch()], replicates=2).run().metrics.baseline["size"] == [20, 20]

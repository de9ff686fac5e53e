from crystallize_core import BasePlugin, Experiment


class Doubled(BasePlugin):
    """Gives every step a value that the experiment has not thought of."""

    def init_hook(self, experiment):
        experiment.initial_ctx.setdefault("factor", 2)


experiment = Experiment(lambda ctx: 3, [lambda data, ctx: (data, {"it": data * ctx["factor"]})], [Doubled()])
assert experiment.run().metrics.baseline["it"] == [6]

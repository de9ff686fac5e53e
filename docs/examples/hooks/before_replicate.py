from crystallize_core import BasePlugin, Experiment


class Halves(BasePlugin):
    """Adds a key that every step of the cell has, and an attribute that is made when it is asked for."""

    def before_replicate(self, ctx):
        ctx.add("half", ctx["replicate"] // 2)
        ctx.provide("label", lambda here: f"{here.step_name} of {here['half']}")


def label(data, ctx):
    return data, {"label": ctx.label}


result = Experiment(lambda ctx: 1, [label], [Halves()], replicates=3).run()
assert result.metrics.baseline["label"] == ["label of 0", "label of 0", "label of 1"]

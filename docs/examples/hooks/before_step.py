from crystallize_core import BasePlugin, Experiment


class Announces(BasePlugin):
    """Says which step begins; an observer, so that a full disk or a closed terminal costs no result."""

    essential = False

    def before_step(self, step, ctx):
        print(f"replicate {ctx['replicate']}, {ctx['condition']}: {step.name}, attempt {ctx.attempt}")


Experiment(lambda ctx: 1, [lambda data: data + 1], [Announces()], replicates=2).run()

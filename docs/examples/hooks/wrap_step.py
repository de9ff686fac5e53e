from crystallize_core import BasePlugin, Experiment, pipeline_step


class Twice(BasePlugin):
    """A policy: one more attempt for steps that ask for it. Others are not touched, and pay nothing."""

    def step_options(self):
        return {"twice": bool}

    def wrap_step(self, step, call):
        if not step.options.get("twice"):
            return None

        def policy(data, ctx):
            try:
                return call(data, ctx)
            except ValueError:
                return call(data, ctx)

        return policy


@pipeline_step(twice=True)
def works_the_second_time(data, ctx):
    if ctx.attempt == 1:
        raise ValueError
    return data, {"attempt": ctx.attempt}


assert Experiment(lambda ctx: 1, [works_the_second_time], [Twice()]).run().metrics.baseline["attempt"] == [2]

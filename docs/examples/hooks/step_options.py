from crystallize_core import BasePlugin, Experiment, pipeline_step


class Labels(BasePlugin):
    """Claims the step option `label`; one of another type is refused before anything runs."""

    def step_options(self):
        return {"label": str}

    def after_step(self, step, ctx):
        ctx.emit("labelled", label=step.options.get("label", "none"))


@pipeline_step(label="load")
def load(data):
    return data


Experiment(lambda ctx: 1, [load], [Labels()]).run()

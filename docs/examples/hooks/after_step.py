from crystallize_core import BasePlugin, Experiment


class Sizes(BasePlugin):
    """Counts what each step returns, and tells the coordinator."""

    essential = False

    def after_step(self, step, data, ctx):
        ctx.emit("sizes.counted", step=step.name, size=len(data))

    def on_event(self, event):
        if event.name == "sizes.counted":
            print(f"{event.payload['step']} of replicate {event.replicate}: {event.payload['size']}")


Experiment(lambda ctx: [1, 2], [lambda data: data * 2], [Sizes()]).run()

from crystallize_core import BasePlugin, Experiment


class Listens(BasePlugin):
    """Hears what steps say, and the lifecycle of the run."""

    essential = False

    def on_event(self, event):
        print(event.name, event.replicate, event.condition, event.step, dict(event.payload))


def measure(data, ctx):
    ctx.emit("measured", value=data)
    return data


Experiment(lambda ctx: 1, [measure], [Listens()]).run()

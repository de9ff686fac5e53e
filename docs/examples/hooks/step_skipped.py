from crystallize_core import BasePlugin, Experiment, step, when


class LeftOut(BasePlugin):
    """Says which steps were left out, and why."""

    essential = False

    def step_skipped(self, step, reason):
        print(f"{step.name}: {reason}")


@step
@when(lambda data: len(data) > 10)
def plot(data):
    return f"{len(data)} points"


Experiment(lambda ctx: [1, 2], [plot], [LeftOut()]).run()

from crystallize_core import BasePlugin, Experiment


class Failures(BasePlugin):
    """Says what went wrong while the run goes on."""

    essential = False

    def step_failed(self, step, error, attempt):
        print(f"{step.name}, attempt {attempt}: {type(error).__name__}: {error}")


result = Experiment(lambda ctx: 0, [lambda data: 1 / data], [Failures()]).run()
assert list(result.errors) == ["baseline_rep_0"]

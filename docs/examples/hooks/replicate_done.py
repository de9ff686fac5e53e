from crystallize_core import BasePlugin, Experiment


class Progress(BasePlugin):
    """Counts in the coordinator, whichever process ran the replicate."""

    essential = False

    def before_run(self, run):
        self.left = run.replicates

    def replicate_done(self, replicate, outcome):
        self.left -= 1
        print(f"replicate {replicate} is there, {self.left} to go")


Experiment(lambda ctx: 1, [lambda data: data], [Progress()], replicates=3).run()

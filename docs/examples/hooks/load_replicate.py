from crystallize_core import BasePlugin, Experiment


class Remembers(BasePlugin):
    """Runs each replicate once, and knows it the next time."""

    def __init__(self):
        self.known = {}

    def load_replicate(self, replicate):
        return self.known.get(replicate)

    def replicate_done(self, replicate, outcome):
        self.known[replicate] = outcome


calls = []
experiment = Experiment(lambda ctx: calls.append(1), [lambda data: data], [Remembers()], replicates=2)
assert experiment.run().digest == experiment.run().digest
assert len(calls) == 2

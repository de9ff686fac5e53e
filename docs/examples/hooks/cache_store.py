from crystallize_core import BasePlugin, Experiment, pipeline_step


class InMemory(BasePlugin):
    """Keeps cached outputs for as long as the process lives."""

    def __init__(self):
        self.entries = {}

    def cache_store(self):
        return self

    def read(self, name):
        return self.entries.get(name)

    def write(self, name, content):
        self.entries[name] = content


@pipeline_step(cacheable=True)
def double(data):
    return 2 * data


store = InMemory()
Experiment(lambda ctx: 1, [double], [store]).run()
assert store.entries

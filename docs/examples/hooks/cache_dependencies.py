import time

from crystallize_core import BasePlugin, Experiment, pipeline_step


class Calibration(BasePlugin):
    """Makes cached outputs count only while the device is calibrated as it was."""

    day = "monday"

    def cache_dependencies(self, step):
        return {"calibrated": self.day}


@pipeline_step(cacheable=True)
def read(data):
    return data, {"at": time.perf_counter_ns()}


plugin = Calibration()
experiment = Experiment(lambda ctx: 1, [read], [plugin])
first, again = experiment.run(), experiment.run()
plugin.day = "tuesday"
later = experiment.run()
assert first.digest == again.digest != later.digest

"""What every plugin promises, by the kit that a stranger's plugins are tested with."""

from __future__ import annotations

import random
import subprocess
import sys

from crystallize_core.testing import PluginConformance
from crystallize_logging import LoggingPlugin


class TestLoggingPlugin(PluginConformance):
    entry_point = "logging"

    def make(self):
        return LoggingPlugin()


class TestLoggingPluginThatSaysEverything(PluginConformance):
    def make(self):
        return LoggingPlugin(verbose=True, log_level="DEBUG", format="json", file="log/lines.jsonl")


def test_writing_the_first_line_draws_no_random_number():
    """What structlog loads draws from the generator of `random`, which a script may have seeded."""
    code = (
        "import random; random.seed(1)\n"
        "from crystallize_core import Experiment; from crystallize_logging import LoggingPlugin\n"
        "Experiment(lambda ctx: 1, [lambda data: data], [LoggingPlugin()], autoload=False).run()\n"
        "print(random.random())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert float(done.stdout) == random.Random(1).random()

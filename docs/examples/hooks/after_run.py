from pathlib import Path

from crystallize_core import BasePlugin, Experiment


class Report(BasePlugin):
    """Writes a file when all is over, also after failures."""

    essential = False

    def after_run(self, result):
        Path("report.txt").write_text(f"{result.digest} {len(result.errors)} failed\n", encoding="utf-8")


result = Experiment(lambda ctx: 1, [lambda data: data / 0], [Report()]).run()
assert Path("report.txt").read_text(encoding="utf-8") == f"{result.digest} 1 failed\n"

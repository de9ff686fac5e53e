from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from crystallize_core.stack.config import find_config, from_environment
from crystallize_core.stack.overrides import take_over
from crystallize_core.stack.resolve import resolve
from crystallize_core.testing.isolation import isolated
from crystallize_core.testing.plugins.check import CHECKS, Report, run_check
from crystallize_core.testing.plugins.checks import ALL
from crystallize_core.testing.plugins.installed import Request
from crystallize_core.testing.plugins.subject import Subject


def main(text: str) -> None:
    """Run what is asked for, and write what comes of each check as soon as it is known."""
    request = Request(**json.loads(text))
    take_over((request.profile, tuple(request.options), None))
    subject = Subject(_maker(request), entry_point=request.name)
    broken = None
    for at, wanted in enumerate(CHECKS[name] for name in request.checks):
        _write(request, Report(wanted.name, wanted.promise, "begun"))
        if broken is not None and wanted is not ALL[0]:
            _write(request, Report(wanted.name, wanted.promise, "skipped", "the plugin cannot be made"))
            continue
        with isolated(Path(request.folder, str(os.getpid()), str(at))):
            report = run_check(wanted, subject)
            if report.outcome == "failed" and broken is None:
                broken = _why_not_made(subject)
        _write(request, report)


def _why_not_made(subject: Subject) -> str | None:
    made = run_check(ALL[0], subject)
    return made.reason if made.outcome == "failed" else None


def _maker(request: Request) -> Callable[[], Any]:
    """Makes the plugin with the options that it has where the command was called."""
    environment = attrs.evolve(from_environment(), autoload=True, plugins=None, executor=None, disable=())
    plugins = () if request.executor else (request.name,)
    config = attrs.evolve(find_config(), plugins=plugins, executor=None, disable=(), extends=())

    def make() -> Any:
        executor = request.name if request.executor else None
        return resolve(config=config, environment=environment, executor=executor).plugins[0].plugin

    return make


def _write(request: Request, report: Report) -> None:
    with Path(request.report).open("a", encoding="utf-8") as file:
        file.write(json.dumps(attrs.asdict(report)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

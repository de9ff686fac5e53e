"""The checks on an installed plugin, in a process of their own, so that a plugin that crashes it costs one check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from crystallize_core.errors import PluginError, did_you_mean
from crystallize_core.processes import sys_path
from crystallize_core.stack.discovery import EXECUTORS, PLUGINS, installed
from crystallize_core.stack.overrides import overrides
from crystallize_core.testing.plugins.check import CHECKS, Report
from crystallize_core.testing.plugins.checks import ALL

__all__ = ["Request", "check_installed"]

_SAID: Final = 400
"""So many characters of what a crashed process has said last are in the message."""


@attrs.frozen
class Request:
    """What a process is to check.

    Attributes:
        name: The entry point.
        executor: Whether it is one of an executor.
        checks: The names of the checks.
        report: The file for what comes of them, one line of JSON each.
        folder: Where the checks may write.
        profile, options: What the command line says about the stack.

    """

    name: str
    executor: bool
    checks: Sequence[str]
    report: str
    folder: str
    profile: str | None = None
    options: Sequence[str] = ()


def check_installed(name: str, only: Sequence[str] = (), *, timeout: float = 300.0) -> list[Report]:
    """Run the checks on the installed plugin or executor of that name, with the options that it has here.

    Args:
        name: The name of its entry point.
        only: The names of the checks; default all.
        timeout: Seconds that the process may take; whatever it is in the middle of then has failed.

    Raises:
        PluginError: There is no such plugin or check.

    """
    executor = _is_executor(name)
    wanted = _wanted(only)
    reports: list[Report] = []
    with tempfile.TemporaryDirectory(prefix="crystallize-check-") as folder:
        while wanted:
            told = overrides()
            file = Path(folder, f"report-{len(reports)}.jsonl")
            request = Request(name, executor, wanted, str(file), folder, told.profile, told.options)
            done = _run(request, timeout)
            found = _read(file)
            reports += [report for report in found if report.outcome != _BEGUN]
            known = {report.check for report in reports}
            begun = [report.check for report in found if report.check not in known] or wanted[: not found]
            reports += [Report(check, CHECKS[check].promise, "failed", done) for check in begun]
            wanted = [check for check in wanted if check not in known and check not in begun]
    return sorted(reports, key=lambda report: list(CHECKS).index(report.check))


_BEGUN: Final = "begun"


def _is_executor(name: str) -> bool:
    groups = {group: {item.name for item in installed(group)} for group in (PLUGINS, EXECUTORS)}
    names = groups[PLUGINS] | groups[EXECUTORS]
    if name not in names:
        hint = did_you_mean(name, sorted(names), listing="installed")
        message = f"there is no plugin and no executor {name!r} installed; {hint}"
        raise PluginError(message, plugin=name)
    return name not in groups[PLUGINS]


def _wanted(only: Sequence[str]) -> list[str]:
    names = [check.name for check in ALL]
    unknown = [name for name in only if name not in names]
    if unknown:
        lines = [
            f"there is no check {name!r}; {did_you_mean(name, names, listing='the checks are')}" for name in unknown
        ]
        raise PluginError("\n".join(lines))
    return [name for name in names if not only or name in only]


def _run(request: Request, timeout: float) -> str:
    """Run them; gives back how the process ended, for the check that it was in the middle of."""
    command = [sys.executable, "-m", "crystallize_core.testing.plugins", json.dumps(attrs.asdict(request))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys_path()))}
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return f"the process was ended after {timeout:g} seconds{_said(error.output)}"
    if done.returncode < 0:
        return f"the process died of signal {-done.returncode}{_said(done.stdout)}"
    return f"the process ended with exit code {done.returncode}{_said(done.stdout)}"


def _said(output: bytes | None) -> str:
    text = (output or b"").decode("utf-8", "replace").strip()
    return f"; it said last: {text[-_SAID:]}" if text else ""


def _read(file: Path) -> list[Report]:
    if not file.exists():
        return []
    lines: list[dict[str, Any]] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:  # the process died while it wrote
            continue
    return [Report(**line) for line in lines]

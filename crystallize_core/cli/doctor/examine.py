"""Puts together what there is to examine, has it examined, and sums up."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import attrs

from crystallize_core.cli.doctor.finding import Finding, Subject
from crystallize_core.cli.doctor.imports import examine
from crystallize_core.cli.doctor.installation import duplicates, installed_twice, of_distribution
from crystallize_core.cli.doctor.process import ask
from crystallize_core.errors import ConfigurationError
from crystallize_core.stack.allowing import Allowance
from crystallize_core.stack.assigned import Assignments
from crystallize_core.stack.config import Environment, StackConfig, from_environment, look_for_config, names_in
from crystallize_core.stack.instances import is_path, listed
from crystallize_core.stack.overrides import overrides

__all__ = ["Diagnosis", "doctor"]

_GROUP: Final = "crystallize."
_AT_ONCE: Final = 4
"""So many processes at most: what takes the time is starting Python."""


@attrs.frozen
class Diagnosis:
    """Everything that was found.

    Attributes:
        examined: The distributions and local files that were imported.
        left_out: The names of plugins that were not, because they are disabled or not allowed.
        findings: What is wrong, errors first.

    """

    examined: tuple[str, ...]
    left_out: tuple[str, ...]
    findings: tuple[Finding, ...]

    def count(self, severity: str) -> int:
        """How many findings of a severity there are."""
        return sum(finding.kind.severity == severity for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "examined": list(self.examined),
            "left_out": list(self.left_out),
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def summary(self) -> str:
        """What a terminal gets."""
        lines = [str(finding) for finding in self.findings]
        lines.append(
            f"{len(self.examined)} distributions and files examined: "
            f"{self.count('error')} errors, {self.count('warning')} warnings"
        )
        if self.left_out:
            lines.append(f"not examined, because they are disabled or not allowed: {', '.join(self.left_out)}")
        return "\n".join(lines)


def doctor(*, budget: float, timeout: float) -> Diagnosis:
    """Examine everything that is installed, and the stack of this folder.

    Args:
        budget: The seconds that the import of a distribution may take before it is called slow.
        timeout: The seconds after which a process that examines something is ended.

    """
    from importlib_metadata import distributions  # noqa: PLC0415 - only where something is looked for

    project = _Project.found()
    findings = list(project.findings)
    everything = list(distributions())
    shipped = [(_subject(found), found) for found in _first_of_each(everything) if _has_ours(found)]
    ours = {_name(found) for _, found in shipped}
    findings += duplicates(subject for subject, _ in shipped)
    findings += installed_twice(found for found in everything if _name(found) in ours)
    for subject, distribution in shipped:
        findings += of_distribution(distribution, subject.title)
    subjects = [*(_kept(subject, project) for subject, _ in shipped), *_local(project.config, project.disabled)]
    subjects = [subject for subject in subjects if subject.entries]
    with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
        stack = pool.submit(_of_stack, timeout)
        for found in pool.map(lambda s: examine(s, budget=budget, timeout=timeout), subjects):
            findings += found
        findings += stack.result() if not any(f.code.startswith("CZ00") for f in findings) else []
    names = (n for subject, _ in shipped for _, n, _ in subject.entries if project.leaves_out(subject, n))
    return Diagnosis(
        examined=tuple(subject.title for subject in subjects),
        left_out=tuple(dict.fromkeys(names)),
        findings=tuple(sorted(findings, key=_rank)),
    )


def _rank(finding: Finding) -> tuple[Any, ...]:
    return finding.kind.severity, finding.code, finding.distribution or "", finding.plugin or "", finding.message


@attrs.frozen
class _Project:
    """What the project, the environment and the command line say, as far as it can be read without importing anything.

    Attributes:
        config: The configuration.
        disabled: The names that are left out.
        allowance: The distributions that may be used.
        findings: What cannot be read.

    """

    config: StackConfig
    disabled: frozenset[str]
    allowance: Allowance
    findings: tuple[Finding, ...]

    @classmethod
    def found(cls) -> _Project:
        findings: list[Finding] = []
        config, environment = StackConfig(), Environment()
        try:
            environment = from_environment()
        except ConfigurationError as error:
            findings.append(Finding("CZ001", str(error)))
        try:
            config, _ = look_for_config()  # what is wrong in it is found when the stack is made
        except ConfigurationError as error:
            findings.append(Finding("CZ001", str(error)))
        told = Assignments({}, overrides().options).settings
        disabled = {*config.disable, *environment.disable, *names_in(told.get("disable", ""))}
        allowance = Allowance.of(config, environment, told.get("allow"))
        return cls(config, frozenset(disabled), allowance, tuple(findings))

    def leaves_out(self, subject: Subject, name: str) -> bool:
        """Whether a plugin is not to be imported."""
        is_foreign = subject.distribution is not None and not self.allowance.permits(subject.distribution)
        return name in self.disabled or is_foreign


def _of_stack(timeout: float) -> list[Finding]:
    """Whether an experiment that is made here gets its stack."""
    answer = ask({"mode": "stack"}, timeout, in_place=True)
    found = [Finding(line["refused"], line["text"]) for line in answer.lines if "refused" in line]
    if not found and not any(answer.values("done")):
        how = f"took longer than {timeout:g} s" if answer.timed_out else f"ended the process {answer.ended}"
        found.append(Finding("CZ003", f"making the stack of this folder {how}"))
    return found


# What there is to examine ---------------------------------------------------------------------------


def _has_ours(distribution: Any) -> bool:
    try:
        return any(point.group.startswith(_GROUP) for point in distribution.entry_points)
    except Exception:  # noqa: BLE001 - a damaged file; whether it is ours cannot be told
        return _mentions_us(distribution)


def _mentions_us(distribution: Any) -> bool:
    try:
        return _GROUP in (distribution.read_text("entry_points.txt") or "")
    except Exception:  # noqa: BLE001 - as above
        return False


def _first_of_each(distributions: Iterable[Any]) -> list[Any]:
    """Of several installations of one distribution the first on the path, which is the one that is used."""
    return list({_name(found): found for found in reversed(list(distributions))}.values())[::-1]


def _name(distribution: Any) -> str:
    """Its name as package managers compare it."""
    return re.sub(r"[-_.]+", "-", _text(distribution, "Name")).lower()


def _subject(distribution: Any) -> Subject:
    entries: Sequence[tuple[str, str, str]] = ()
    try:
        entries = [(p.group, p.name, p.value) for p in distribution.entry_points if p.group.startswith(_GROUP)]
    except Exception:  # noqa: BLE001 - as above; what can be said of it comes with its metadata
        entries = ()
    return Subject(_text(distribution, "Name"), _text(distribution, "Version"), tuple(entries))


def _text(distribution: Any, field: str) -> str:
    try:
        return str(distribution.metadata[field])
    except Exception:  # noqa: BLE001 - as above
        return "?"


def _kept(subject: Subject, project: _Project) -> Subject:
    kept = tuple(entry for entry in dict.fromkeys(subject.entries) if not project.leaves_out(subject, entry[1]))
    return attrs.evolve(subject, entries=kept)


def _local(config: StackConfig, disabled: frozenset[str]) -> list[Subject]:
    names = [listed(name) for name in config.plugins or ()]
    paths = [Path(config.folder, n.plugin) for n in names if is_path(n.plugin) and not {n.name, n.text} & disabled]
    return [Subject(None, None, (("local", path.stem, str(path)),)) for path in paths]

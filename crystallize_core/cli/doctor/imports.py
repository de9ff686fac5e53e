"""What a look at the import of plugins finds: each distribution in a process of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from crystallize_core.cli.doctor.finding import Finding, Subject
from crystallize_core.cli.doctor.probe import BEGIN, END
from crystallize_core.cli.doctor.process import Answer, ask

__all__ = ["examine"]

_IMPORT_TIME: Final = re.compile(r"^import time: +(\d+) \| +\d+ \| +(\S+)$")
_SHOWN: Final = 200
"""So many characters of what a plugin prints, and of a list of what it does, are shown."""


def examine(subject: Subject, *, budget: float, timeout: float) -> list[Finding]:
    """Everything that is found by importing the plugins of one distribution.

    Args:
        subject: The distribution.
        budget: The seconds that its import may take before it is called slow.
        timeout: The seconds after which it is said to hang.

    """
    found: list[Finding] = []
    left, answers, sound = list(subject.entries), [], []
    while left:
        answer = ask({"mode": "plugins", "entries": left}, timeout)
        answers.append(answer)
        found += _said(subject, answer)
        done = answer.values("end")
        if any(answer.values("done")):
            sound += left
            break
        stuck = left[len(done)]
        found.append(_ended(subject, stuck[1], answer, timeout))
        sound += left[: len(done)]
        left = left[len(done) + 1 :]  # those behind it are examined without it
    found += _slow(subject, answers, sound, budget, timeout)
    if sound:
        spec = {"mode": "effects", "entries": sound, "foreign": _foreign(subject, answers)}
        found += _effects(subject, ask(spec, timeout))
    return found


def _said(subject: Subject, answer: Answer) -> Iterator[Finding]:
    for line in answer.lines:
        if "code" in line:
            yield Finding(line["code"], line["text"], line["plugin"], subject.title)


def _ended(subject: Subject, plugin: str, answer: Answer, timeout: float) -> Finding:
    stage = (answer.values("begin") or ["imported"])[-1]
    if answer.timed_out:
        where = f", and was at {answer.where}" if answer.where else ""
        return Finding("CZ103", f"it had not been {stage} after {timeout:g} s{where}", plugin, subject.title)
    crashed = answer.values("crashed")
    why = crashed[0] if crashed else f"the process ended {answer.ended}"
    return Finding("CZ104", f"{why} while it was {stage}", plugin, subject.title)


# Time -----------------------------------------------------------------------------------------------


def _slow(
    subject: Subject, answers: Sequence[Answer], sound: list[Any], budget: float, timeout: float
) -> list[Finding]:
    """What takes longer than the budget, also when it is measured again: the first time compiles what it imports."""
    spent = _seconds(answers)
    if spent <= budget or not sound:
        return []
    again = ask({"mode": "plugins", "entries": sound}, timeout)
    seconds = min(spent, _seconds([again]) or spent)
    if seconds <= budget:
        return []
    longest = _longest(again.errors)
    most = "" if longest is None else f", of which {longest[1]:.2f} s in {longest[0]!r}"
    text = f"importing it takes {seconds:.2f} s{most}; the budget is {budget:g} s"
    return [Finding("CZ105", text, None, subject.title)]


def _seconds(answers: Sequence[Answer]) -> float:
    return float(sum(seconds for answer in answers for seconds in answer.values("seconds")))


def _longest(errors: str) -> tuple[str, float] | None:
    """The imported package that took most of the time by itself, and how long, from `-X importtime`."""
    spent: dict[str, int] = {}
    counts = False
    for line in errors.splitlines():
        counts = (counts or line == BEGIN) and line != END
        found = _IMPORT_TIME.match(line) if counts else None
        if found is not None:
            package = found[2].partition(".")[0]
            spent[package] = spent.get(package, 0) + int(found[1])
    if not spent:
        return None
    package = max(spent, key=lambda name: spent[name])
    return package, spent[package] / 1e6


# What the import does besides -----------------------------------------------------------------------


def _foreign(subject: Subject, answers: Sequence[Answer]) -> list[str]:
    """The modules that others ship and that were imported along, in the order in which they were."""
    own = {value.partition("[")[0].partition(":")[0].partition(".")[0].strip() for _, _, value in subject.entries}
    modules = dict.fromkeys(name for answer in answers for found in answer.values("modules") for name in found)
    local = any(group == "local" for group, _, _ in subject.entries)
    return [
        name
        for name in modules
        if name.partition(".")[0] not in own and not (local and name.rpartition("_")[2] and _is_local(name, subject))
    ]


def _is_local(name: str, subject: Subject) -> bool:
    """Whether it is the module that a local file was loaded as."""
    return any(re.fullmatch(rf"{re.escape(stem)}_[0-9a-f]{{8}}", name) for _, stem, _ in subject.entries)


def _effects(subject: Subject, answer: Answer) -> Iterator[Finding]:
    for printed in (answer.output, answer.errors):
        own = [line for line in printed.partition(f"{BEGIN}\n")[2].splitlines() if not line.startswith("import time:")]
        text = "\n".join(own).strip()
        if text:
            yield Finding("CZ301", f"its import prints {_short(text)!r}", None, subject.title)
    for effects in answer.values("effects"):
        for code, words in sorted(effects.items()):
            yield Finding(code, f"its import {_VERBS[code]} {_short(words)}", None, subject.title)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_VERBS: Final = {
    "CZ302": "writes",
    "CZ303": "changes the environment variables",
    "CZ304": "changes the working directory:",
    "CZ305": "changes the locale:",
    "CZ306": "changes the global state of",
    "CZ307": "starts the threads",
    "CZ308": "sets handlers of",
    "CZ309": "changes the filters of warnings:",
    "CZ310": "changes sys.path:",
    "CZ311": "replaces",
    "CZ312": "changes",
    "CZ313": "starts processes:",
    "CZ314": "uses the network:",
}

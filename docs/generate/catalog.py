"""The catalog of the plugins in this repository, from their metadata and the results of the conformance kits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hooks import anchor
from metadata import Distribution, Entry, distributions
from record import recorded

__all__ = ["catalog"]


def catalog() -> str:
    """All of it, as Markdown."""
    found = distributions()
    parts = ["## All plugins", _index(found)]
    for distribution in found:
        parts += _distribution(distribution)
    return "\n\n".join(parts)


def _table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(heading), ["---"] * len(list(heading)), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _index(found: list[Distribution]) -> str:
    rows = [
        (f"`{entry.name}`", _kind(entry), f"[{distribution.name}](#{distribution.name})", entry.summary)
        for distribution in found
        for entry in distribution.entries
    ]
    return _table(("name", "kind", "distribution", ""), rows)


def _kind(entry: Entry) -> str:
    return "executor" if entry.kind == "executor" else "plugin" if entry.essential else "observer"


def _distribution(found: Distribution) -> list[str]:
    project = found.project
    link = f"../{found.folder.parent.name}/{found.name}/README.md"
    needs = ", ".join(f"`{requirement}`" for requirement in project["dependencies"])
    extras = "; ".join(
        f"`[{name}]`: {', '.join(f'`{line}`' for line in lines)}"
        for name, lines in project.get("optional-dependencies", {}).items()
    )
    facts = [
        ("version", project["version"]),
        ("Python", f"{project['requires-python']}; tested with {', '.join(found.pythons)}"),
        ("needs", needs),
        *([("extras", extras)] if extras else []),
        *(
            (f"stack `{name}`", ", ".join(f"`{plugin}`" for plugin in plugins))
            for name, plugins in found.stacks.items()
        ),
    ]
    parts = [f"## {found.name}", f"{project['description']}. [README]({link})", _table(("", ""), facts)]
    for entry in found.entries:
        parts += _entry(entry)
    return [*parts, *_conformance(found)]


def _entry(entry: Entry) -> list[str]:
    essential = "yes: a failure fails the cell or the run" if entry.essential else "no: a failure switches it off"
    facts = [
        ("class", f"`{entry.target}`"),
        ("essential", essential),
        ("contract", entry.contract),
        *([("replicates share", f"`{entry.concurrency}`")] if entry.kind == "executor" else []),
        ("hooks", ", ".join(f"[`{hook}`](hooks.md#{anchor(hook)})" for hook in entry.hooks)),
        *(
            [("step options", ", ".join(f"`{name}`: {text}" for name, text in entry.step_options.items()))]
            if entry.step_options
            else []
        ),
        *(
            (word, ", ".join(f"`{name}`" for name in names))
            for word in ("before", "after")
            if (names := getattr(entry, word))
        ),
    ]
    rows = [(f"`{o.name}`", f"`{o.type}`", f"`{o.default}`", o.help) for o in entry.options]
    options = _table(("option", "type", "default", ""), rows) if rows else "It has no options."
    return [f"### `{entry.name}`", entry.summary, _table(("", ""), facts), options]


def _conformance(found: Distribution) -> list[str]:
    results = recorded().get(found.name, [])
    if not results:
        return [] if not found.entries else [f"Conformance: not recorded; `tox -e {found.name}` runs the kit."]
    rows = []
    for result in results:
        file, _, name = result["test"].partition("::")
        skipped = sum(map(len, result["skipped"].values()))
        link = f"[`{name}`](../{file})"
        rows.append((link, f"`{result['kit']}`", str(len(result["passed"])), str(len(result["failed"])), str(skipped)))
    return [_table(("conformance", "kit", "passed", "failed", "skipped"), rows), *_reasons(results)]


def _reasons(results: list[dict[str, Any]]) -> list[str]:
    reasons: dict[str, dict[str, None]] = {}
    for result in results:
        for reason, names in result["skipped"].items():
            reasons.setdefault(reason, {}).update(dict.fromkeys(names))
    if not reasons:
        return []
    lines = [f"- {reason}: {', '.join(f'`{name}`' for name in names)}" for reason, names in reasons.items()]
    return ["\n".join(["Skipped, because", "", *lines])]

"""What there is to say of the distributions in plugins/ and contrib/: their metadata, and what their classes are."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from crystallize_core.cli.docstrings import described_names, summary_of
from crystallize_core.stack.checking import hooks_of
from crystallize_core.stack.contract import contract_of
from crystallize_core.stack.declared import FACTORY, REQUIRED, Option, options_of
from crystallize_core.stack.option_types import type_name

__all__ = ["CHECKOUT", "Distribution", "Entry", "OptionText", "distributions"]

CHECKOUT: Final = Path(__file__).resolve().parent.parent.parent
_KINDS: Final = {"crystallize.plugins": "plugin", "crystallize.executors": "executor"}


@attrs.frozen
class OptionText:
    """An option as text."""

    name: str
    type: str
    default: str
    help: str


@attrs.frozen
class Entry:
    """A plugin or an executor.

    Attributes:
        name: The name of its entry point.
        kind: `plugin` or `executor`.
        target: What the entry point refers to.
        summary: The first line of the docstring.
        essential: Whether a failure of it is one of the run.
        contract: The version of the hooks that it was written for.
        before, after: Names that it comes before or after.
        concurrency: What the replicates of an executor share.
        hooks: What it implements, in the order of the specifications.
        step_options: The step options that it claims, with what they take.
        options: What can be configured.

    """

    name: str
    kind: str
    target: str
    summary: str
    essential: bool
    contract: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    concurrency: str | None
    hooks: tuple[str, ...]
    step_options: Mapping[str, str]
    options: tuple[OptionText, ...]


@attrs.frozen
class Distribution:
    """A folder of plugins/ or contrib/.

    Attributes:
        folder: Where it is.
        project: The table of its pyproject.toml.
        entries: Its plugins and executors, by name.
        stacks: The names of the stacks that it ships, with their plugins.

    """

    folder: Path
    project: Mapping[str, Any]
    entries: tuple[Entry, ...]
    stacks: Mapping[str, tuple[str, ...]]

    @property
    def name(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def pythons(self) -> tuple[str, ...]:
        """The versions of Python that it is tested with."""
        found = (
            re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in self.project["classifiers"]
        )
        return tuple(match[1] for match in found if match)


def distributions() -> list[Distribution]:
    """All of them; those in plugins/ first.

    The bridges in contrib/ are imported as well: they import what they stand on when they run, and not before.
    """
    folders = [*sorted(CHECKOUT.glob("plugins/*/pyproject.toml")), *sorted(CHECKOUT.glob("contrib/*/pyproject.toml"))]
    return [_distribution(file.parent) for file in folders]


def _distribution(folder: Path) -> Distribution:
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    sys.path.append(str(folder / "src"))  # last, so that what is installed is what is looked at
    points = project.get("entry-points", {})
    entries = [
        _entry(name, kind, target)
        for group, kind in _KINDS.items()
        for name, target in sorted(points.get(group, {}).items())
    ]
    stacks = {name: tuple(_object(target)["plugins"]) for name, target in points.get("crystallize.stacks", {}).items()}
    return Distribution(folder, project, tuple(entries), stacks)


def _object(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _entry(name: str, kind: str, target: str) -> Entry:
    cls = _object(target)
    plugin = cls.autoload()
    return Entry(
        name=name,
        kind=kind,
        target=target,
        summary=summary_of(cls),
        essential=plugin.essential,
        contract=contract_of(cls),
        before=tuple(plugin.before),
        after=tuple(plugin.after),
        concurrency=plugin.concurrency,
        hooks=tuple(hooks_of(plugin, name)),
        step_options={option: _taken(expected) for option, expected in (plugin.step_options() or {}).items()},
        options=tuple(_option(option, described_names(cls)) for option in options_of(cls).values()),
    )


def _option(option: Option, described: Mapping[str, str]) -> OptionText:
    default = option.default
    if default is REQUIRED:
        shown = "required"
    elif isinstance(default, FACTORY):
        shown = f"{default.factory.__name__}()"  # type: ignore[attr-defined]  # attrs.Factory
    else:
        shown = repr(default)
    return OptionText(option.name, type_name(option.type), shown, option.help or described.get(option.name, ""))


def _taken(expected: Any) -> str:
    """What a step option takes: the name of a type, or the summary of the function that checks it."""
    if inspect.isfunction(expected) or inspect.ismethod(expected):
        return summary_of(expected) or f"checked by {expected.__name__}"
    return type_name(expected)

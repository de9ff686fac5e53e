"""Options: from a configuration to a plugin and back."""

from __future__ import annotations

import datetime as dt
import enum
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystallize_core.errors import ConfigurationError
from crystallize_core.stack.declared import REQUIRED, options_of
from crystallize_core.stack.options import build, values_of
from crystallize_core.testing.plugins.check import DoesNotApply, check, fail_where
from crystallize_core.testing.plugins.subject import Subject


def needs_options(subject: Subject) -> None:
    """Leave the check out for a plugin without options."""
    subject.needs_class()
    if not options_of(type(subject.sample)):
        raise DoesNotApply("the plugin has no options")


@check
def its_options_can_be_seen(subject: Subject) -> None:
    """Every option is an attribute of the same name, so that records, `plugins show` and locks have its value."""
    needs_options(subject)
    seen = values_of(subject.sample)
    fail_where(
        [
            f"option {name!r} is kept under no attribute of that name"
            for name in options_of(type(subject.sample))
            if name not in seen
        ],
        "keep it as it was given; an attrs class does",
    )


@check
def its_options_survive_toml(subject: Subject) -> None:
    """A table of options, as TOML text, makes a plugin with the same options."""
    needs_options(subject)
    kind, name = type(subject.sample), f"options.{subject.name}"
    table = {
        key: plain for key, value in subject.options(subject.sample).items() if (plain := as_toml(value)) is not None
    }
    missing = [key for key, option in options_of(kind).items() if option.default is REQUIRED and key not in table]
    if missing:
        raise DoesNotApply(f"option {missing[0]!r} is required, and its value cannot be written as TOML")
    text = "".join(f"{json.dumps(key)} = {value}\n" for key, value in table.items())
    try:
        made = build(kind, tomllib.loads(text), where=name)
    except ConfigurationError as error:
        raise AssertionError(f"the options cannot be read back from\n{text}{error}") from error
    fail_where(_lost(subject.options(subject.sample), subject.options(made), set(table)))
    fail_where(_lost(subject.options(made), subject.options(build(kind, tomllib.loads(text), where=name)), set(table)))


def _lost(before: Mapping[str, Any], after: Mapping[str, Any], names: set[str]) -> list[str]:
    return [
        f"option {name!r} was {before[name]!r} and is {after.get(name)!r} after it was written as TOML and read back"
        for name in sorted(names)
        if as_toml(before[name]) != as_toml(after.get(name))
    ]


@check
def a_wrong_value_is_refused_when_it_is_made(subject: Subject) -> None:
    """No option takes an object of a strange type, so that mistakes are found before anything runs."""
    needs_options(subject)
    kind, where = type(subject.sample), f"options.{subject.name}"
    taken = []
    for name, option in options_of(kind).items():
        given = {n: v for n, v in subject.options(subject.sample).items() if options_of(kind)[n].default is REQUIRED}
        try:
            build(kind, {**given, name: _Strange()}, where=where)
        except ConfigurationError:
            continue
        taken.append(f"option {name!r} of type {option.type} took an object of a strange type")
    fail_where(taken, "annotate options with what they take")


class _Strange:
    """Of no type that an option could ask for."""


def as_toml(value: Any) -> str | None:
    """A value as it stands in TOML; None where it has no such form."""
    if isinstance(value, enum.Enum):
        return json.dumps(value.name)
    if isinstance(value, (str, Path)):
        return json.dumps(str(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        items = [as_toml(item) for item in value]
        return None if None in items else f"[{', '.join(filter(None, items))}]"
    if isinstance(value, Mapping):
        pairs = [(json.dumps(str(key)), as_toml(item)) for key, item in value.items()]
        found = [f"{key} = {item}" for key, item in pairs if item is not None]
        return None if len(found) < len(pairs) else f"{{{', '.join(found)}}}"
    return None

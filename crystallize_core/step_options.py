"""Step options: those of the core, and those that functions carry."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from crystallize_core.errors import DefinitionError

__all__ = [
    "CORE_OPTIONS",
    "carried_options",
    "core_option_problems",
    "left_out_version",
    "merged_options",
    "refuse_core_options",
    "refuse_version",
]

CORE_OPTIONS = frozenset({"condition", "execution_group", "skip_if", "tags", "version"})
"""The step options that no plugin has to claim."""
CARRIED = "__crystallize_options__"
"""The attribute in which a function carries step options of its own; decorators of plugins set it."""


def carried_options(function: Any, name: str) -> dict[str, Any]:
    """The step options that a function carries, and those of what it wraps.

    A decorator that wants to work below `@pipeline_step()` leaves a mapping in `__crystallize_options__` of the
    function that it returns. It is found through `functools.partial` and through every `functools.wraps`.

    Args:
        function: A function or a method.
        name: The name of the step, for the message.

    Raises:
        DefinitionError: Two of them give an option with different values.

    """
    found: dict[str, Any] = {}
    met: list[Any] = []
    while function is not None and not any(function is other for other in met):
        met.append(function)
        found = merged_options(name, found, getattr(function, CARRIED, None) or {})
        inner = function.func if isinstance(function, functools.partial) else None
        function = inner or getattr(function, "__wrapped__", None)
    return found


def merged_options(name: str, options: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """The step options of both.

    Raises:
        DefinitionError: An option is in both with different values.

    """
    merged = dict(options)
    for option, value in more.items():
        if option in merged and merged[option] is not value and merged[option] != value:
            message = (
                f"step {name!r} is given the option {option!r} twice, as {merged[option]!r} and as {value!r}; keep one"
            )
            raise DefinitionError(message)
        merged.setdefault(option, value)
    return merged


def core_option_problems(options: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the step options that no plugin has to claim, one sentence each."""
    group, tags = options.get("execution_group"), options.get("tags")
    if group is not None and (not isinstance(group, str) or not group):
        yield f"execution_group must be a non-empty str, found {group!r}"
    if tags is not None and (not isinstance(tags, Mapping) or not all(isinstance(key, str) for key in tags)):
        yield f"tags must be a mapping with text as keys, found {tags!r}"
    for what in ("condition", "skip_if"):
        value = options.get(what)
        if value is not None and not callable(value):
            yield f"{what} must be a function that tells whether, found {value!r}"
    version = options.get("version")
    if version is not None and (not isinstance(version, str) or not version):
        yield f"version must be a non-empty str such as 'v2', found {version!r}"


def refuse_core_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse step options of the core that are wrong.

    Raises:
        DefinitionError: All of them.

    """
    problems = list(core_option_problems(options)) if options else []
    if problems:
        raise DefinitionError("\n  ".join([f"step {name!r} cannot be made:", *problems]))


def left_out_version(version: object, strategy: object) -> str:
    """What is wrong with a version where the cache does not look at code, in words; empty if nothing is."""
    if version is None or (strategy != "input_hash" and not callable(strategy)):
        return ""
    what = "a cache key function" if callable(strategy) else "'input_hash'"
    return f"version={version!r} stands for the code, which {what} leaves out; keep one of the two"


def refuse_version(version: object, strategy: object, name: str) -> None:
    """Refuse a version that is no text, or that stands for what the cache does not look at.

    Raises:
        DefinitionError: It is one of them.

    """
    problem = next(core_option_problems({"version": version}), "") or left_out_version(version, strategy)
    if problem:
        message = f"step {name!r}: {problem}"
        raise DefinitionError(message)

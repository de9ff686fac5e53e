"""Amounts as people write them: cores, bytes, counts and labels, each read into one normal form.

A reader returns the normal form or raises `ValueError` with what it expects and what it found, so that whoever knows
the name of the amount can put it in front.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, Final

from crystallize_core.errors import DefinitionError, did_you_mean

__all__ = ["attempted", "cores", "count", "in_words", "labels", "quoted", "read", "seconds", "size", "table_of", "word"]

_BINARY: Final = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTP", start=1)}
_DECIMAL: Final = {letter: 1000**power for power, letter in enumerate("KMGTP", start=1)}
UNITS: Final[Mapping[str, int]] = {
    "": 1,
    "B": 1,
    "k": 1000,
    "kB": 1000,
    **_DECIMAL,
    **{f"{letter}B": factor for letter, factor in _DECIMAL.items()},
    **_BINARY,
    **{f"{letter}B": factor for letter, factor in _BINARY.items()},
}
"""The units of bytes: those of Kubernetes, and what people write besides."""

SECONDS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
"""The units of time."""

LONGEST: Final = 40
"""A longer text is no amount."""
LISTED: Final = 10
"""So many unknown keys are told of one by one."""
SHOWN: Final = 80
"""So much of a value is quoted in a message."""

_CORES: Final = 'a number of cores of at least 0, such as 4, 0.5, "4" or "500m"'
_SIZE: Final = 'an int of bytes of at least 0, or a text such as "16Gi", "512Mi", "16GB" or "1.5Gi"'
_UNITS_OF_TIME: Final = "s, m, h, d or w"
_COUNT: Final = "an int of at least 0"
_LABELS: Final = 'a label, a list of labels or a mapping of names to values, such as {"zone": "eu"}'


def cores(value: Any) -> float:
    """A number of cores.

    Raises:
        ValueError: It is none.

    """
    found: float | None = None
    if isinstance(value, str):
        match = _matched(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*(m?)", value)
        found = float(Fraction(match[1]) / (1000 if match[2] else 1)) if match else None
    elif isinstance(value, Real) and not isinstance(value, bool):
        try:
            found = float(value)
        except (OverflowError, ValueError):
            found = None
    if found is None or not math.isfinite(found) or found < 0:
        raise ValueError(f"must be {_CORES}; found {quoted(value)}")
    return found


def size(value: Any) -> int:
    """A number of bytes; what is not a whole number is rounded up.

    Raises:
        ValueError: It is none.

    """
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0:
        return int(value)
    match = _matched(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*([A-Za-z]*)", value)
    if match is not None and match[2] in UNITS:
        return math.ceil(Fraction(match[1]) * UNITS[match[2]])
    if match is not None:
        near = [unit for unit in UNITS if unit.lower() == match[2].lower()]
        hint = f"did you mean {near[0]!r}?" if near else f"the units are {', '.join(unit for unit in UNITS if unit)}"
        raise ValueError(f"has the unknown unit {match[2]!r} in {quoted(value)}; {hint}")
    raise ValueError(f"must be {_SIZE}; found {quoted(value)}")


def seconds(value: Any) -> float:
    """A time span, in seconds.

    Raises:
        ValueError: It is none.

    """
    match = _matched(r"([0-9]+)\s*([A-Za-z]+)", value)
    if match is None or match[2] not in SECONDS:
        raise ValueError(f"must be a whole number with {_UNITS_OF_TIME}, such as 30d; found {quoted(value)}")
    return float(match[1]) * SECONDS[match[2]]


def count(value: Any) -> int:
    """A number of things.

    Raises:
        ValueError: It is none.

    """
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0:
        return int(value)
    match = _matched(r"([0-9]+)", value)
    if match is None:
        raise ValueError(f"must be {_COUNT}; found {quoted(value)}")
    return int(match[1])


def word(value: Any) -> str:
    """A text with something in it, without the space around it.

    Raises:
        ValueError: It is none.

    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be a non-empty str; found {quoted(value)}")
    return str(value).strip()


def labels(value: Any) -> tuple[str, ...]:
    """Labels in order, each once; `name=value` for those that were given as a mapping.

    Raises:
        ValueError: It is neither a label nor several.

    """
    try:
        if isinstance(value, str):
            found = [word(value)]
        elif isinstance(value, Mapping):
            found = [
                f"{word(name)}={one}"
                for name, held in value.items()
                for one in (labels(held) if not isinstance(held, Mapping) else labels(None))
            ]
        else:
            found = [word(one) for one in (value if isinstance(value, Collection) else [value])]
    except Exception:  # noqa: BLE001 - what is iterated may raise anything
        raise ValueError(f"must be {_LABELS}; found {quoted(value)}") from None
    return tuple(sorted(set(found)))


def read(name: str, reader: Callable[[Any], Any], value: Any) -> Any:
    """What the reader makes of a value; None stays None.

    Raises:
        DefinitionError: What the reader objects to, with the name of the amount.

    """
    if value is None:
        return None
    try:
        return reader(value)
    except ValueError as error:
        message = f"{name} {error}"
        raise DefinitionError(message) from None


def attempted(problems: list[str], reader: Callable[[Any], Any], value: Any) -> Any:
    """What is read; what is wrong with it joins the problems."""
    try:
        return reader(value)
    except DefinitionError as error:
        problems.extend(error.message.split("\n  "))
        return None


def table_of(value: Mapping[Any, Any], keys: tuple[str, ...], where: str) -> tuple[dict[str, Any], list[str]]:
    """The entries of known names, and what is wrong with the others."""
    try:
        table = dict(value)
    except Exception as error:
        message = f"{where} cannot be read: {type(error).__qualname__} from {type(value).__qualname__}"
        raise DefinitionError(message) from error
    unknown = [key for key in table if not isinstance(key, str) or key not in keys]
    problems = [
        f"{where} has no key {quoted(key)}; {did_you_mean(key if isinstance(key, str) else '', keys)}"
        for key in unknown[:LISTED]
    ]
    problems += [f"and {len(unknown) - LISTED} more keys"] * (len(unknown) > LISTED)
    return {key: table[key] for key in keys if key in table}, problems


def in_words(amount: int) -> str:
    """A number of bytes for people to read."""
    for unit, factor in reversed(_BINARY.items()):
        if amount >= factor:
            return f"{amount / factor:.4g} {unit}B"
    return f"{amount} bytes"


def quoted(value: object) -> str:
    """The value as it is quoted in a message: not too long, and also where its `repr` raises."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"a {type(value).__qualname__} that cannot be shown ({type(error).__qualname__})"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _matched(pattern: str, value: Any) -> re.Match[str] | None:
    """The match of a text as a whole; None for anything that is no such text."""
    if not isinstance(value, str) or len(value) > LONGEST:
        return None
    return re.fullmatch(pattern, value.strip())

"""What is drawn: boxes in the order in which the steps run, and the arrows between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Literal, get_args

import attrs

__all__ = ["Arrow", "Box", "Drawing", "Kind", "Status", "joined_labels"]

Status = Literal["ok", "cached", "skipped", "failed", "not run"]
Kind = Literal["step", "input", "context"]

SHOWN_PROBLEMS: Final = 10
SHOWN_CHARACTERS: Final = 80


def _found(value: object) -> str:
    """What was found, for a message; only text is shown, because any other `__repr__` may raise."""
    return repr(value[:SHOWN_CHARACTERS]) if isinstance(value, str) else f"a value of type {type(value).__name__}"


def _plain(value: Any) -> Any:
    """Text of a subclass of str as the text that it holds: its own `__str__` may say anything."""
    return str.__str__(value) if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    """Anything that holds several values as a tuple; text is one value, not several letters."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return tuple(map(_plain, value))
    return value


def _is(expected: str, check: Callable[[Any], bool]) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """A validator whose message names the class, the field, what was expected and what was found."""

    def validate(holder: object, field: attrs.Attribute[Any], value: object) -> None:
        if not check(value):
            raise TypeError(f"{field.name} of {type(holder).__name__} has to be {expected}, not {_found(value)}")

    return validate


def _one_of(choices: Sequence[str]) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    words = ", ".join(map(repr, choices))

    def validate(holder: object, field: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{field.name} of {type(holder).__name__} has to be one of {words}, not {_found(value)}")

    return validate


def _is_instances_of(kind: type) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    return _is(
        f"several of {kind.__name__}",
        lambda value: isinstance(value, tuple) and all(isinstance(one, kind) for one in value),
    )


_is_text = _is("text", lambda value: isinstance(value, str))


@attrs.frozen
class Box:
    """One step, or one source of values that is no step.

    Args:
        name: Unique within the drawing.
        kind: `"input"` for the datasource and the inputs of a run, `"context"` for a context value.
        outputs: The assets that the step declares, shown in its box.
        group: The execution group of the step.
        is_conditional: Whether a condition may skip the step.
        status: What became of the step; None where it has not been run yet.
        note: More about its last run, such as `"1.2 s, 2 retries"`.

    """

    name: str = attrs.field(converter=_plain, validator=_is_text)
    kind: Kind = attrs.field(default="step", converter=_plain, validator=_one_of(get_args(Kind)))
    outputs: tuple[str, ...] = attrs.field(default=(), converter=_listed, validator=_is_instances_of(str))
    group: str | None = attrs.field(default=None, converter=_plain, validator=attrs.validators.optional(_is_text))
    is_conditional: bool = attrs.field(default=False, validator=_is("a bool", lambda value: isinstance(value, bool)))
    status: Status | None = attrs.field(
        default=None, converter=_plain, validator=attrs.validators.optional(_one_of(get_args(Status)))
    )
    note: str = attrs.field(default="", converter=_plain, validator=_is_text)


@attrs.frozen
class Arrow:
    """What flows from one box to another.

    Args:
        source: The name of the box that it comes from.
        target: The name of a box that runs later.
        label: The asset that flows; empty where a chain just passes its data on.

    """

    source: str = attrs.field(converter=_plain, validator=_is_text)
    target: str = attrs.field(converter=_plain, validator=_is_text)
    label: str = attrs.field(default="", converter=_plain, validator=_is_text)


@attrs.frozen
class Drawing:
    """The boxes in the order in which the steps run, and the arrows between them.

    An arrow that is given twice is drawn once.

    Raises:
        TypeError: A field holds something else than it should.
        ValueError: Two boxes share a name, or an arrow has an unknown end or does not go forward in the
            order of the boxes; the message names all of them.

    """

    title: str = attrs.field(converter=_plain, validator=_is_text)
    boxes: tuple[Box, ...] = attrs.field(default=(), converter=_listed, validator=_is_instances_of(Box))
    arrows: tuple[Arrow, ...] = attrs.field(default=(), converter=_listed, validator=_is_instances_of(Arrow))

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "arrows", tuple(dict.fromkeys(self.arrows)))
        problems = list(_problems(self.boxes, self.arrows))
        if problems:
            shown = problems[:SHOWN_PROBLEMS]
            left = [f"and {len(problems) - len(shown)} more"] if len(problems) > len(shown) else []
            raise ValueError("; ".join([f"drawing {_found(self.title)}: {shown[0]}", *shown[1:], *left]))


def _problems(boxes: Iterable[Box], arrows: Iterable[Arrow]) -> Iterator[str]:
    names = Counter(box.name for box in boxes)
    for name, times in names.items():
        if times > 1:
            yield f"{times} boxes are called {_found(name)}, every box needs a name of its own"
    places = {name: at for at, name in enumerate(names)}
    for arrow in arrows:
        described = f"the arrow from {_found(arrow.source)} to {_found(arrow.target)}"
        unknown = [_found(name) for name in dict.fromkeys((arrow.source, arrow.target)) if name not in places]
        if unknown:
            yield f"{described} names {' and '.join(unknown)}, and no box is called so"
        elif places[arrow.source] >= places[arrow.target]:
            yield f"{described} goes back, boxes have to come in the order in which they run"


def joined_labels(drawing: Drawing) -> dict[tuple[int, int], str]:
    """One line instead of several between the same two boxes, with all that flows in its label.

    Returns:
        For the numbers of source and target the labels, without those that say no more than the name of
        the source; in the order of sources, then of targets.

    """
    numbers = {box.name: at for at, box in enumerate(drawing.boxes)}
    found: dict[tuple[int, int], list[str]] = {}
    for arrow in drawing.arrows:
        labels = found.setdefault((numbers[arrow.source], numbers[arrow.target]), [])
        if arrow.label not in ("", arrow.source):
            labels.append(arrow.label)
    return {ends: ", ".join(found[ends]) for ends in sorted(found)}

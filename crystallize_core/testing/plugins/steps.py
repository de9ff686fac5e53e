"""The steps that the kit runs with a plugin; at the top of a module, so that any worker finds them by name."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any, Final, Self

from crystallize_core.named import step
from crystallize_core.step import pipeline_step
from crystallize_core.testing.tiny import own_noise, scale, total

__all__ = ["ASYNC", "CACHED", "EVERYTHING", "FAILING", "SKIPPING", "UNUSUAL", "Awkward", "interrupted"]

Metrics = dict[str, Any]


def fails(data: list[float], ctx: Any) -> list[float]:
    """Raises in one cell."""
    if (ctx["replicate"], ctx["condition"]) == (1, "double"):
        raise ValueError(f"not {data[0]}") from KeyError("the first reason")
    return data


@step(outputs=["left_out"], condition=lambda ctx: ctx["replicate"] < 0)
def left_out(data: list[float]) -> list[float]:
    """Never runs."""
    return data


@pipeline_step(cacheable=True)
def squares(data: list[float], ctx: Any) -> list[float]:
    """Its output is kept."""
    ctx.record("squares", sum(data))
    return [number * number for number in data]


async def later(data: list[float], ctx: Any) -> list[float]:
    """Lets others run in between."""
    await asyncio.sleep(0)
    ctx.record("waited", ctx["replicate"])
    await asyncio.sleep(0)
    return data


def interrupted(data: list[float], ctx: Any) -> list[float]:
    """Somebody presses Ctrl-C in replicate 1."""
    if ctx["replicate"] == 1:
        raise KeyboardInterrupt
    return data


FAILING: Final = (scale, own_noise, fails, total)
SKIPPING: Final = (scale, own_noise, total, left_out)
CACHED: Final = (scale, squares, own_noise, total)
ASYNC: Final = (scale, later, own_noise, later, total)
EVERYTHING: Final = (scale, squares, own_noise, fails, later, total, left_out)


# Values that steps may return and record --------------------------------------------------------------


class Awkward:
    """A value that answers nothing: no text, no truth, no length, no comparison, no copy in another process."""

    def __repr__(self) -> str:
        raise RuntimeError("it has no text")

    def __bool__(self) -> bool:
        raise RuntimeError("it is neither true nor false")

    def __len__(self) -> int:
        raise RuntimeError("it has no length")

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("it has no parts")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("it is like nothing")

    __hash__ = None  # type: ignore[assignment]  # and cannot be a key

    def __reduce__(self) -> Any:
        raise TypeError("it stays here")

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def gives_none(data: Any, ctx: Any) -> None:
    """None."""


def gives_huge(data: Any, ctx: Any) -> bytes:  # noqa: ARG001 - as above
    """More than anybody wants to see in a log."""
    return b"x" * 4_000_000


def gives_lock(data: Any, ctx: Any) -> Any:  # noqa: ARG001 - as above
    """What cannot be pickled or copied."""
    return threading.Lock()


def gives_awkward(data: Any, ctx: Any) -> Any:  # noqa: ARG001 - as above
    """What answers nothing."""
    return Awkward()


def gives_text(data: Any, ctx: Any) -> str:  # noqa: ARG001 - as above
    """What formatting may take for its own."""
    return "{0} %s %(a)d {missing} \N{SNOWMAN} \ud800 \x00"


def records_unusual(data: Any, ctx: Any) -> tuple[Any, Metrics]:
    """Metrics that are no plain numbers, artifacts of nothing and of much, events with anything."""
    ctx.artifacts.add("empty.bin", b"")
    ctx.artifacts.add("much.bin", bytes(1_000_000))
    ctx.emit("odd {0} %s", value=float("nan"), nothing=None, nested={"a": [1, (2, 3)]})
    return data, {
        "nan": float("nan"),
        "infinite": float("inf"),
        "none": None,
        "huge": 10**30,
        "text": "{0} %s \N{SNOWMAN}",
    }


UNUSUAL: Final = (gives_none, gives_huge, gives_lock, gives_awkward, gives_text, records_unusual)

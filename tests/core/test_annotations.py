"""What is read of the annotations of a function, and of its single outputs."""

# ruff: noqa: F821 - names that do not exist are what is tested

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NotRequired, Required, TypedDict, TypeVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core.annotations import UNKNOWN, annotations_of, element_of

if TYPE_CHECKING:
    from decimal import Decimal

T = TypeVar("T")


class Model:
    pass


class Report(TypedDict):
    accuracy: float
    name: NotRequired[str]


class Pair(NamedTuple):
    left: int
    right: str


def plain(data, ctx):
    return data


def train(data: list[int], *more: int, rate: float = 0.1, **others: str) -> Model:
    return Model()


TRAIN = {"data": list[int], "more": int, "rate": float, "others": str, "return": Model}


# Functions ----------------------------------------------------------------------------------------


def test_a_function_without_annotations_has_none():
    assert annotations_of(plain) == {}


def test_annotations_are_resolved_in_the_module_of_the_function():
    """Text as it is left by `from __future__ import annotations` becomes what it names."""
    assert annotations_of(train) == TRAIN


def test_what_cannot_be_resolved_is_left_out_one_by_one():
    """A name for type checkers only, broken text and a missing attribute do not lose the others."""

    def step(a: Decimal, b: int, c: nothing.at_all, d: Path, e) -> dict[str, Decimal]: ...

    step.__annotations__["e"] = "list[int"
    assert annotations_of(step) == {"b": int, "d": Path}


def test_text_inside_an_annotation_costs_only_what_is_inside():
    """What is known of `list["Missing"]` is that it is a list."""

    def step(a, b, c): ...

    step.__annotations__ = {"a": list["Missing"], "b": list["Model"], "c": typing.ForwardRef("Missing")}
    assert annotations_of(step) == {"a": list["Missing"], "b": list[Model]}


def test_wrappers_around_annotations_are_kept():
    """Metadata is for whoever reads it."""

    def step(a: Annotated[int, "positive"], b: T, c: None, d: Any) -> int | None: ...

    assert annotations_of(step) == {
        "a": Annotated[int, "positive"],
        "b": T,
        "c": type(None),
        "d": Any,
        "return": int | None,
    }


def test_local_classes_are_found_if_the_function_uses_them():
    """What a function closes over can be named in its annotations; other names of the function around it are gone."""

    class Used:
        pass

    class Unused:
        pass

    def step(a: Used, b: Unused, c: Late) -> list[Used]:
        return [Used(), Late]

    assert annotations_of(step) == {"a": Used, "return": list[Used]}
    Late = int
    assert annotations_of(step) == {"a": Used, "c": Late, "return": list[Used]}


def test_a_local_name_hides_one_of_the_module():
    """Names are looked up as Python looks them up."""

    class Model:
        pass

    def step(a: Model) -> Path:
        return Model

    assert annotations_of(step) == {"a": Model, "return": Path}


# What is called -----------------------------------------------------------------------------------


def keeping(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


class Trainer:
    rate: str = "the annotation of a field"

    def __call__(self, data: list[int], rate: float) -> Model: ...

    def fit(self, data: list[int]) -> Model: ...

    @classmethod
    def load(cls, path: Path) -> Model: ...

    @staticmethod
    def save(model: Model) -> Path: ...


@attrs.frozen
class Options:
    rate: float
    path: Path = Path()


@dataclasses.dataclass
class Settings:
    path: Path


class Created:
    def __new__(cls, path: Path) -> str: ...


class Empty:
    field: int


class Signed:
    def __init__(self, signature):
        self.__signature__ = signature

    def __call__(self, *args: str) -> str: ...


@functools.singledispatch
def dispatched(data: int) -> str: ...


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        (functools.partial(train, rate=0.5), TRAIN),
        (functools.partial(functools.partial(train), []), TRAIN),
        (keeping(train), TRAIN),
        (keeping(functools.partial(train)), TRAIN),
        (functools.lru_cache(keeping(train)), TRAIN),
        (staticmethod(train), TRAIN),
        (Trainer(), {"data": list[int], "rate": float, "return": Model}),
        (Trainer().fit, {"data": list[int], "return": Model}),
        (Trainer.fit, {"data": list[int], "return": Model}),
        (Trainer.load, {"path": Path, "return": Model}),
        (Trainer().save, {"model": Model, "return": Path}),
        (functools.partial(Trainer()), {"data": list[int], "rate": float, "return": Model}),
        (types.MethodType(train, []), TRAIN),
        (Options, {"rate": float, "path": Path, "return": Options}),
        (Settings, {"path": Path, "return": Settings}),
        (Created, {"path": Path, "return": Created}),
        (Trainer, {"return": Trainer}),
        (Empty, {"return": Empty}),
        (dict, {"return": dict}),
        (dispatched, {"data": int, "return": str}),
        (Signed(inspect.signature(train)), TRAIN),
        (len, {}),
        (Empty(), {}),
        (lambda data: data, {}),
        (None, {}),
        ("train", {}),
    ],
)
def test_what_is_called_is_looked_through(called, expected):
    """The annotations are those of the function that runs in the end."""
    assert annotations_of(called) == expected


def test_a_coroutine_function_is_annotated_with_what_is_awaited():
    """It makes no difference whether a step says `async def` or returns something to await."""

    async def step(a: int) -> str: ...

    async def stream() -> AsyncIterator[int]:
        yield 1

    def coroutine() -> Coroutine[Any, Any, str]: ...
    def awaitable() -> Awaitable[str]: ...
    def future() -> asyncio.Future[str]: ...
    def bare() -> Coroutine: ...
    def broken() -> Annotated[Awaitable[str], 1] | None: ...

    assert annotations_of(step) == {"a": int, "return": str}
    assert annotations_of(keeping(step)) == {"a": int, "return": str}
    assert annotations_of(stream) == {"return": AsyncIterator[int]}
    assert [annotations_of(f) for f in (coroutine, awaitable, future)] == [{"return": str}] * 3
    assert annotations_of(bare) == {}
    assert annotations_of(broken) == {"return": Annotated[Awaitable[str], 1] | None}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is new in Python 3.12")
def test_type_parameters_of_a_function_are_known():
    """Names that stand in brackets behind the name of the function are names of its annotations."""
    names: dict[str, Any] = {}
    exec("from __future__ import annotations\ndef step[X: int](a: X, b: list[X]) -> Missing: ...", names)
    (parameter,) = names["step"].__type_params__
    assert annotations_of(names["step"]) == {"a": parameter, "b": list[parameter]}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the statement is new in Python 3.12")
def test_an_alias_of_nothing_is_an_alias_all_the_same():
    """What an alias stands for is looked up late, and may not be there."""
    names: dict[str, Any] = {}
    exec("type Missing = Nothing\ndef step(a: int) -> Missing: ...", names)
    assert annotations_of(names["step"]) == {"a": int, "return": names["Missing"]}


class Refuses:
    def __getattr__(self, name):
        raise RuntimeError(name)


class Endless:
    def __getattr__(self, name):
        return Endless()


class Uncomfortable(type):
    def __subclasscheck__(cls, kind):
        raise RuntimeError

    def __getattr__(cls, name):
        raise RuntimeError(name)


UncomfortableClass = Uncomfortable("UncomfortableClass", (), {})


def strange(a, b, c): ...


strange.__annotations__ = {"a": UncomfortableClass, "b": 5, "c": "int", "return": UncomfortableClass}


def wrapped_by_itself(a: int): ...


wrapped_by_itself.__wrapped__ = wrapped_by_itself


def test_no_object_makes_it_raise():
    """What has no annotations has none, whatever it does when it is asked; a class makes instances of itself."""
    for strange_object in (Refuses(), Endless(), UncomfortableClass, types.SimpleNamespace(), 5, ..., []):
        assert annotations_of(strange_object) == {}
    assert annotations_of(Refuses) == {"return": Refuses}


def test_strange_annotations_are_left_as_they_are():
    """One that answers no question does not lose the others, and circles end."""
    assert annotations_of(strange)["c"] is int
    assert set(annotations_of(strange)) == {"a", "b", "c", "return"}
    assert annotations_of(wrapped_by_itself) == {"a": int}


@given(st.dictionaries(st.sampled_from("abcd"), st.text() | st.integers() | st.sampled_from([int, "int", "Model"])))
def test_any_text_may_stand_as_an_annotation(written):
    """Of what stands beside it nothing is lost."""

    def step(a, b, c, d, e): ...

    step.__annotations__ = written | {"e": "Model", "return": "list[int]"}
    found = annotations_of(step)
    assert (found["e"], found["return"]) == (Model, list[int])
    assert {name for name, text in written.items() if text in (int, "int", "Model")} <= set(found)


# Outputs ------------------------------------------------------------------------------------------


class Partly(TypedDict, total=False):
    first: Required[int]
    second: Missing


class Derived(Report):
    model: Model


@pytest.mark.parametrize(
    ("produced", "expected"),
    [
        (tuple[int, str], (int, str)),
        (Annotated[tuple[int, str], "both"], (int, str)),
        (tuple[int, str] | None, (int, str)),
        (tuple[int, str] | tuple[str, str], (int | str, str)),
        (tuple[int, str] | Any, (UNKNOWN, UNKNOWN)),
        (tuple[int, str, bytes], (UNKNOWN, UNKNOWN)),
        (tuple[int], (UNKNOWN, UNKNOWN)),
        (tuple[()], (UNKNOWN, UNKNOWN)),
        (tuple[int, ...], (int, int)),
        (tuple[int, *tuple[str, ...]], (UNKNOWN, UNKNOWN)),
        (tuple, (UNKNOWN, UNKNOWN)),
        (list[int], (int, int)),
        (list, (UNKNOWN, UNKNOWN)),
        (Pair, (int, str)),
        (Report, (float, str)),
        (Derived, (float, str)),
        (Partly, (UNKNOWN, UNKNOWN)),
        (dict[str, Model], (Model, Model)),
        (Mapping[str, int], (int, int)),
        (dict, (UNKNOWN, UNKNOWN)),
        (set[int], (UNKNOWN, UNKNOWN)),
        (str, (UNKNOWN, UNKNOWN)),
        (int, (UNKNOWN, UNKNOWN)),
        (None, (UNKNOWN, UNKNOWN)),
        (Any, (UNKNOWN, UNKNOWN)),
        (UNKNOWN, (UNKNOWN, UNKNOWN)),
        (T, (UNKNOWN, UNKNOWN)),
        ("tuple[int, str]", (UNKNOWN, UNKNOWN)),
        (5, (UNKNOWN, UNKNOWN)),
        pytest.param(UncomfortableClass, (UNKNOWN, UNKNOWN), id="a class that raises"),
        pytest.param(Refuses(), (UNKNOWN, UNKNOWN), id="an object that raises"),
    ],
)
def test_several_outputs_are_taken_out_of_what_is_returned(produced, expected):
    """By position out of tuples and lists of that length, by key out of mappings."""
    assert (element_of(produced, 0, 2, "accuracy"), element_of(produced, 1, 2, "name")) == expected


def test_keys_of_a_typed_dict_are_read_one_by_one():
    """A key whose annotation cannot be resolved does not lose the others, and one that is not there is not known."""
    assert element_of(Partly, 0, 2, "first") is int
    assert element_of(Partly, 1, 2, "second") is UNKNOWN
    assert element_of(Report, 1, 2, "third") is UNKNOWN
    assert element_of(Report, 1, 2) is UNKNOWN
    assert element_of(Report, 0, 2, ["unhashable"]) is UNKNOWN
    assert element_of(Derived, 0, 3, "model") is Model


@pytest.mark.parametrize("count", [0, 1])
def test_a_single_output_is_the_whole_value(count):
    """Tuples of one and mappings are not unpacked."""
    for produced in (tuple[int], tuple[int, str], Report, Any, UNKNOWN, None):
        assert element_of(produced, 0, count, "accuracy") is produced


@pytest.mark.parametrize("position", [-1, 2, 10**9, None, "0"])
def test_a_position_outside_of_the_outputs_is_unknown(position):
    assert element_of(tuple[int, str], position, 2) is UNKNOWN
    assert element_of(list[int], position, 2) is UNKNOWN

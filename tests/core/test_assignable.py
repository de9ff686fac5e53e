"""What is reported when one step produces what another does not expect: only what is certain, and never an exception."""
# ruff: noqa: UP006, UP007, UP045, PYI061, F821 - old spellings and names that do not exist are what is tested

from __future__ import annotations

import abc
import array
import asyncio
import collections
import dataclasses
import datetime
import decimal
import enum
import io
import itertools
import pickle
import re
import subprocess
import sys
import types
import typing
from collections.abc import (
    Callable,
    Generator,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    MutableSequence,
    Sequence,
    Sized,
)
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Protocol,
    Required,
    TypedDict,
    TypeVar,
    runtime_checkable,
)

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core.annotations import UNKNOWN, fails_check, mismatch
from crystallize_core.annotations.forms import written


class Animal:
    def eat(self):
        return "food"


class Dog(Animal):
    def bark(self):
        return "wau"


class Stone:
    pass


class Swims:
    pass


class Flies:
    pass


class Duck(Swims, Flies):
    pass


class Barks(Protocol):
    def bark(self): ...


@runtime_checkable
class HasName(Protocol):
    name: str


class Named:
    def __init__(self):
        self.name = "set on the instance"


@dataclasses.dataclass
class Point:
    x: float
    y: float


@attrs.frozen(slots=True)
class Slotted:
    x: int


class Proxy:
    def __getattr__(self, name):
        return getattr(self.__dict__["inner"], name)


class Pretender:
    @property
    def __class__(self):
        return int


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...


class Square:
    pass


Shape.register(Square)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1


class Level(enum.IntEnum):
    LOW = 1


class Key(enum.StrEnum):
    A = "a"


class Scores(TypedDict):
    accuracy: float
    loss: NotRequired[str]


class MoreScores(Scores):
    epochs: int


class WrongScores(TypedDict):
    accuracy: str


class Words(TypedDict):
    words: list[str]


class Optionals(TypedDict, total=False):
    accuracy: str
    name: Required[str]


class Pair(NamedTuple):
    left: int
    right: str


class Names(list[str]):
    pass


class AnythingGoes(type):
    def __instancecheck__(cls, instance):
        return True


class Magic(metaclass=AnythingGoes):
    pass


class Untyped(Any):
    pass


T = TypeVar("T")
Number = TypeVar("Number", int, float)
AnAnimal = TypeVar("AnAnimal", bound=Animal)
UserId = NewType("UserId", int)
AdminId = NewType("AdminId", UserId)


class Box(typing.Generic[T]):
    pass


# What is certain ----------------------------------------------------------------------------------

CERTAIN = [
    (str, int, "produces str, expected int"),
    (float, str, "produces float, expected str"),
    (None, int, "produces None, expected int"),
    (int, None, "produces int, expected None"),
    (list, dict, "produces list, expected dict"),
    (list[int], tuple[int, ...], "produces list[int], expected tuple[int, ...]"),
    (int, Iterable[int], "produces int, expected Iterable[int]"),
    (int, Sequence[int], "produces int, expected Sequence[int]"),
    (float, Callable[[int], str], "produces float, expected Callable[[int], str]"),
    (list, Hashable, "produces list, expected Hashable"),
    (Sequence, Mapping, "produces Sequence, expected Mapping"),
    (Iterator[int], list[int], "produces Iterator[int], expected list[int]"),
    (Generator[int, None, None], list[int], "produces Generator[int, None, None], expected list[int]"),
    (Animal, Stone, "produces Animal, expected Stone"),
    (Dog, Point, "produces Dog, expected Point"),
    (Path, str, "produces Path, expected str"),
    (decimal.Decimal, float, "produces Decimal, expected float"),
    (datetime.date, datetime.timedelta, "produces date, expected timedelta"),
    (Colour, Size, "produces Colour, expected Size"),
    (Size, Level, "produces Size, expected Level"),
    (bool, Size, "produces bool, expected Size"),
    (Shape, int, "produces Shape, expected int"),
    (Animal, Shape, "produces Animal, expected Shape"),
    (str | bytes, int, "produces str | bytes, expected int"),
    (str | bytes, int | float | None, "produces str | bytes, expected int | float | None"),
    (typing.Optional[str], typing.Union[int, float], "produces str | None, expected int | float"),
    (list[str], list[int], "produces list[str], expected list[int]"),
    (list[str], Sequence[float], "produces list[str], expected Sequence[float]"),
    (set[str], Iterable[int], "produces set[str], expected Iterable[int]"),
    (Iterable[str], list[int], "produces Iterable[str], expected list[int]"),
    (list[list[str]], list[list[int]], "produces list[list[str]], expected list[list[int]]"),
    (str, Sequence[float], "produces str, expected Sequence[float]"),
    (bytes, Sequence[str], "produces bytes, expected Sequence[str]"),
    (dict[str, int], Mapping[str, list[int]], "produces dict[str, int], expected Mapping[str, list[int]]"),
    (dict[str, int], dict[int, int], "produces dict[str, int], expected dict[int, int]"),
    (dict[str, int], Iterable[int], "produces dict[str, int], expected Iterable[int]"),
    (collections.Counter[str], Mapping[str, str], "produces Counter[str], expected Mapping[str, str]"),
    (tuple[int, str], tuple[int, int], "produces tuple[int, str], expected tuple[int, int]"),
    (tuple[int, int], tuple[int, int, int], "produces tuple[int, int], expected tuple[int, int, int]"),
    (tuple[()], tuple[int], "produces tuple[()], expected tuple[int]"),
    (tuple[str, ...], tuple[int, int], "produces tuple[str, ...], expected tuple[int, int]"),
    (tuple[int, str], Sequence[int], "produces tuple[int, str], expected Sequence[int]"),
    (Pair, tuple[int, int], "produces Pair, expected tuple[int, int]"),
    (Barks, int, "produces Barks, expected int"),
    (Stone, Barks, "produces Stone, expected Barks"),
    (Slotted, HasName, "produces Slotted, expected HasName"),
    (list[int], HasName, "produces list[int], expected HasName"),
    (str, typing.SupportsIndex, "produces str, expected SupportsIndex"),
    (Literal["a"], int, "produces 'a', expected int"),
    (Literal["a", "b"], Literal["c"], "produces 'a' | 'b', expected 'c'"),
    (int, Literal["a", None], "produces int, expected 'a' | None"),
    (Literal[Colour.RED], Literal[Colour.BLUE], "produces Colour.RED, expected Colour.BLUE"),
    (type[Animal], type[Stone], "produces type[Animal], expected type[Stone]"),
    (type[int], int, "produces type[int], expected int"),
    (UserId, str, "produces UserId, expected str"),
    (AdminId, str, "produces AdminId, expected str"),
    (Number, str, "produces Number, expected str"),
    (AnAnimal, Stone, "produces AnAnimal, expected Stone"),
    (list[Number], list[str], "produces list[Number], expected list[str]"),
    (Annotated[str, "path"], int, "produces str, expected int"),
    (Final[str], int, "produces Final[str], expected int"),
    (typing.LiteralString, int, "produces LiteralString, expected int"),
    (typing.TypeGuard[str], str, "produces TypeGuard[str], expected str"),
    (dataclasses.InitVar[str], int, "produces dataclasses.InitVar[str], expected int"),
    (typing.List[str], typing.List[int], "produces list[str], expected list[int]"),
    (typing.Dict, typing.List, "produces dict, expected list"),
    (Scores, WrongScores, "produces Scores, expected WrongScores"),
    (Scores, Words, "produces Scores, expected Words"),
    (MoreScores, Words, "produces MoreScores, expected Words"),
    (Scores, list, "produces Scores, expected list"),
    (Scores, dict[str, str], "produces Scores, expected dict[str, str]"),
    (dict[int, float], Scores, "produces dict[int, float], expected Scores"),
    (Box[int], list[int], "produces Box[int], expected list[int]"),
    (Proxy, int, "produces Proxy, expected int"),
]


@pytest.mark.parametrize(("produced", "expected", "text"), CERTAIN, ids=[text for *_, text in CERTAIN])
def test_what_can_never_fit_is_reported(produced, expected, text):
    """The text is the middle of a message; the other direction is as certain."""
    assert mismatch(produced, expected) == text
    assert mismatch(expected, produced) is not None


# What is not --------------------------------------------------------------------------------------

FITS = [
    (int, int),
    (bool, int),
    (int, float),
    (bool, float),
    (int, complex),
    (float, complex),
    (float, int),  # a step annotated `float` may return an int
    (bytearray, bytes),
    (Dog, Animal),
    (Animal, Dog),
    (Swims, Flies),  # there are ducks
    (int | None, int),
    (str | None, int | None),
    (int, int | None),
    (Dog | Stone, Stone),
    (None, None),
    (type(None), None),
    (str, Any),
    (Any, str),
    (str, object),
    (object, str),
    (UNKNOWN, str),
    (str, UNKNOWN),
    ("int", str),
    (typing.ForwardRef("int"), str),
    (typing.NoReturn, str),
    (5, str),
    (max, str),
    (list[int], Sequence[float]),
    (list[int], list),
    (list, list[int]),
    (list[int], list[Any]),
    (list[bool], list[int]),
    (list["Missing"], list[int]),
    (list[int], Iterable),
    (Sequence[int], list[int]),
    (Iterable[int], Sized),
    (Iterable[int], Barks),
    (Sequence[int], Barks),
    (list[int | str], list[str]),
    (str, Sequence[str]),
    (str, Iterable[Sequence[Sequence[str]]]),
    (bytes, Iterable[int]),
    (range, Sequence[int]),
    (tuple[int, str], tuple[int, str]),
    (tuple[int, str], tuple[float, Any]),
    (tuple[int, ...], tuple[int, int]),
    (tuple[int, ...], Sequence[float]),
    (tuple[int, str], tuple),
    (tuple[int, str], typing.Tuple),
    (tuple[()], tuple[int, ...]),
    (tuple[()], Sequence[str]),
    (tuple[int, *tuple[str, ...]], tuple[int, str, str]),
    (Pair, tuple[int, str]),
    (Pair, tuple),
    (tuple[int, str], Pair),
    (dict[str, int], Mapping[str, float]),
    (collections.OrderedDict[str, int], dict[str, int]),
    (dict, Mapping[str, int]),
    (dict[str, int], Iterable[str]),
    (collections.defaultdict[str, list[int]], MutableMapping[str, Sequence[int]]),
    (collections.deque[int], MutableSequence[int]),
    (array.array, MutableSequence),
    (Names, list[str]),
    (Names, list[int]),  # what its items are is for the class to say
    (Box[int], Box[str]),  # what the parameter means is for the class to say
    (Box[int], Box),
    (re.Pattern[str], re.Pattern),
    (Dog, Barks),
    (Animal, Barks),  # dogs are animals that bark
    (Barks, Animal),
    (Barks, HasName),
    (Named, HasName),
    (Point, HasName),  # nothing keeps an instance from having a name
    (Proxy, Barks),
    (types.ModuleType, Barks),
    (type[Dog], Barks),
    (float, typing.SupportsInt),
    (int, typing.SupportsIndex),
    (Square, Shape),
    (Pretender, int),
    (Pretender, str),
    (Magic, int),
    (int, Magic),
    (Untyped, int),
    (int, Hashable),
    (Dog, Callable[..., Any] | Animal),
    (type[Dog], type[Animal]),
    (type[Animal], type),
    (type[Dog], Callable[[], Dog]),
    (type[Any], type[int]),
    (Literal["a"], str),
    (str, Literal["a"]),
    (Literal[1], float),
    (Literal["a", "b"], Literal["b", "c"]),
    (Literal["a"], Key),
    (str, Literal[Key.A]),
    (Literal["a"], Literal[Key.A]),
    (Literal[Colour.RED], Colour),
    (Size, int),
    (UserId, int),
    (int, AdminId),
    (T, int),
    (int, T),
    (Number, float),
    (AnAnimal, Dog),
    (list[T], list[int]),
    (Annotated[int, "positive"], float),
    (Final[int], int),
    (typing.ClassVar[int], int),
    (dataclasses.InitVar[int], int),
    (typing.LiteralString, str),
    (typing.TypeGuard[str], bool),
    (typing.Optional[int], int),
    (typing.List[int], list[float]),
    (typing.Callable, Dog | type(len)),
    (Scores, Scores),
    (Scores, MoreScores),
    (MoreScores, Scores),
    (Scores, Optionals),  # it need not have the key on which they disagree, and only it has more
    (Scores, dict),
    (Scores, dict[str, Any]),
    (Scores, Mapping[str, float]),
    (Scores, Mapping[str, object]),
    (dict[str, float], Scores),
    (dict[str, int], Scores),
    (collections.OrderedDict, Scores),
    (Scores, Iterable[str]),
    (asyncio.Future[int], asyncio.Future[str]),
    (io.StringIO, typing.TextIO),
    (io.BytesIO, typing.IO[bytes]),
]


@pytest.mark.parametrize(
    ("produced", "expected"), FITS, ids=[f"{written(produced)} for {written(expected)}" for produced, expected in FITS]
)
def test_what_may_fit_is_not_reported(produced, expected):
    """The answer is the same in both directions."""
    assert (mismatch(produced, expected), mismatch(expected, produced)) == (None, None)


def test_a_common_subclass_ends_the_certainty():
    """Two classes exclude each other until there is one that is both."""

    class Walks:
        pass

    class Crawls:
        pass

    assert mismatch(Walks, Crawls) == "produces Walks, expected Crawls"

    class Child(Walks):
        pass

    class Baby(Child, Crawls):
        pass

    assert mismatch(Walks, Crawls) is None
    del Baby


def test_a_class_with_more_subclasses_than_can_be_looked_at_is_uncertain():
    """Looking through a large family is given up."""

    class Base:
        pass

    children = [type(f"Child{number}", (Base,), {}) for number in range(2100)]
    assert len(children) == 2100
    assert mismatch(Base, Stone) is None
    assert mismatch(children[0], Stone) == "produces Child0, expected Stone"


def test_a_class_that_was_defined_again_is_the_same_class():
    """A cell of a notebook that is run again makes a second class of the same name."""

    def cell():
        class Model:
            pass

        return Model

    assert mismatch(cell(), cell()) is None
    assert fails_check(cell()(), cell()) is None


def test_classes_of_the_same_name_are_told_apart_by_their_modules():
    """A message never says that a Model was expected and a Model was found."""
    one = type("Model", (), {"__module__": "forests", "__qualname__": "Model"})
    other = type("Model", (), {"__module__": "networks", "__qualname__": "Model"})
    assert mismatch(one, other) == "produces forests.Model, expected networks.Model"
    assert mismatch(list[one], list[other]) == "produces list[forests.Model], expected list[networks.Model]"
    assert fails_check(one(), other) == "found forests.Model, expected networks.Model"


def test_a_class_that_is_made_for_a_parameter_agrees_with_its_siblings():
    """Pydantic makes a class for each of `Box[int]` and `Box[Any]`."""
    base = type("Box", (), {"__module__": "boxes"})
    one, other = (type(f"Box[{name}]", (base,), {"__module__": "boxes"}) for name in ("int", "Any"))
    assert (mismatch(one, other), fails_check(one(), other)) == (None, None)


def test_a_metaclass_that_only_asks_faster_is_believed():
    """Models of pydantic are compared as the classes that they are."""

    class Meta(abc.ABCMeta):
        __module__ = "pydantic._internal._model_construction"

        def __instancecheck__(cls, instance):
            return hasattr(instance, "fields") and super().__instancecheck__(instance)

    one, other = Meta("One", (), {}), Meta("Other", (), {})
    assert mismatch(one, other) == "produces One, expected Other"
    assert mismatch(one, int) == "produces One, expected int"


def test_annotations_of_numpy_are_compared_by_their_outer_class():
    """Scalars stand for numbers in both directions; arrays are arrays, whatever their parameters."""
    np = pytest.importorskip("numpy")
    npt = pytest.importorskip("numpy.typing")
    floats, integers = npt.NDArray[np.float64], npt.NDArray[np.int64]
    fitting = [
        (floats, np.ndarray),
        (floats, integers),
        (np.float64, float),
        (np.float32, float),
        (np.int64, int),
        (np.int64, float),
        (np.floating, int),
        (np.bool_, bool),
        (np.str_, str),
        (list[np.float32], Sequence[float]),
        (list[float], npt.ArrayLike),
        (floats, npt.ArrayLike),
        (floats, Iterable[float]),
    ]
    assert [(p, e) for p, e in fitting if mismatch(p, e) is not None or mismatch(e, p) is not None] == []
    assert mismatch(np.ndarray, list[float]) == "produces ndarray, expected list[float]"
    assert mismatch(np.float64, str) == "produces float64, expected str"
    assert mismatch(np.float64, np.int64) == "produces float64, expected int64"
    assert fails_check(np.int64(1), int) is None
    assert fails_check(np.float32(1), float | None) is None
    assert fails_check(np.zeros(3), floats) is None
    assert fails_check(np.zeros(3), list[float]) == "found ndarray, expected list[float]"


def test_frames_are_compared_by_their_class():
    """Data frames answer to any name, and are no series all the same."""
    pd = pytest.importorskip("pandas")
    assert mismatch(pd.DataFrame, pd.Series) == "produces DataFrame, expected Series"
    assert mismatch(pd.DataFrame, pd.DataFrame | None) is None
    assert mismatch(pd.DataFrame, Barks) is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the statement is new in Python 3.12")
def test_aliases_by_statement_are_looked_into_and_may_be_recursive():
    """`type` makes an alias that names itself, or nothing that exists."""
    names: dict[str, Any] = {}
    exec(
        "type Json = None | bool | int | float | str | list[Json] | dict[str, Json]\n"
        "type Tree = list[Tree]\n"
        "type Other = list[Other]\n"
        "type Itself = Itself | int\n"
        "type Missing = Nothing\n"
        "type Many[X] = list[X]\n"
        "type Text = str\n",
        names,
    )
    assert mismatch(bytes, names["Json"]) == "produces bytes, expected Json"
    assert mismatch(list[bytes], names["Json"]) == "produces list[bytes], expected Json"
    assert mismatch(names["Text"], int) == "produces Text, expected int"
    assert mismatch(names["Many"][int], str) == "produces Many[int], expected str"
    fitting = [
        (dict[str, list[int]], names["Json"]),
        (names["Tree"], names["Other"]),
        (names["Json"], list[list[list[int]]]),
        (names["Itself"], str),
        (names["Missing"], int),
        (names["Many"][int], list[int]),
    ]
    assert [(p, e) for p, e in fitting if mismatch(p, e) is not None] == []
    assert fails_check(b"", names["Json"]) == "found bytes b'', expected Json"
    assert fails_check(1, names["Itself"]) is None


def test_a_comparison_without_end_is_given_up():
    """Unions of many members with many levels are not worth the time."""
    deep: Any = int
    other: Any = str
    for _ in range(200):
        deep, other = list[deep], list[other]
    wide = typing.Union[tuple(list[type(f"A{i}", (), {})] for i in range(100))]
    wider = typing.Union[tuple(list[type(f"B{i}", (), {})] for i in range(100))]
    assert (mismatch(deep, other), mismatch(wide, wider)) == (None, None)
    assert fails_check([], other) is None


def test_a_long_annotation_is_shortened():
    """A message stays readable."""
    names = [f"choice number {number}" for number in range(100)]
    text = mismatch(Literal[tuple(names)], int)
    assert text == f"produces {' | '.join(map(repr, names))[:120]}…, expected int"


def test_looking_at_annotations_imports_no_library():
    """Numpy and its like are known by name only."""
    code = (
        "import sys; from crystallize_core.annotations import mismatch; mismatch(str, int); "
        "print(sorted({'numpy', 'pandas', 'inspect', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout in ("['inspect']\n", "[]\n")


def test_unknown_is_one_object_in_every_process():
    """The sentinel is compared by identity, so it survives pickling."""
    assert pickle.loads(pickle.dumps(UNKNOWN)) is UNKNOWN
    assert repr(UNKNOWN) == "UNKNOWN"


# Values -------------------------------------------------------------------------------------------

ACCEPTED = [
    (1, int),
    (True, int),
    (1, float),
    (True, complex),
    (None, None),
    (None, int | None),
    ("a", str | int),
    ([1], list[str]),  # what is inside is not looked at
    ((1, "a"), tuple[int, str]),
    (("a", 1), tuple[int, str]),
    ((1, 2, 3), tuple[int, ...]),
    ((), tuple[()]),
    (Pair(1, "a"), tuple[int, str]),
    ("a", Literal["a", "b"]),
    (Key.A, Literal["a"]),
    (Colour.RED, Literal[Colour.RED]),
    ({"accuracy": 1, "other": 2}, Scores),
    ({"name": "x"}, Optionals),
    (Dog(), Animal),
    (Dog(), Barks),
    (Named(), HasName),
    (Proxy(), Barks),
    (re, HasName | types.ModuleType),
    (Dog, Barks),
    (Square(), Shape),
    (Dog, type[Animal]),
    (Dog, type[Animal] | None),
    (Dog, type[Animal | None]),
    (Dog, type[Any]),
    (len, Callable[[Any], int]),
    ({}, Mapping[str, int]),
    (1, UserId),
    (1, "str"),
    (1, T),
    (1, Any),
    (1, UNKNOWN),
    (Pretender(), int),
    (bytearray(), bytes),
    (object(), Magic),
    (io.StringIO(), typing.TextIO),
]


@pytest.mark.parametrize(
    ("value", "expected"), ACCEPTED, ids=[f"{written(type(value))} as {written(e)}" for value, e in ACCEPTED]
)
def test_a_value_of_the_type_passes(value, expected):
    assert fails_check(value, expected) is None


REFUSED = [
    ("a", int, "found str 'a', expected int"),
    (1.5, int, "found float 1.5, expected int"),
    (None, int, "found None, expected int"),
    (1, None, "found int 1, expected None"),
    ([1], dict[str, int], "found list, expected dict[str, int]"),
    ((1, 2, 3), tuple[int, int], "found tuple, expected tuple[int, int]"),
    ((1,), tuple[()], "found tuple, expected tuple[()]"),
    ("c", Literal["a", "b"], "found str 'c', expected 'a' | 'b'"),
    (True, Literal[1], "found bool True, expected 1"),
    (Colour.RED, Literal[Colour.BLUE], "found Colour, expected Colour.BLUE"),
    ({"loss": "a"}, Scores, "found dict, expected Scores"),
    ([("accuracy", 1)], Scores, "found list, expected Scores"),
    (Stone(), Animal, "found Stone, expected Animal"),
    (Stone(), Barks, "found Stone, expected Barks"),
    (Point(1, 2), HasName, "found Point, expected HasName"),
    (Stone, Barks, "found type, expected Barks"),
    (Stone, type[Animal], "found type, expected type[Animal]"),
    (Dog(), type[Animal], "found Dog, expected type[Animal]"),
    (Stone(), Shape, "found Stone, expected Shape"),
    (1, Callable[[], int], "found int 1, expected Callable[[], int]"),
    (b"a", str | None, "found bytes b'a', expected str | None"),
    (1 + 2j, float, "found complex (1+2j), expected float"),
    ("a" * 10**7, int, f"found str '{'a' * 59}…, expected int"),
    ("é\n", int, "found str 'é\\n', expected int"),
    (10**10000, str, "found int, expected str"),
    (-(10**70), str, f"found int -1{'0' * 58}…, expected str"),
    (["secret"] * 3, str, "found list, expected str"),
]


@pytest.mark.parametrize(("value", "expected", "text"), REFUSED, ids=[text for *_, text in REFUSED])
def test_a_value_of_another_type_is_refused(value, expected, text):
    """The text says what was found, without what containers hold."""
    assert fails_check(value, expected) == text


# Properties ---------------------------------------------------------------------------------------

texts = st.text(min_size=1)  # like all containers: an empty one is of every type
LEAVES = {
    int: st.integers(),
    bool: st.booleans(),
    float: st.floats(),
    str: texts,
    bytes: st.binary(min_size=1),
    None: st.none(),
    Animal: st.sampled_from([Animal(), Dog()]),
    Dog: st.builds(Dog),
    Stone: st.builds(Stone),
    Colour: st.sampled_from(Colour),
    Key: st.sampled_from(Key),
    Literal["a", 1]: st.sampled_from(["a", 1]),
    Literal["b"]: st.just("b"),
    Scores: st.fixed_dictionaries({"accuracy": st.floats()}, optional={"loss": texts}),
    WrongScores: st.fixed_dictionaries({"accuracy": texts}),
    Words: st.fixed_dictionaries({"words": st.lists(texts, min_size=1)}),
    Barks: st.builds(Dog),
    UserId: st.integers(),
    Number: st.integers() | st.floats(),
}

leaves = st.sampled_from(list(LEAVES))
annotations = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(lambda a: list[a]),
        inner.map(lambda a: Sequence[a]),
        inner.map(lambda a: Iterable[a]),
        inner.map(lambda a: tuple[a, ...]),
        inner.map(lambda a: dict[str, a]),
        inner.map(lambda a: Mapping[str, a]),
        inner.map(lambda a: Annotated[a, "a note"]),
        inner.map(lambda a: typing.Optional[a]),
        st.tuples(inner, inner).map(lambda pair: tuple[pair]),
        st.tuples(inner, inner).map(lambda pair: typing.Union[pair]),
    ),
    max_leaves=5,
)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values that the annotation describes; containers have something in them."""
    if annotation is type(None):
        return st.none()
    if annotation in LEAVES:
        return LEAVES[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return values_of(arguments[0])
    if origin is typing.Union:
        return st.one_of(*map(values_of, arguments))
    if origin is tuple and arguments[1:] != (...,):
        return st.tuples(*map(values_of, arguments))
    items = st.lists(values_of(arguments[-1 if origin in (dict, Mapping) else 0]), min_size=1, max_size=3)
    if origin in (dict, Mapping):
        return items.map(lambda found: dict(zip("abc", found, strict=False)))
    return items.map(tuple) if origin is tuple else items


def is_one(value: Any, annotation: Any) -> bool:
    """Whether the annotation describes the value, with all that is inside it, told in the most naive way."""
    if annotation in (None, type(None)):
        return value is None
    if annotation in (Scores, WrongScores, Words):
        fields = typing.get_type_hints(annotation)
        required = set(fields) - {"loss"}
        return isinstance(value, dict) and all(
            is_one(value[name], kind) if name in value else name not in required for name, kind in fields.items()
        )
    if annotation is Barks:
        return hasattr(value, "bark")
    if annotation is UserId:
        return isinstance(value, int)
    if annotation in (float, Number):
        return isinstance(value, (int, float))
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None:
        return isinstance(value, annotation)
    if origin is Literal:
        return value in arguments
    if origin is Annotated:
        return is_one(value, arguments[0])
    if origin is typing.Union:
        return any(is_one(value, member) for member in arguments)
    if not isinstance(value, origin):
        return False
    if origin is tuple and arguments[1:] != (...,):
        return len(value) == len(arguments) and all(map(is_one, value, arguments))
    if isinstance(value, str):  # its items are strings without end
        return arguments[0] is str or is_one(value[0], arguments[0])
    if origin in (dict, Mapping):
        return all(isinstance(key, str) and is_one(item, arguments[1]) for key, item in value.items())
    return all(is_one(item, arguments[0]) for item in value)


@given(annotations)
def test_an_annotation_agrees_with_itself_and_with_anything(annotation):
    assert mismatch(annotation, annotation) is None
    assert mismatch(annotation, Annotated[annotation, 1]) is None
    assert mismatch(annotation, annotation | str if annotation is not None else None) is None
    assert (mismatch(annotation, Any), mismatch(Any, annotation), mismatch(annotation, object)) == (None, None, None)


@given(st.data(), annotations)
def test_a_value_of_both_types_is_the_end_of_certainty(data, produced):
    """Where a sampled value is described by both annotations, nothing is reported."""
    related = annotations | leaves.map(lambda leaf: typing.Union[leaf, produced])
    expected = data.draw(related | related.map(lambda inner: Sequence[inner]))
    value = data.draw(values_of(produced))
    assert is_one(value, produced)
    assert fails_check(value, produced) is None
    if is_one(value, expected):
        assert (mismatch(produced, expected), fails_check(value, expected)) == (None, None)


@given(annotations, annotations)
def test_the_answer_does_not_depend_on_the_direction_and_holds_inside_containers(one, other):
    """What is certain is certain for lists and tuples of it as well."""
    certain = mismatch(one, other) is not None
    assert (mismatch(other, one) is not None) == certain
    assert (mismatch(list[one], Sequence[other]) is not None) == certain
    assert (mismatch(tuple[int, one], tuple[int, other]) is not None) == certain
    assert (mismatch(dict[str, one], Mapping[str, other]) is not None) == certain


# Anything whatever --------------------------------------------------------------------------------


def refuse(*args: Any) -> Any:
    raise RuntimeError("whatever is asked")


class Hostile:
    """An object that answers no question."""

    __eq__ = __hash__ = __repr__ = __str__ = __getattr__ = __bool__ = __len__ = __call__ = refuse
    __class__ = property(refuse)


class HostileMeta(type):
    """Its classes answer no question."""

    __instancecheck__ = __subclasscheck__ = __eq__ = __hash__ = __repr__ = __getattr__ = refuse
    __mro__ = __name__ = __module__ = property(refuse)


class Forgetful(type):
    """Its classes do not know where they come from."""

    __mro__ = __name__ = property(lambda cls: None)
    __subclasses__ = refuse


HostileClass = HostileMeta("HostileClass", (), {})
HOSTILE = [
    Hostile(),
    HostileClass,
    HostileClass(),
    Hostile,
    Forgetful("Forgotten", (), {}),
    list[HostileClass],
    list[Hostile()],  # type: ignore[misc] - that is the point
    dict[str, HostileClass],
    tuple[HostileClass, ...],
    types.GenericAlias(HostileClass, (int,)),
    types.GenericAlias(Hostile(), (int,)),
    types.SimpleNamespace(__origin__=list, __args__=5),
    TypedDict("Strange", {"x": "Nothing"}),
    type("Claims", (dict,), {"__required_keys__": 5, "__total__": True, "__annotations__": 5}),
    type("Tuples", (tuple,), {"_fields": (1, Hostile())}),
    type("Claims", (), {"_is_protocol": True, "__annotations__": None}),
    object.__new__(type("NotInitialised", (), {"__slots__": ("x",)})),
    typing.Optional,
    typing.Union,
    typing.Generic,
    typing.Protocol,
    typing.Tuple,
    typing.Callable,
    typing.ParamSpec("P"),
    typing.TypeVarTuple("Ts"),
    typing.NewType("Strange", Hostile()),
    TypeVar("Strange", bound="Nothing"),
    NotImplemented,
    ...,
    5,
    "list[",
    "x" * 10**6,
    b"",
    [],
    {},
    range,
    asyncio,
    refuse,
    NotImplementedError("an instance"),
]


def test_no_object_makes_it_raise():
    """Whatever stands in the place of an annotation or a value, there is an answer, and it is a text or None."""
    ordinary = [int, str, list[int], int | None, Scores, Barks, Shape, Literal["a"], tuple[int, str], type[int], Sized]
    for one, other in itertools.product(range(len(HOSTILE)), range(len(HOSTILE) + len(ordinary))):
        strange, against = HOSTILE[one], [*HOSTILE, *ordinary][other]
        for answer in (mismatch(strange, against), mismatch(against, strange), fails_check(strange, against)):
            assert answer is None or type(answer) is str
        assert type(written(strange)) is str


@given(st.from_type(type).flatmap(st.from_type) | st.from_type(object), st.from_type(type))
def test_a_value_is_one_of_each_of_its_bases(value, kind):
    """Classes and instances of the standard library pass for what they are, and for nothing that raises."""
    for base in type(value).__mro__:
        assert (fails_check(value, base), mismatch(base, type(value)), mismatch(type(value), base)) == (
            None,
            None,
            None,
        )
    assert type(mismatch(kind, value)) in (str, type(None))
    assert type(fails_check(value, kind)) in (str, type(None))

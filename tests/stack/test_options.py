"""Options of plugin classes: which there are, how values are checked, and how problems are reported."""

import dataclasses
import datetime as dt
import enum
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, ForwardRef, Literal, NewType, Optional, Protocol, TypeVar, Union

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core.errors import ConfigurationError
from crystallize_core.stack.declared import REQUIRED, Option, options_of
from crystallize_core.stack.option_types import type_name
from crystallize_core.stack.options import build, problems, values_of
from crystallize_core.stack.texts import parse_text

Seed = NewType("Seed", int)
Item = TypeVar("Item")


class Mode(enum.Enum):
    FAST = "quick"
    SLOW = "thorough"


class Color(enum.StrEnum):
    RED = "red"


@attrs.frozen
class Inner:
    y: int
    names: tuple[str, ...] = ()


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@attrs.define
class SeedPlugin:
    seed: int = attrs.field(metadata={"help": "Where all randomness starts."})
    replicates: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    _algorithm: str = "pcg"
    labels: list[str] = attrs.Factory(list)
    calls: int = attrs.field(default=0, init=False)


def one(annotation: Any) -> type:
    """A plugin class with one option `x` of this type."""
    return attrs.make_class("One", {"x": attrs.field(type=annotation)})


def read(annotation: Any, value: Any) -> Any:
    return build(one(annotation), {"x": value}, where="o").x


def wrong(annotation: Any, value: Any) -> list[str]:
    return problems(one(annotation), {"x": value}, where="o")


def refused(plugin_class: type, values: Any, where: str = "options.p") -> str:
    with pytest.raises(ConfigurationError) as caught:
        build(plugin_class, values, where=where)
    return str(caught.value)


# --- which options there are --------------------------------------------------------------------------


def test_attrs_fields_are_options() -> None:
    """The fields of the constructor are options, in order, under their alias, with default and help."""
    assert list(options_of(SeedPlugin).values()) == [
        Option("seed", int, REQUIRED, "Where all randomness starts."),
        Option("replicates", int, 1),
        Option("algorithm", str, "pcg"),
        Option("labels", list[str], attrs.Factory(list)),
    ]


def test_constructor_parameters_are_options() -> None:
    """A plain class has the keyword parameters of its constructor, without self, *args and **kwargs."""

    class Plain:
        def __init__(self, only: int, /, a: int, *args: str, b: "str | None" = None, c=2, **kwargs: float) -> None:
            pass

    assert list(options_of(Plain).values()) == [Option("a", int), Option("b", str | None, None), Option("c", Any, 2)]


def test_dataclass_fields_are_options() -> None:
    """A dataclass has its parameters, with the help of its fields and its factories."""

    @dataclasses.dataclass
    class Data:
        a: int
        b: "list[int]" = dataclasses.field(default_factory=list, metadata={"help": "Some."})
        c: dataclasses.InitVar[int] = 3
        d: int = dataclasses.field(default=0, init=False)

    data = options_of(Data)
    assert data["a"] == Option("a", int)
    assert data["b"] == Option("b", list[int], attrs.Factory(list), "Some.")
    assert (type_name(data["c"].type), data["c"].default) == ("int", 3)
    assert list(data) == ["a", "b", "c"]
    assert values_of(Data(1, c=5)) == {"a": 1, "b": []}


def test_handmade_constructor_counts() -> None:
    """Where a class writes its own constructor, that says what the options are."""

    @attrs.define
    class Handmade:
        x: int

        def __init__(self, *, text: str) -> None:
            self.__attrs_init__(x=len(text))

    class Child(SeedPlugin):
        def __init__(self, start: int) -> None:
            super().__init__(seed=start)

    assert options_of(Handmade) == {"text": Option("text", str)}
    assert options_of(Child) == {"start": Option("start", int)}
    assert build(Handmade, {"text": "four"}, where="o").x == 4


def test_class_without_constructor_has_no_options() -> None:
    """A class without a constructor, or with one in C, has no options and says so."""

    class Empty:
        pass

    assert options_of(Empty) == options_of(dict) == {}
    assert refused(Empty, {"seed": 1}) == "options.p.seed: unknown option; Empty has no options"


def test_inherited_fields_are_resolved_where_they_were_written() -> None:
    """Text annotations are resolved, also of inherited fields and of a field named as its type."""

    @attrs.define
    class Base:
        mode: "Mode"
        Path: "Path | None" = None

    @attrs.define
    class Child(Base):
        inner: "Inner | None" = None

    assert {n: o.type for n, o in options_of(Child).items()} == {
        "mode": Mode,
        "Path": Path | None,
        "inner": Inner | None,
    }


def test_unresolvable_annotation_is_any() -> None:
    """A forward reference that names nothing accepts everything, and the other fields stay strict."""

    @attrs.define
    class Forward:
        x: "NoSuchThing"  # noqa: F821
        y: "int" = 0

    assert {name: option.type for name, option in options_of(Forward).items()} == {"x": Any, "y": int}
    assert build(Forward, {"x": object, "y": 1}, where="o") == Forward(object, 1)


def test_annotated_converter_widens_the_type() -> None:
    """What an annotated converter takes is accepted beside the type of the field."""

    def size(value: int | str) -> int:
        return value if isinstance(value, int) else int(value.removesuffix("kB")) * 1000

    @attrs.define
    class Sized:
        a: int = attrs.field(converter=size)
        b: int | None = attrs.field(converter=attrs.converters.optional(size), default=None)
        c: int = attrs.field(converter=int, default=0)

    assert type_name(options_of(Sized)["a"].type) == "int | str"
    assert build(Sized, {"a": "2kB", "b": "3kB"}, where="o") == Sized(2000, 3000, 0)
    assert problems(Sized, {"a": 1.5, "c": "7"}, where="o") == [
        "o.a: expected int | str, found float 1.5",
        "o.c: expected int, found str '7'",
    ]


# --- building and reporting ---------------------------------------------------------------------------


def test_build_makes_an_instance() -> None:
    """Good values make an instance with its defaults."""
    plugin = build(SeedPlugin, {"seed": 7, "algorithm": "mt"}, where="options.seeding")
    assert plugin == SeedPlugin(7, algorithm="mt")


def test_one_problem_is_one_line() -> None:
    """A single problem is the whole message."""
    message = refused(SeedPlugin, {"seed": "seven"}, "options.seeding")
    assert message == "options.seeding.seed: expected int, found str 'seven'"


def test_all_problems_are_reported_together() -> None:
    """Types, missing and unknown keys and validators are reported in one error, in the order of the options."""
    values = {"sed": 1, "replicates": 0, "labels": ["a", 2], "calls": 3, 4: 5}
    assert problems(SeedPlugin, values, where="options.seeding") == [
        "options.seeding.seed: missing; expected int",
        "options.seeding.replicates: 'replicates' must be >= 1: 0",
        "options.seeding.labels[1]: expected str, found int 2",
        "options.seeding.sed: unknown option; did you mean 'seed'?",
        "options.seeding.calls: unknown option; known: 'algorithm', 'labels', 'replicates', 'seed'.",
        "options.seeding.4: unknown option; known: 'algorithm', 'labels', 'replicates', 'seed'.",
    ]
    assert refused(SeedPlugin, {"seed": 1.5, "replicates": 0}, "options.seeding") == (
        "options.seeding: 2 problems\n"
        "  options.seeding.seed: expected int, found float 1.5\n"
        "  options.seeding.replicates: 'replicates' must be >= 1: 0"
    )


def test_values_must_be_a_table() -> None:
    """Something else than a table in the place of the options is said to be that."""
    assert refused(SeedPlugin, [1]) == "options.p: expected a table, found list"


def test_every_validator_and_converter_is_heard() -> None:
    """All failing validators and converters are listed, when no type is wrong as well."""

    def even(value: int) -> int:
        if value % 2:
            raise ValueError(f"{value} is odd")
        return value

    @attrs.frozen
    class Checked:
        a: int = attrs.field(converter=even)
        b: int = attrs.field(validator=attrs.validators.gt(0))
        c: str = attrs.field(default="x", validator=attrs.validators.in_(["x", "y"]))

        @b.validator
        def _fits(self, attribute: Any, value: int) -> None:
            if value > self.a:
                raise KeyError(attribute.name)

    values = {"a": 1, "b": 0, "c": "z"}
    listed = ["p.a: 1 is odd", "p.b: 'b' must be > 0: 0", "p.c: 'c' must be in ['x', 'y'] (got 'z')"]
    assert problems(Checked, values, where="p") == listed
    assert refused(Checked, values, "p") == "\n  ".join(["p: 3 problems", *listed])
    assert refused(Checked, {"a": 2, "b": 3}, "p") == "p.b: KeyError: 'b'"
    assert refused(Checked, {"a": "2", "b": 3}, "p") == "p.a: expected int, found str '2'"


def test_validator_messages_without_the_objects_behind_them() -> None:
    """Of an exception that carries the field and the value only the sentence is shown."""

    @attrs.define
    class Checked:
        x: Any = attrs.field(validator=attrs.validators.instance_of(int))

    assert refused(Checked, {"x": "a"}) == ("options.p.x: 'x' must be <class 'int'> (got 'a' that is a <class 'str'>).")


@pytest.mark.skipif(not hasattr(attrs, "Converter"), reason="attrs has it since 24.1")
def test_converter_may_look_at_the_instance() -> None:
    """A converter that takes the instance and the field gets them also when it is tried alone."""

    def above(value: int, instance: Any, field: Any) -> int:
        if value <= instance.low:
            raise ValueError(f"{field.name} must be above {instance.low}")
        return value

    @attrs.define
    class Range:
        low: int
        high: int = attrs.field(converter=attrs.Converter(above, takes_self=True, takes_field=True))

    assert problems(Range, {"low": 2, "high": 1}, where="p") == ["p.high: high must be above 2"]
    assert problems(Range, {"low": "a", "high": 1}, where="p") == ["p.low: expected int, found str 'a'"]
    assert build(Range, {"low": 2, "high": 3}, where="p") == Range(2, 3)


def test_disabled_validators_are_not_run() -> None:
    """Validators that are switched off for attrs are switched off here."""
    with attrs.validators.disabled():
        assert problems(SeedPlugin, {"seed": 1, "replicates": 0}, where="p") == []
        assert build(SeedPlugin, {"seed": 1, "replicates": 0}, where="p").replicates == 0


def test_constructor_that_refuses_is_the_cause() -> None:
    """What only the constructor can refuse has the path of the table, and is the cause of the error."""

    class Picky:
        def __init__(self, a: int, b: int) -> None:
            if a > b:
                raise RuntimeError("a > b")

    with pytest.raises(ConfigurationError) as caught:
        build(Picky, {"a": 2, "b": 1}, where="options.picky")
    assert str(caught.value) == "options.picky: Picky refuses these options: RuntimeError: a > b"
    assert repr(caught.value.__cause__) == "RuntimeError('a > b')"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert problems(Picky, {"a": 2, "b": 1}, where="options.picky") == []


def test_problems_do_not_run_the_constructor() -> None:
    """Asking for problems makes no plugin."""
    made = []

    @attrs.define
    class Noisy:
        x: int = attrs.field(validator=attrs.validators.gt(0))

        def __attrs_post_init__(self) -> None:
            made.append(self.x)

    assert problems(Noisy, {"x": 1}, where="p") == []
    assert problems(Noisy, {"x": 0}, where="p") == ["p.x: 'x' must be > 0: 0"]
    assert made == []


def test_classes_that_cannot_be_tried_are_left_to_their_constructor() -> None:
    """A class with a finalizer, or derived from an exception, is not made just to run a validator."""

    @attrs.define
    class Final_:
        x: int = attrs.field(validator=attrs.validators.gt(0))

        def __del__(self) -> None:
            pass

    @attrs.define
    class Oops(Exception):
        x: int = attrs.field(validator=attrs.validators.gt(0))

    assert refused(Final_, {"x": 0}) == "options.p: Final_ refuses these options: 'x' must be > 0: 0"
    assert refused(Oops, {"x": 0}) == "options.p: Oops refuses these options: 'x' must be > 0: 0"


# --- types ----------------------------------------------------------------------------------------------


def test_scalars_are_strict() -> None:
    """Only what is of the type passes; an int is a float, but a bool is no number and no text is one."""
    assert (read(bool, True), read(int, 3), read(str, "a"), read(float, 2.5)) == (True, 3, "a", 2.5)
    assert repr(read(float, 3)) == "3.0"
    assert wrong(bool, 1) == ["o.x: expected bool, found int 1"]
    assert wrong(int, True) == ["o.x: expected int, found bool True"]
    assert wrong(int, 3.0) == ["o.x: expected int, found float 3.0"]
    assert wrong(float, False) == ["o.x: expected float, found bool False"]
    assert wrong(float, "1.5") == ["o.x: expected float, found str '1.5'"]
    assert wrong(str, 1) == ["o.x: expected str, found int 1"]
    assert wrong(str, "x" * 100) == []
    assert wrong(int, "x" * 100) == [f"o.x: expected int, found str '{'x' * 59}…"]
    assert wrong(float, 10**400)[0].endswith("; int too large to convert to float")


def test_what_text_cannot_express_is_converted() -> None:
    """Bytes and paths are made from text, and pass when they are there already."""
    assert (read(bytes, "é"), read(bytes, b"a")) == (b"\xc3\xa9", b"a")
    assert (read(Path, "a/b"), read(Path, Path("c"))) == (Path("a/b"), Path("c"))
    assert wrong(bytes, 1) == ["o.x: expected bytes, found int 1"]
    assert wrong(Path, 1) == ["o.x: expected Path, found int 1"]


def test_times() -> None:
    """Dates and times are native in TOML; a duration is a number of seconds."""
    moment = dt.datetime(2026, 1, 2, 3, 4)
    assert (read(dt.datetime, moment), read(dt.date, moment.date()), read(dt.time, moment.time())) == (
        moment,
        moment.date(),
        moment.time(),
    )
    assert read(dt.timedelta, 1.5) == read(dt.timedelta, dt.timedelta(seconds=1.5)) == dt.timedelta(milliseconds=1500)
    assert wrong(dt.datetime, moment.date()) == ["o.x: expected datetime, found date 2026-01-02"]
    assert wrong(dt.date, "2026-01-02") == ["o.x: expected date, found str '2026-01-02'"]
    assert wrong(dt.timedelta, "1s") == ["o.x: expected timedelta, found str '1s'; write it as a number of seconds"]
    assert wrong(dt.timedelta, math.nan) == [
        "o.x: expected timedelta, found float nan; cannot convert float NaN to integer"
    ]


def test_unions_prefer_the_exact_type() -> None:
    """An exact member wins over one that would convert, whatever the order."""
    assert read(Path | str, "a") == "a"
    assert repr(read(float | int, 3)) == "3"
    assert repr(read(Union[float, str], 3)) == "3.0"  # noqa: UP007
    assert read(tuple[float, ...] | list[int], [1]) == [1]
    assert read(tuple[float, ...] | list[str], [1]) == (1.0,)
    assert read(Optional[int], None) is None  # noqa: UP045
    assert read(bytes | Path, "a") == b"a"
    assert read(Any | int, "a") == "a"
    assert wrong(int | None, "seven") == ["o.x: expected int | None, found str 'seven'"]
    assert wrong(int, None) == ["o.x: expected int, found None"]


def test_unions_report_what_the_value_was_meant_for() -> None:
    """Where the value has the shape of one member, the problem inside it is reported."""
    assert wrong(list[int] | None, [1, "a"]) == ["o.x[1]: expected int, found str 'a'"]
    assert wrong(Inner | int, {"y": "a"}) == ["o.x.y: expected int, found str 'a'"]
    assert wrong(Inner | Point, {"x": 1, "z": 0}) == ["o.x.z: unknown option; known: 'x', 'y'."]
    assert wrong(dict[str, list[int] | int] | None, {"a": ["b"]}) == ["o.x.a[0]: expected int, found str 'b'"]
    assert wrong(Literal["auto"] | int, "atuo") == [
        "o.x: expected 'auto' | int, found str 'atuo'; did you mean 'auto'?"
    ]


def test_choices() -> None:
    """A Literal takes its choices, an Enum its names and values; the message lists or suggests them."""
    kind = Literal["thread", "process", 1]
    assert (read(kind, "thread"), read(kind, 1)) == ("thread", 1)
    assert [read(Mode, v) for v in (Mode.FAST, "FAST", "quick")] == [Mode.FAST] * 3
    assert read(Color, "red") is Color.RED
    assert read(Literal[Mode.SLOW], "SLOW") is Mode.SLOW
    assert wrong(kind, True) == ["o.x: expected 'thread' | 'process' | 1, found bool True"]
    assert wrong(kind, "proces") == [
        "o.x: expected 'thread' | 'process' | 1, found str 'proces'; did you mean 'process'?"
    ]
    assert wrong(Mode, "quik") == ["o.x: expected Mode, found str 'quik'; did you mean 'quick'?"]
    assert wrong(Mode, 3) == ["o.x: expected Mode, found int 3; choices: 'FAST', 'SLOW', 'quick', 'thorough'."]
    assert wrong(Literal[Mode.SLOW], "FAST") == ["o.x: expected Mode.SLOW, found str 'FAST'"]


def test_sequences_have_typed_items() -> None:
    """Tuples and sets are made from lists, and every wrong item is reported with its place."""
    assert read(tuple[int, ...], [1, 2]) == (1, 2)
    assert read(tuple[int, str], [1, "a"]) == (1, "a")
    assert read(tuple[()], []) == ()
    assert read(set[int], [1, 2, 1]) == {1, 2}
    assert read(frozenset[str], ["a"]) == read(frozenset[str], {"a"}) == frozenset("a")
    assert read(Sequence[float], (1, 2.0)) == (1.0, 2.0)
    assert read(Sequence[int], range(3)) == range(3)
    assert read(list, [1, "a"]) == [1, "a"]
    assert wrong(list[int], [1, "a", None]) == [
        "o.x[1]: expected int, found str 'a'",
        "o.x[2]: expected int, found None",
    ]
    assert wrong(list[int], (1,)) == ["o.x: expected list[int], found tuple"]
    assert wrong(Sequence[str], "abc") == ["o.x: expected Sequence[str], found str 'abc'"]
    assert wrong(tuple[int, str], [1]) == ["o.x: expected tuple[int, str], found list; it has 1 item"]
    assert wrong(tuple[()], [1, 2]) == ["o.x: expected tuple[()], found list; it has 2 items"]
    assert wrong(set, [[]]) == ["o.x: expected set, found list; its items must be hashable"]


def test_mappings_have_typed_keys_and_values() -> None:
    """Tables become mappings; keys, always text in a table, become the numbers that are declared."""
    assert read(dict[str, float], {"a": 1}) == {"a": 1.0}
    assert read(Mapping[int, Path], {"1": "a"}) == {1: Path("a")}
    assert read(dict[Mode, list[int]], {"FAST": [1]}) == {Mode.FAST: [1]}
    assert read(dict, {"a": [1]}) == {"a": [1]}
    assert wrong(dict[str, list[int]], {"a": [1, "b"], "c d": 2}) == [
        "o.x.a[1]: expected int, found str 'b'",
        'o.x."c d": expected list[int], found int 2',
    ]
    assert wrong(dict[int, int], {"a": 1}) == ["o.x.a: expected int, found str 'a'; this is about the key"]
    assert wrong(dict[int, int], {"1": 1, "01": 1}) == ["o.x: two keys are the same int"]
    assert wrong(dict[str, int], [1]) == ["o.x: expected dict[str, int], found list; write it as a table"]


def test_containers_are_copied_and_kinds_kept() -> None:
    """The plugin gets its own lists and tables, and keeps the kind of a container that fits as it is."""
    values: dict[str, Any] = {"x": [[1], 2]}
    build(one(list), values, where="o").x.append(3)
    assert values == {"x": [[1], 2]}
    ordered = OrderedDict(a=1)
    assert read(dict[str, int], ordered) is ordered
    assert read(dict[str, float], ordered) == {"a": 1.0}


def test_nested_tables() -> None:
    """Tables make attrs classes and dataclasses, whose problems have the longer path."""
    assert read(Inner, {"y": 1, "names": ["a"]}) == Inner(1, ("a",))
    assert read(Point, {"x": 1}) == Point(1.0)
    assert read(list[Inner], [{"y": 1}, Inner(2)]) == [Inner(1), Inner(2)]
    assert wrong(Inner, {"y": "a", "z": 1, "names": [1]}) == [
        "o.x.y: expected int, found str 'a'",
        "o.x.names[0]: expected str, found int 1",
        "o.x.z: unknown option; known: 'names', 'y'.",
    ]
    assert wrong(dict[str, Inner], {"k": {}}) == ["o.x.k.y: missing; expected int"]
    assert wrong(Inner, 1) == ["o.x: expected Inner, found int 1; write it as a table"]
    assert wrong(SeedPlugin, {"seed": 1, "replicates": 0}) == ["o.x.replicates: 'replicates' must be >= 1: 0"]


def test_recursive_tables() -> None:
    """A class may contain itself."""
    found = problems(Tree, {"children": [{"children": [{"childen": []}]}]}, where="t")
    assert found == ["t.children[0].children[0].childen: unknown option; did you mean 'children'?"]
    assert build(Tree, {"children": [{}]}, where="t") == Tree([Tree()])


@attrs.define
class Tree:
    children: "list[Tree]" = attrs.Factory(list)


def test_callables_are_imported() -> None:
    """An import string becomes what it names, only when the plugin is built; functions pass."""
    assert read(Callable[[str], str], "os.path:join") is __import__("os").path.join
    assert read(Callable[..., Any] | None, "collections:OrderedDict.fromkeys")("a") == OrderedDict(a=None)
    assert read(Callable, len) is len
    assert read(Callable | str, "no.such:thing") == "no.such:thing"


def test_callables_that_cannot_be_imported() -> None:
    """Each way in which an import string can fail has its own message and keeps its cause."""
    kind = Callable[[int], float]
    assert wrong(kind, "nothing") == [
        "o.x: expected Callable[[int], float], found str 'nothing'; write it as 'module:name'"
    ]
    assert wrong(kind, "no_such_module:f") == [
        "o.x: cannot import the module 'no_such_module': ModuleNotFoundError: No module named 'no_such_module'"
    ]
    assert wrong(kind | None, "math:sqr") == ["o.x: cannot find 'sqr' for 'math:sqr'; did you mean 'sqrt'?"]
    assert wrong(kind, "math:pi") == ["o.x: 'math:pi' is of type float and cannot be called"]
    with pytest.raises(ConfigurationError) as caught:
        read(kind, "no_such_module:f")
    assert type(caught.value.__cause__) is ModuleNotFoundError


def test_wrapped_types() -> None:
    """Annotated, Final and NewType are what they wrap, and a type variable is anything."""
    assert wrong(Annotated[int, ["unhashable"]], "a") == ["o.x: expected int, found str 'a'"]
    assert wrong(Final[int], "a") == ["o.x: expected int, found str 'a'"]
    assert wrong(list[Seed], ["a"]) == ["o.x[0]: expected int, found str 'a'"]
    assert read(list[Item], [1, "a"]) == [1, "a"]


def test_unsupported_annotations_accept_everything() -> None:
    """What cannot be checked is left to the class."""

    class Shape(Protocol):
        area: float

    for annotation in (Shape, type[int], complex, Any, 5, [int]):
        assert read(annotation, "a") == "a"
    assert read(complex | int, 1) == 1


def test_type_names() -> None:
    """Types are written as people write them."""
    names = {
        int: "int",
        str | None: "str | None",
        Optional[list[int]]: "list[int] | None",  # noqa: UP045
        Literal["thread", "process"]: "'thread' | 'process'",
        dict[str, tuple[int, ...]]: "dict[str, tuple[int, ...]]",
        tuple[()]: "tuple[()]",
        Callable[[int, str], float]: "Callable[[int, str], float]",
        Callable[..., None]: "Callable[..., None]",
        Annotated[Seed, "doc"]: "int",
        Any: "Any",
        Item: "Any",
        ForwardRef("Later"): "Later",
        None: "None",
        Mode: "Mode",
        list: "list",
    }
    assert {annotation: type_name(annotation) for annotation in names} == names


# --- text -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (bool, "Yes", True),
        (bool, "off", False),
        (int, "7", 7),
        (int, "-1_000", -1000),
        (float, "7", 7.0),
        (float, "1e-3", 0.001),
        (str, "7", "7"),
        (str, " none", " none"),
        (str | None, "none", None),
        (int | None, "None", None),
        (int | str, "7", 7),
        (str | int, "7", 7),
        (str | int, "a", "a"),
        (Path, "a/b", Path("a/b")),
        (bytes, "a", b"a"),
        (Literal["a", 1, True], "1", 1),
        (Literal["a", 1, True], "true", True),
        (Mode, "SLOW", Mode.SLOW),
        (Mode, "quick", Mode.FAST),
        (dt.timedelta, "90", dt.timedelta(minutes=1.5)),
        (dt.date, "2026-01-02", dt.date(2026, 1, 2)),
        (dt.datetime, "2026-01-02 03:04:05", dt.datetime(2026, 1, 2, 3, 4, 5)),
        (list[int], "[1, 2]", [1, 2]),
        (tuple[float, ...], "[1, 2.5]", (1.0, 2.5)),
        (list[int | None], "[1, null]", [1, None]),
        (dict[str, int], "{a = 1}", {"a": 1}),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (list[str] | str, '["a"]', ["a"]),
        (list[str] | str, "a", "a"),
        (Inner, "{y = 1}", {"y": 1}),
        (Callable, "no.such:thing", "no.such:thing"),
        (Any, "7", 7),
        (Any, "seven", "seven"),
        (complex, "seven", "seven"),
    ],
)
def test_text_is_parsed_by_type(annotation: Any, text: str, value: Any) -> None:
    """Text from the command line becomes a value of the type, and one that builds."""
    parsed = parse_text(Option("x", annotation), text)
    assert (type(parsed), parsed) == (type(value), value)


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (int, "seven", "x: expected int, found text 'seven'"),
        (int, "7.0", "x: expected int, found text '7.0'"),
        (bool, "maybe", "x: expected bool, found text 'maybe'; write true or false"),
        (int | None, "", "x: expected int | None, found text ''"),
        (list[int], "1, 2", "x: expected list[int], found text '1, 2'; write it as in TOML or JSON"),
        (list[int], "1\nother = 2", "x: expected list[int], found text '1\\nother = 2'; write it as in TOML or JSON"),
        (list[int], "[1, 'a']", "x[1]: expected int, found str 'a'"),
        (Inner, "{z = 1}", "x: 2 problems\n  x.y: missing; expected int\n  x.z: unknown option; known: 'names', 'y'."),
        (Literal["fast", "slow"], "fats", "x: expected 'fast' | 'slow', found text 'fats'; did you mean 'fast'?"),
        (Mode, "x", "x: expected Mode, found text 'x'; choices: 'FAST', 'SLOW', 'quick', 'thorough'."),
        (dt.date, "tomorrow", "x: expected date, found text 'tomorrow'; write it as in TOML"),
        (Callable, "f", "x: expected Callable, found text 'f'; write it as 'module:name'"),
    ],
)
def test_text_of_another_type_is_refused(annotation: Any, text: str, message: str) -> None:
    """Text that is not of the type is an error with the path, the type and the text."""
    with pytest.raises(ConfigurationError) as caught:
        parse_text(Option("x", annotation), text)
    assert str(caught.value) == message


def test_text_with_a_longer_path() -> None:
    """The caller may say where the text belongs."""
    with pytest.raises(ConfigurationError, match=r"^options\.seeding\.seed: expected int, found text 'a'$"):
        parse_text(options_of(SeedPlugin)["seed"], "a", where="options.seeding.seed")


# --- values of instances --------------------------------------------------------------------------------


def test_values_of_instances() -> None:
    """The effective values are read back, also of plain classes where they keep them."""

    class Plain:
        def __init__(self, a: int, b: int = 2, c: int = 3) -> None:
            self.a, self._b, self.c = a, b, c * 2

    assert values_of(SeedPlugin(7)) == {"seed": 7, "replicates": 1, "algorithm": "pcg", "labels": []}
    assert values_of(Plain(1)) == {"a": 1, "c": 6}
    assert values_of(Point(1.0)) == {"x": 1.0, "y": 0.0}
    assert values_of(math) == {}


def test_nested_values_are_tables() -> None:
    """Nested objects are shown as the tables that would make them."""

    @attrs.define
    class Outer:
        one: Inner
        many: list[Inner]
        unique: frozenset[Inner]
        by_name: dict[str, Inner]

    table = {"y": 1, "names": ()}
    outer = Outer(Inner(1), [Inner(1)], frozenset([Inner(1)]), {"a": Inner(1)})
    assert values_of(outer) == {"one": table, "many": [table], "unique": [table], "by_name": {"a": table}}
    assert build(Outer, values_of(outer), where="o") == outer


def test_secrets_are_masked() -> None:
    """Secrets are known by their names or their metadata, at any depth."""

    @attrs.define
    class Login:
        user: str
        API_KEY: str

    @attrs.define
    class Remote:
        db_password: str
        login: Login
        pin: int = attrs.field(default=1234, metadata={"secret": True})
        max_tokens: int = attrs.field(default=5, metadata={"secret": False})
        headers: dict[str, str] = attrs.Factory(lambda: {"token": "t", "a": "b"})

    assert values_of(Remote("hunter2", Login("me", "k"))) == {
        "db_password": "***",
        "login": {"user": "me", "API_KEY": "***"},
        "pin": "***",
        "max_tokens": 5,
        "headers": {"token": "***", "a": "b"},
    }


def test_secrets_are_not_in_messages() -> None:
    """No error shows a secret, neither by its type nor by what a validator or constructor says."""

    @attrs.define
    class Remote:
        password: int | bytes = attrs.field(validator=attrs.validators.in_([b"a"]))
        token: int = 0

        def __attrs_post_init__(self) -> None:
            raise ValueError(f"wrong: {self.password!r}")

    with pytest.raises(ConfigurationError) as caught:
        build(Remote, {"password": "hunter2", "token": "hunter2"}, where="r")
    assert str(caught.value) == (
        "r: 2 problems\n"
        "  r.password: ValueError (its text is not shown, it may hold a secret)\n"
        "  r.token: expected int, found str ***"
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    hidden = "r: Remote refuses these options: ValueError (its text is not shown, it may hold a secret)"
    assert refused(Remote, {"password": "a"}, "r") == hidden
    with pytest.raises(ConfigurationError) as caught:
        parse_text(options_of(Remote)["token"], "hunter2")
    assert str(caught.value) == "token: expected int, found text ***"


@attrs.define
class Everything:
    flag: bool
    number: int | None
    ratio: float
    path: Path | None
    mode: Mode
    choice: Literal["a", "b", 1]
    wait: dt.timedelta
    day: dt.date
    items: tuple[int | str, ...]
    unique: frozenset[int]
    table: dict[str, list[float]]
    by_number: dict[int, bytes]
    inner: Inner
    point: Point
    inners: list[Inner] | None = None


TABLES = st.fixed_dictionaries(
    {
        "flag": st.booleans(),
        "number": st.none() | st.integers(),
        "ratio": st.floats(allow_nan=False) | st.integers(-1000, 1000),
        "path": st.none() | st.text("abc/.", min_size=1),
        "mode": st.sampled_from([*Mode, "FAST", "quick"]),
        "choice": st.sampled_from(["a", "b", 1]),
        "wait": st.timedeltas() | st.integers(-1000, 1000),
        "day": st.dates(),
        "items": st.lists(st.integers() | st.text()),
        "unique": st.lists(st.integers()),
        "table": st.dictionaries(st.text("abc d.", max_size=4), st.lists(st.integers(-9, 9))),
        "by_number": st.dictionaries(st.integers().map(str), st.text("aé")),
        "inner": st.fixed_dictionaries({"y": st.integers()}, optional={"names": st.lists(st.text())}),
        "point": st.builds(Point, st.floats(allow_nan=False)) | st.just({"x": 1}),
    },
    optional={"inners": st.none() | st.lists(st.just({"y": 1}), max_size=2)},
)


@given(TABLES)
def test_accepted_values_round_trip(values: dict[str, Any]) -> None:
    """What was accepted is read back as values that make an equal plugin, and the same values again."""
    plugin = build(Everything, values, where="o")
    again = build(Everything, values_of(plugin), where="o")
    assert again == plugin
    assert values_of(again) == values_of(plugin)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


@given(
    st.sampled_from([int, float | None, list[int], dict[str, Mode], Inner, tuple[int, Path]]),
    st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner)),
)
def test_problems_and_build_agree(annotation: Any, value: Any) -> None:
    """Whatever the value, either there are problems and `build` refuses, or there are none and it builds."""
    found = wrong(annotation, value)
    if not found:
        assert one(annotation)(read(annotation, value)) is not None
        return
    message = refused(one(annotation), {"x": value}, "o")
    assert message == (found[0] if len(found) == 1 else "\n  ".join([f"o: {len(found)} problems", *found]))

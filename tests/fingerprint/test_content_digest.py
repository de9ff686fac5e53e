"""The digest of values: equal values agree, different ones do not, and what has no content is refused with an address."""

from __future__ import annotations

import array
import collections
import copy
import datetime
import decimal
import enum
import fractions
import functools
import math
import multiprocessing
import pathlib
import random
import re
import subprocess
import sys
import threading
import time
import tracemalloc
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crystallize_core.fingerprint as package
from crystallize_core.errors import FingerprintError
from crystallize_core.fingerprint import content_digest, encoding, register_hasher

ROOT = Path(package.__file__).parents[2]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(max_size=300)
    | st.binary(max_size=300)
    | st.dates()
    | st.datetimes()
    | st.timedeltas()
    | st.uuids()
    | st.fractions()
    | st.decimals()
)
keys = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.tuples(st.integers(), st.text(max_size=3))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner) | st.tuples(inner, inner) | st.sets(keys),
    max_leaves=20,
)


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Size(enum.IntEnum):
    RED = 1


@dataclass
class Point:
    x: float
    y: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass
class OtherPoint:
    x: float
    y: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Slotted:
    x: int


@attrs.frozen(cache_hash=True)
class Frozen:
    x: int
    name: str = "n"


class Plain:
    def __init__(self, **state):
        self.__dict__.update(state)

    @functools.cached_property
    def expensive(self):
        return object


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, a):
        self.a = a


class Pickles:
    """Drops its lock when it is pickled."""

    def __init__(self, value):
        self.value, self.lock = value, threading.Lock()

    def __getstate__(self):
        return {"value": self.value}


class Names(set):
    pass


class Numbers(list):
    pass


Pair = collections.namedtuple("Pair", "left right")  # noqa: PYI024 - the old form is the one that is tested


def cycle(value):
    loop = [value]
    loop.append(loop)
    return loop


def tree():
    parent = Plain(name="parent", children=[])
    for name in "abc":
        parent.children.append(Plain(name=name, parent=parent))
    return parent


DIFFERENT = [
    None, False, True, 0, 1, -1, 2**63, 2**64, -(2**63) - 1, 0.0, -0.0, 1.0, math.inf, -math.inf, math.nan, 1j, complex(0, -1),
    "", "1", "None", "a" * 1000, "a" * 999 + "b", "\ud800", b"", b"1", bytearray(b"1"), memoryview(b"1"), b"1" * 1000,
    [], (), {}, set(), frozenset(), [1], (1,), {1}, frozenset({1}), {1: 1}, {"1": 1}, {1: 1.0}, [[1]], [[], 1], [[1], []],
    [1, 2], [2, 1], [12], ["1", "2"], ["12"], ["1", ["2"]], range(1), range(2), range(0, 4, 2), slice(1), slice(1, None),
    ..., NotImplemented, Colour.RED, Colour.GREEN, Size.RED, decimal.Decimal(1), decimal.Decimal("NaN"), fractions.Fraction(1, 2),
    uuid.UUID(int=1), datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), datetime.time(1), datetime.timedelta(1),
    datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), pathlib.Path("a"), pathlib.Path("b"), ValueError("a"), ValueError("b"),
    TypeError("a"), Point(1), Point(1.0), Point(1, 2), OtherPoint(1), Slotted(1), Slotted(2), Frozen(1), Frozen(2), Plain(),
    Plain(a=1), Plain(a=2), Plain(b=1), Slots(1), Slots(2), Pickles(1), Pickles(2), Pair(1, 2), Pair(2, 1), Numbers([1]),
    Numbers([2]), Names({1}), Names({2}), collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1),
    collections.Counter("aab"), collections.deque([1, 2]), collections.deque([1, 2], maxlen=2), collections.defaultdict(list),
    collections.defaultdict(set), re.compile("a"), re.compile("a", re.IGNORECASE), random.Random(1), random.Random(2),
    array.array("i", [1]), array.array("l", [1]), cycle(1), cycle(2), tree(), len, max, int, float, math, re, Point, Plain,
    np.float64(1), np.float32(1), np.int64(1), np.bool_(True), np.str_("1"), np.array(1.0), np.array([1.0]), np.array([[1.0]]),
    np.array([1]), np.array([1, 2]), np.array([1, 2], dtype="i4"), np.array([1, 2], dtype=">i8"), np.array(["1", "2"]),
    np.array([1, 2], dtype=object), np.array(["1", None], dtype=object), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(0),
    np.array(["2020-01-01"], dtype="M8[D]"), np.array(["2020-01-01"], dtype="M8[s]"), np.datetime64("2020-01-01"),
    np.array([(1, 2.0)], dtype=[("a", "i8"), ("b", "f8")]), np.array([(1, 2.0)], dtype=[("a", "i8"), ("c", "f8")]),
    np.dtype("f8"), np.dtype("f4"), np.random.default_rng(1), np.random.default_rng(2), np.random.RandomState(1),
    np.random.SeedSequence(1), np.random.SeedSequence(2), np.array([[1.0]]).view(np.matrix), np.ma.array([1.0, 2.0], mask=[0, 1]),
    np.ma.array([1.0, 2.0], mask=[1, 0]),
]  # fmt: skip


def test_all_different_values_differ():
    """No two of many values that differ in type, structure or content have the same digest."""
    digests = {}
    for value in DIFFERENT:
        digests.setdefault(content_digest(value), []).append(value)
    assert [same for same in digests.values() if len(same) > 1] == []


@pytest.mark.parametrize("value", DIFFERENT, ids=lambda value: type(value).__name__)
def test_a_digest_is_64_digits_and_repeatable(value):
    """The digest of the same value is the same 64 hexadecimal digits again."""
    digest = content_digest(value)
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert digest == content_digest(value)


@settings(max_examples=60, deadline=None)
@given(values)
def test_a_copy_has_the_same_digest(value):
    """A deep copy shares nothing with the value and has the same digest."""
    assert content_digest(copy.deepcopy(value)) == content_digest(value)


@given(scalars, scalars)
def test_digests_agree_exactly_when_value_and_type_agree(one, other):
    """Two scalars agree in the digest if and only if they agree in type and in all that can be seen of them."""

    def seen(value):
        if isinstance(value, float | complex):
            parts = (value.real, value.imag)
            return [(str(part), math.copysign(1, part) if not math.isnan(part) else 0) for part in parts]
        if isinstance(value, decimal.Decimal):
            return value.as_tuple()
        return (value, getattr(value, "fold", 0))

    same = type(one) is type(other) and seen(one) == seen(other)
    assert (content_digest(one) == content_digest(other)) == same


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(keys, values), st.randoms(use_true_random=False))
def test_the_order_of_a_dict_does_not_matter(value, rng):
    """Dicts with the same items have the same digest in whatever order these were put in."""
    items = list(value.items())
    rng.shuffle(items)
    assert content_digest(dict(items)) == content_digest(value)


@given(st.lists(keys), st.randoms(use_true_random=False))
def test_the_order_of_a_set_does_not_matter(items, rng):
    """Sets and frozensets with the same members have the same digest whatever their history."""
    fillers = [f"filler {number}" for number in range(50)]
    shuffled = [*dict.fromkeys(items), *fillers]
    rng.shuffle(shuffled)
    grown = set(shuffled) - set(fillers)
    assert content_digest(grown) == content_digest(set(items))
    assert content_digest(frozenset(grown)) == content_digest(frozenset(items))


@given(st.lists(scalars, max_size=4), st.lists(scalars, max_size=4))
def test_where_one_list_ends_cannot_be_confused(one, other):
    """Moving the border between two lists changes the digest, although the members in their order are the same."""
    joined = one + other
    splits = {content_digest([joined[:at], joined[at:]]) for at in range(len(joined) + 1)}
    assert len(splits) == len(joined) + 1


def test_all_nans_are_equal_and_zeros_are_not():
    """NaN has one digest whatever its sign and payload; the two zeros, which divide differently, have two."""
    assert content_digest(float("nan")) == content_digest(-float("nan")) == content_digest(math.inf - math.inf)
    assert content_digest(np.float64("nan")) == content_digest(-np.float64("nan"))
    assert content_digest(complex(0, math.nan)) == content_digest(complex(0, -math.nan))
    assert content_digest(0.0) != content_digest(-0.0)


def test_equal_ranges_have_one_digest():
    """Ranges that give the same numbers are equal, and so are their digests."""
    assert content_digest(range(0)) == content_digest(range(5, 2))
    assert content_digest(range(0, 3, 2)) == content_digest(range(0, 4, 2))


def test_shared_and_copied_parts_are_the_same():
    """Whether two places hold the same list or two equal ones does not matter."""
    shared = ["x" * 500]
    assert content_digest([shared, shared]) == content_digest([shared, list(shared)])


def test_deep_sharing_takes_no_time():
    """A value whose parts are shared level by level is as quick as its number of parts, not of paths."""
    value = [1]
    for _ in range(150):
        value = [value, value]
    start = time.perf_counter()
    content_digest(value)
    assert time.perf_counter() - start < 1


def test_recursive_values_have_digests():
    """A list, a dict and objects that contain themselves have a digest, the same for an equal copy."""
    loop = {"name": "loop"}
    loop["self"] = [loop]
    assert content_digest(loop) == content_digest(copy.deepcopy(loop))
    assert content_digest(tree()) == content_digest(tree())
    assert content_digest([0, cycle(1)]) == content_digest([0, cycle(1)])
    changed = tree()
    changed.children[1].name = "z"
    assert content_digest(changed) != content_digest(tree())


def test_a_cycle_counts_the_same_wherever_it_is_met():
    """A value with a cycle inside has the same encoding at any depth, also when it is met twice."""
    one, other = Plain(name="x" * 500), Plain(name="x" * 500)
    one.self, other.self = one, other
    assert content_digest([one, [[one]]]) == content_digest([one, [[other]]])


def test_a_tangle_is_refused():
    """Objects that all know each other are refused instead of being followed along every path."""
    nodes = [Plain(number=number) for number in range(12)]
    for node in nodes:
        node.others = list(nodes)
    with pytest.raises(FingerprintError, match="tangle"):
        content_digest(nodes[0])


def test_too_deep_a_nesting_is_refused():
    """A nesting beyond what Python can follow is a FingerprintError, not a RecursionError."""
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(FingerprintError, match="nested too deeply"):
        content_digest(value)


def test_cached_properties_and_hashes_are_not_state():
    """What an object remembers about itself after somebody looked does not change its digest."""
    plain, frozen = Plain(a=1), Frozen(1)
    before = content_digest([plain, frozen])
    assert plain.expensive
    assert hash(frozen)
    assert content_digest([plain, frozen]) == before


def test_an_object_without_state_stays_the_same():
    """An attribute that was set and deleted again leaves no trace."""
    value = Plain()
    before = content_digest(value)
    value.a = 1
    assert content_digest(value) != before
    del value.a
    assert content_digest(value) == before


def test_subclasses_of_containers_keep_their_class_and_attributes():
    """A list or set of an own class differs from the plain one and from one with another attribute."""
    numbers, more = Numbers([1]), Numbers([1])
    more.unit = "m"
    assert len({content_digest(value) for value in (numbers, more, [1], Names({1}), {1})}) == 5
    assert content_digest(Names("abc")) == content_digest(Names("cba"))


def test_an_object_decides_with_its_own_method():
    """`__crystallize_digest__` replaces everything else that is known about an object."""

    class Versioned:
        def __init__(self, version):
            self.version, self.lock = version, threading.Lock()

        def __crystallize_digest__(self):
            return self.version

    class Wrong(Versioned):
        def __crystallize_digest__(self):
            return 5

    assert content_digest(Versioned("1")) == content_digest(Versioned("1")) != content_digest(Versioned("2"))
    with pytest.raises(FingerprintError, match=r"value\[0\].*returned int, not bytes or str"):
        content_digest([Wrong("1")])


@pytest.mark.parametrize("by_name", [False, True])
def test_a_registered_function_decides_for_a_type_and_its_children(by_name):
    """A registration by type or by name holds for subclasses too, and can be taken back."""

    class Child(Pickles):
        def __getstate__(self):
            raise TypeError("cannot pickle")

    kind = f"{Pickles.__module__}.{Pickles.__qualname__}" if by_name else Pickles
    undo = register_hasher(kind, lambda value, update: update(value.value))
    try:
        assert content_digest(Child([1])) == content_digest(Child([1])) != content_digest(Child([2]))
        assert content_digest(Child([1])) != content_digest(Pickles([1]))
    finally:
        undo()
    with pytest.raises(FingerprintError):
        content_digest(Child([1]))


def test_a_registration_can_replace_a_builtin_type():
    """Also exact builtin types can be given another meaning, wherever they are."""
    before = content_digest(["A"])
    undo = register_hasher(str, lambda value, update: update(value.lower().encode()))
    try:
        assert content_digest(["A"]) == content_digest(["a"]) != before
    finally:
        undo()
    assert content_digest(["A"]) == before != content_digest(["a"])


def test_the_later_registration_survives_the_undo_of_the_earlier_one():
    """Undoing in the wrong order takes nothing away from the one who registered last."""
    first = register_hasher(Pickles, lambda _value, update: update(1))
    second = register_hasher(Pickles, lambda _value, update: update(2))
    with_second = content_digest(Pickles(0))
    first()
    assert content_digest(Pickles(0)) == with_second
    second()


class Holder:
    def __init__(self):
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            {"a": [0, 1, 2, Holder()]},
            ["value['a'][3].lock", "_thread.lock", "register_hasher", "__crystallize_digest__"],
        ),
        ((number for number in ()), ["value of type 'builtins.generator'"]),
        ([threading.Thread()], ["value[0]"]),
        ({(1, 2): threading.Lock()}, ["value[<key of type tuple>]"]),
        (collections.deque([1, threading.Lock()]), ["value[1]"]),
        (np.array([1, threading.Lock()], dtype=object), ["value.flat[1]"]),
        (Pair(1, threading.Lock()), ["value[1]"]),
        (ValueError(threading.Lock()), ["value[0]"]),
        ({frozenset({Holder()})}, ["value{...}{...}.lock"]),
        (random.SystemRandom(), ["draws from the operating system"]),
    ],
)
def test_a_refusal_names_type_path_and_remedy(value, words):
    """What has no content is refused by its type, its place in the value and what can be done."""
    with pytest.raises(FingerprintError) as caught:
        content_digest(value)
    assert [word for word in words if word not in str(caught.value)] == []


def test_open_files_and_sockets_are_refused(tmp_path):
    """Files are not content: the same object means something else tomorrow."""
    with (tmp_path / "x").open("w") as file, pytest.raises(FingerprintError, match="TextIOWrapper"):
        content_digest(file)


def test_functions_inside_values_count_by_their_code():
    """A function in a list changes the digest when its code or closure differs, and not otherwise."""

    def make(number):
        return lambda value: value + number

    assert content_digest([make(1)]) == content_digest([make(1)]) != content_digest([make(2)])


def test_arrays_count_by_content_and_not_by_layout(tmp_path):
    """Fortran order, strides, views and memory maps of the same numbers have the same digest."""
    plain = np.arange(24.0).reshape(4, 6)
    wide = np.zeros((8, 12))
    wide[::2, ::2] = plain
    plain.tofile(tmp_path / "data")
    mapped = np.memmap(tmp_path / "data", dtype="f8", shape=(4, 6), mode="r")
    same = [plain, np.asfortranarray(plain), wide[::2, ::2], plain[::-1][::-1], mapped, plain.copy()]
    assert len({content_digest(value) for value in same}) == 1
    assert content_digest(plain.T) != content_digest(plain)


def test_gaps_in_structured_arrays_do_not_matter():
    """The bytes between the fields of a record are arbitrary and are not read."""
    kind = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    one, other = np.zeros(3, kind), np.frombuffer(bytes([7]) * 3 * kind.itemsize, kind).copy()
    other["a"], other["b"] = 0, 0.0
    assert one.tobytes() != other.tobytes()
    assert content_digest(one) == content_digest(other)


def test_a_generator_changes_with_what_was_drawn():
    """The state of random generators is content: it differs after a draw and is restored by a copy."""
    for generator in (np.random.default_rng(5), np.random.RandomState(5), random.Random(5)):
        before, twin = content_digest(generator), copy.deepcopy(generator)
        generator.random() if hasattr(generator, "random") else generator.random_sample()
        assert content_digest(generator) != before == content_digest(twin)


LARGE = encoding.MANY_BYTES // 8 + 1


@pytest.mark.parametrize("make", [np.arange, lambda n: memoryview(np.arange(n)), lambda n: bytes(8 * n)])
def test_large_memory_is_not_copied(make):
    """Arrays, memory views and bytes are read where they are."""
    value = make(LARGE)
    content_digest(value)
    tracemalloc.start()
    try:
        content_digest(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_threads_do_not_change_a_digest(monkeypatch):
    """A machine with one core computes the same digest as one with several."""
    value = np.arange(LARGE)
    digests = set()
    for count in (1, 2, 5):
        monkeypatch.setattr(encoding, "_threads", lambda count=count: count)
        digests.add(content_digest(value))
    assert len(digests) == 1


def _digest_of_large(_number):
    return content_digest(np.arange(LARGE))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_can_hash_what_its_parent_hashed(monkeypatch):
    """The threads of a hash do not outlive it, so that nobody waits for threads that were not forked."""
    monkeypatch.setattr(encoding, "_threads", lambda: 2)
    before = _digest_of_large(0)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map_async(_digest_of_large, [0]).get(timeout=60) == [before]


SCRIPT = """
import collections, enum, sys
sys.path.insert(0, {root!r})
from crystallize_core.fingerprint import content_digest
class Colour(enum.Enum): RED = "r"
class Plain: pass
value = Plain()
value.names = {{"a", "b", "c", "d"}}
value.table = {{("x", 1): {{"y"}}, "k": frozenset("pqrs"), Colour.RED: [1, 2.5, None]}}
value.counter = collections.Counter("hello")
value.function = lambda x: {{"u", "v", "w"}} & x
print(content_digest(value))
print(any(name in sys.modules for name in ("numpy", "pandas", "torch")))
"""


def test_digests_agree_between_processes_and_hash_seeds():
    """Another process with another hash seed computes the same digest, and imports no library to do so."""
    results = set()
    for seed in ("0", "1", "77"):
        run = [sys.executable, "-c", SCRIPT.format(root=str(ROOT))]
        done = subprocess.run(run, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        results.add(done.stdout)
    assert len(results) == 1
    assert results.pop().split()[1] == "False"


def test_importing_the_core_does_not_load_the_hash():
    """It takes time, and is loaded with the first digest."""
    run = [sys.executable, "-c", "import sys, crystallize_core.step; print('blake3' in sys.modules)"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "False\n"


def test_digests_are_the_same_forever():
    """The encoding is a format: a digest that was written down stays valid for all versions that use it."""
    value = {"a": [1, 2.5, None, True, b"x"], 1: ("é", {1, 2}), None: 2**70}
    assert content_digest(value) == GOLDEN


GOLDEN = "95f069182f7cd00b69b854cc25891c8e620210d96807362d7bf1759bb803c240"


def frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": [1.0, np.nan], "c": ["x", None], "d": pd.date_range("2020", periods=2)})
    coded = frame.assign(c=pd.Categorical(["u", "v"]))
    return [frame, coded, frame.set_index("a"), frame[::-1], frame.rename(columns={"a": "z"}), frame["a"], frame.index]


def polars_frames():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [1, 2], "b": [1.0, None], "c": ["x", "y"]})
    return [frame, frame.head(1), frame.rename({"a": "z"}), frame["a"], frame["a"].cast(pl.Int32)]


def arrow_tables():
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": [1, 2], "b": [1.0, None], "c": ["x", "y"]})
    return [table, table.slice(1), table.rename_columns(["z", "b", "c"]), table.column("a"), table.schema]


def sparse_matrices():
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(np.diag([1.0, 2.0]))
    return [matrix, 2 * matrix, *(matrix.asformat(kind) for kind in ("csc", "coo", "dok", "lil", "dia", "bsr"))]


@pytest.mark.parametrize("make", [frames, polars_frames, arrow_tables, sparse_matrices])
def test_tables_and_matrices_of_other_libraries_count_by_content(make):
    """Data of pandas, polars, arrow and scipy agrees when it is made again, and differs in values, names and types."""
    digests = [content_digest(value) for value in make()]
    assert [content_digest(copy.deepcopy(value)) for value in make()] == digests
    assert len(set(digests)) == len(digests)

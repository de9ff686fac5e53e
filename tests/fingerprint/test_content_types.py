"""The digest of values of particular types: what counts in each, and what does not."""

from __future__ import annotations

import copy
import enum
from dataclasses import dataclass

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystallize_core.errors import FingerprintError
from crystallize_core.fingerprint import content_digest

KINDS = ["?", "i1", "u2", "<i8", ">i8", "f2", "f4", "f8", "g", "c8", "G", "S3", "U2", "M8[s]", "m8[D]", "V2"]


def all_differ(values):
    return len({content_digest(value) for value in values}) == len(values)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_every_kind_count_by_values_and_not_by_memory(kind):
    """Order, strides, views and read-only memory do not matter; values, shape and dtype do."""
    flat = (
        np.arange(24).astype("u1").view("S1").astype(kind) if kind in {"S3", "U2", "V2"} else np.arange(24).astype(kind)
    )
    whole = flat.reshape(4, 6)
    spread = np.zeros((8, 12), whole.dtype)
    spread[::2, ::2] = whole
    frozen = whole.copy()
    frozen.flags.writeable = False
    same = [whole, np.asfortranarray(whole), spread[::2, ::2], whole[::-1][::-1], frozen, copy.deepcopy(whole)]
    assert len({content_digest(value) for value in same}) == 1
    assert all_differ(
        [whole, whole.T, flat, whole[::-1], whole[:0], whole[:, :0], flat[3], flat[3:4], np.array(flat[3])]
    )


def test_the_dtype_counts():
    """The same bytes as another type, or the same numbers in another order of bytes, are other arrays."""
    zeros = [np.zeros(8, "i8").view(kind) for kind in ("i8", ">i8", "u8", "f8", "M8[s]", "M8[ms]", "m8[s]", "S8", "V8")]
    assert all_differ(zeros)


def test_the_padding_of_long_doubles_does_not_count():
    """Their last bytes are whatever was in memory; numbers that differ beyond a double still differ."""
    clean, dirty = np.ones(4, "g"), np.ones(4, "g")
    if np.finfo("g").nmant == 63:
        dirty.view("u1").reshape(4, -1)[:, 10:] = 7
    assert (clean == dirty).all()
    assert content_digest(dirty) == content_digest(clean)
    assert content_digest(dirty[0]) == content_digest(clean[0]) != content_digest(np.float64(1))
    if np.finfo("g").nmant > 52:
        assert content_digest(np.nextafter(clean, 2)) != content_digest(clean)


def test_what_lies_below_a_mask_does_not_count():
    """Masked arrays are compared by what can be seen of them; their fill value is part of that."""
    one = np.ma.array([1.0, 2.0], mask=[False, True])
    other = np.ma.array([1.0, 99.0], mask=[False, True])
    assert content_digest(one) == content_digest(other)
    assert all_differ(
        [one, np.ma.array([1.0, 2.0]), np.ma.array([1.0, 2.0], mask=[False, True], fill_value=5), one.data]
    )
    assert content_digest(np.ma.array([1.0])) == content_digest(np.ma.array([1.0], mask=[False]))


def test_arrays_of_objects_and_of_texts_of_any_length_count_by_their_members():
    """Not by the addresses that are in their memory."""
    one, other = (np.array([["x" * 50, (1, None)], [{1: 2}, 3]], dtype=object)[:, ::-1] for _ in range(2))
    assert content_digest(one) == content_digest(other) == content_digest(np.asfortranarray(one))
    other[0, 0] = (1, 0)
    assert content_digest(one) != content_digest(other)
    if hasattr(np.dtypes, "StringDType"):
        texts = [np.array([text, "b"], dtype=np.dtypes.StringDType()) for text in ("a" * 50, "a" * 50, "a" * 51)]
        assert content_digest(texts[0]) == content_digest(texts[1]) != content_digest(texts[2])


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(nested)
def test_sharing_does_not_count(value):
    """Whether equal parts are one object or several, at whatever depth, is not seen."""
    shared, separate = (
        [value, [value], {"k": value}],
        [copy.deepcopy(value), [copy.deepcopy(value)], {"k": copy.deepcopy(value)}],
    )
    assert content_digest(shared) == content_digest(separate)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(), min_size=1, max_size=4), st.integers(1, 3))
def test_a_cycle_is_seen_by_what_it_says(items, number):
    """Two loops with the same members are the same; one with other members, or without the loop, is not."""

    def loop(members):
        value = list(members)
        value.append([value] * number)
        return value

    assert content_digest(loop(items)) == content_digest(loop(items))
    assert all_differ([loop(items), loop([*items, 0]), [*items, [[]] * number]])


def test_a_value_is_not_the_text_that_shows_it():
    """Types are tagged at every place: as value, key, member and attribute."""
    ones = [1, 1.0, True, "1", b"1", 1 + 0j, np.int64(1), np.int32(1), np.float64(1), np.bool_(True)]
    for place in (lambda one: one, lambda one: [one], lambda one: {one: 0}, lambda one: {0: one}, lambda one: {one}):
        assert all_differ([place(one) for one in ones])


class Mode(enum.Flag):
    A = 1
    B = 2


@dataclass
class Point:
    x: object
    y: object = 0


@dataclass(slots=True, frozen=True)
class Slotted:
    x: object


@attrs.define
class Defined:
    x: object


@attrs.define(slots=False)
class Dict:
    x: object


@pytest.mark.parametrize("kind", [Point, Slotted, Defined, Dict])
def test_classes_with_fields_count_by_their_fields(kind):
    """Equal fields agree, also when they contain tables in another order; other fields and classes do not."""
    assert content_digest(kind({"a": 1, "b": {2, 3}})) == content_digest(kind({"b": {3, 2}, "a": 1}))
    assert all_differ([kind(1), kind(1.0), kind([1]), {"x": 1}, (1,)])


def test_members_of_enums_and_combined_flags_differ():
    """By class, name and value."""
    assert all_differ([Mode.A, Mode.B, Mode.A | Mode.B, Mode(0), 1, "A"])
    assert content_digest(Mode.A | Mode.B) == content_digest(Mode.B | Mode.A)


def test_exceptions_count_by_type_arguments_and_attributes():
    """Not by where they were raised, what they were raised from, and notes."""
    plain, raised, told = ValueError("a", 1), ValueError("a", 1), ValueError("a", 1)
    told.add_note("seen in the morning")
    with pytest.raises(ValueError):
        raise raised from KeyError("b")
    assert content_digest(raised) == content_digest(plain) == content_digest(told)
    coded = ValueError("a", 1)
    coded.code = 5
    groups = [ExceptionGroup("g", [plain]), ExceptionGroup("g", [KeyError()]), ExceptionGroup("h", [plain])]
    assert all_differ([plain, coded, ValueError("a", 2), TypeError("a", 1), OSError(1, "a"), OSError(2, "a"), *groups])


def test_times_count_with_their_zone():
    """The same moment in two zones is two values, since it prints, adds and compares by day differently."""
    zoneinfo = pytest.importorskip("zoneinfo")
    import datetime

    moment = datetime.datetime(2020, 6, 1, 12, tzinfo=datetime.UTC)
    try:
        there = moment.astimezone(zoneinfo.ZoneInfo("Europe/Berlin"))
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("no time zones on this machine")
    assert all_differ([moment, there, moment.replace(tzinfo=None), there.replace(fold=1)])
    assert content_digest(copy.deepcopy(there)) == content_digest(there)


def test_pydantic_models_count_by_fields_private_attributes_and_what_was_set():
    """What was set matters, because a model tells it: `exclude_unset` depends on it."""
    pydantic = pytest.importorskip("pydantic", minversion="2")

    class Model(pydantic.BaseModel):
        x: int = 1
        names: list[str] = []
        _hidden: int = pydantic.PrivateAttr(default=3)

    class Other(Model):
        pass

    hidden = Model(x=1)
    hidden._hidden = 4
    assert content_digest(Model(x=1, names=["a"])) == content_digest(Model(names=["a"], x=1))
    assert all_differ([Model(), Model(x=1), Model(x=2), Model(names=["a"]), hidden, Other()])


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"])
def test_sparse_matrices_count_by_format_and_content(kind):
    """Arrays and matrices of scipy, made again or copied, agree; another number, shape or format does not."""
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.diag([1.0, 2.0, 0.0])
    one, other = (getattr(sparse, f"{kind}_array")(dense) for _ in range(2))
    assert content_digest(one) == content_digest(other) == content_digest(one.copy())
    made = [one, getattr(sparse, f"{kind}_array")(2 * dense), getattr(sparse, f"{kind}_matrix")(dense), dense]
    assert all_differ([*made, getattr(sparse, f"{kind}_array")(dense[:2])])


def test_tensors_count_by_values_type_shape_and_gradient():
    """Strides and sharing of memory do not matter."""
    torch = pytest.importorskip("torch")
    whole = torch.arange(6.0).reshape(2, 3)
    assert content_digest(whole.T.contiguous().T) == content_digest(whole) == content_digest(whole.clone())
    assert all_differ(
        [whole, whole.T, whole.int(), whole.bfloat16(), whole.flatten(), whole.clone().requires_grad_(), whole.numpy()]
    )


def in_an_array(value):
    array = np.empty(1, dtype=object)
    array[0] = value
    return array


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}, lambda v: (v,), Point, in_an_array])
def test_any_depth_is_a_digest_or_a_refusal(wrap):
    """Never a RecursionError, nor the end of the interpreter."""
    value = 1
    for _ in range(50):
        value = wrap(value)
    assert len(content_digest(value)) == 64
    for _ in range(2_000):  # freeing many more arrays inside each other ends the interpreter, without us
        value = wrap(value)
    with pytest.raises(FingerprintError, match="nested too deeply"):
        content_digest(value)

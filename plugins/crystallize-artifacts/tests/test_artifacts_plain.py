"""Plain Python values as JSON: whatever goes in comes out, type for type, and nothing in a file is ever called."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
import subprocess
import sys
import uuid
import zoneinfo
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_artifacts import UnsuitableError
from crystallize_artifacts.materializers.plain import Plain, encoded
from crystallize_artifacts.materializers.registry import materialize
from crystallize_core import content_digest

plain = Plain()

hashable = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters()),  # lone surrogates as well
    st.binary(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.dates(),
    st.datetimes(timezones=st.one_of(st.none(), st.just(dt.UTC))),
    st.times(),
    st.timedeltas(),
    st.sampled_from([pathlib.PurePosixPath("/a/b"), pathlib.PureWindowsPath("c:\\a"), ..., range(3), 1 << 9000]),
)
keys = st.recursive(hashable, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
values = st.recursive(
    hashable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(st.sampled_from(["$int", "$tuple", "a"]), inner, max_size=3),
        st.dictionaries(keys, inner, max_size=3).map(OrderedDict),
        st.sets(hashable, max_size=4),
        st.frozensets(hashable, max_size=4),
        st.binary().map(bytearray),
    ),
    max_leaves=20,
)


@given(values)
def test_what_goes_in_comes_out(value):
    """Digests tell 1 from True, 0.0 from -0.0 and a list from a tuple."""
    restored = plain.load(plain.dump(value))
    assert content_digest(restored) == content_digest(value)
    assert type(restored) is type(value)


@given(st.dictionaries(st.text(), st.integers()))
def test_the_order_of_a_dict_is_kept(value):
    """It is content for whoever goes through it."""
    assert list(plain.load(plain.dump(value)).items()) == list(value.items())


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        dt.time(1, 2, tzinfo=dt.timezone(dt.timedelta(hours=-3), "here")),
        slice(1, None, 2),
        pathlib.Path("a/b"),
        uuid.UUID(int=5),
        Decimal("NaN"),
        Fraction(1, 3),
        float("-inf"),
        -0.0,
        {},
        {"$float": "nan"},
        {"$unknown": 1},
        [[], (), set(), frozenset(), {}],
    ],
    ids=repr,
)
def test_corners(value):
    """Time zones, ends that are not there, tables that look like ours."""
    restored = plain.load(plain.dump(value))
    assert (type(restored), content_digest(restored)) == (type(value), content_digest(value))


def test_named_time_zones():
    """By their names, with the fold that tells the two hours of the night when clocks are set back."""
    try:
        zone = zoneinfo.ZoneInfo("Europe/Berlin")
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("this system has no time zones")
    value = dt.datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=1)
    restored = plain.load(plain.dump(value))
    assert (restored, restored.fold, restored.tzinfo, restored.utcoffset()) == (value, 1, zone, value.utcoffset())


def test_numbers_and_arrays_of_numpy_inside_containers():
    """With their dtypes."""
    np = pytest.importorskip("numpy")
    value = {
        "weights": np.arange(6, dtype="f4").reshape(2, 3),
        "bias": np.float32(0.5),
        "at": np.datetime64("2024-01-01"),
    }
    restored = plain.load(plain.dump({"nested": [value]}))["nested"][0]
    assert content_digest(restored) == content_digest(value)
    assert plain.handles(np.float64(1.0))


def test_sets_are_written_the_same_in_every_process():
    """Whatever the order in which their members come."""
    code = (
        "from crystallize_artifacts.materializers.plain import Plain;"
        "print(Plain().dump({'a': set('crystallize'), 'b': frozenset(('x', 1, None))}).decode())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


class Point(NamedTuple):
    """Derived from a tuple."""

    x: int
    y: int


class Text(str):
    """Derived from a str."""

    __slots__ = ()


def contains_itself():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([object()], "a builtins.object is no plain value"),
        ({"p": Point(1, 2)}, "is no plain value"),
        ((Text("a"),), "is no plain value"),
        (contains_itself(), "it contains itself, or is nested more deeply than JSON can be"),
    ],
    ids=["object", "namedtuple", "subclass", "cycle"],
)
def test_what_is_not_plain_is_left_to_others(value, message):
    """Rather than kept as something else."""
    with pytest.raises(UnsuitableError, match=message):
        encoded(value)


def test_a_value_that_shares_its_parts_without_end_is_left_to_others(monkeypatch):
    """Written out it would have more parts than there is memory."""
    monkeypatch.setattr("crystallize_artifacts.materializers.plain.MOST_VALUES", 1000)
    value = [1]
    for _ in range(40):
        value = [value, value]
    with pytest.raises(UnsuitableError, match="it has more than 1000 parts"):
        encoded(value)
    assert materialize(value)[0].id == "pickle"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b'{"$os.system": "echo"}',
        b'{"$int": "zz"}',
        b'{"$bytes": "?"}',
        b'{"$dict": [1]}',
        b'{"$tuple": 5}',
        b'{"$set": [[1]]}',
        b'{"$timedelta": ["a"]}',
        b'{"$range": []}',
    ],
)
def test_what_it_did_not_write_is_an_error(content):
    """Never a value, and never a call."""
    with pytest.raises((ValueError, TypeError)):
        plain.load(content)


def test_the_file_is_json_that_others_can_read():
    """Plain tables look plain."""
    assert json.loads(plain.dump({"a": [1, 2.5, None, "é"]})) == {"a": [1, 2.5, None, "é"]}

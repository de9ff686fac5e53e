"""A result as JSON and back: the same values, the same digest, whatever was recorded."""

from __future__ import annotations

import array
import datetime as dt
import enum
import json
import math
import pathlib
import threading
import zoneinfo
from collections import Counter, OrderedDict, defaultdict
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core import (
    CrystallizeError,
    Experiment,
    Hypothesis,
    RemoteError,
    Result,
    StepError,
    Treatment,
    VerifierError,
)
from crystallize_core.errors import WorkerError
from crystallize_core.fingerprint import content_digest
from crystallize_core.values import Opaque, decode, encode, value_digest

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.dates()
    | st.times()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC) | st.timezones())
    | st.timedeltas()
    | st.decimals(allow_nan=True)
    | st.fractions()
)


class Colour(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: float
    y: float


class Plain:
    """An object of a class that JSON knows nothing of."""

    def __init__(self, value=1):
        self.value = value


class Nameless:
    def __str__(self):
        raise RuntimeError("no text")


objects = st.sampled_from(
    [
        Colour.RED,
        Point(1, 2.5),
        Plain(),
        Nameless(),
        OrderedDict(a=1),
        Counter("aab"),
        defaultdict(list, a=[1]),
        array.array("d", [1.5]),
        bytearray(b"abc"),
        range(3),
        pathlib.PurePosixPath("a/b"),
        Ellipsis,
        len,
        Plain,
        b"\x00",
    ]
)
hashable = st.recursive(
    scalars.filter(lambda value: not (isinstance(value, Decimal) and value.is_snan()))
    | st.sampled_from([Colour.RED, Point(1, 2), range(2)]),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
values = st.recursive(
    scalars | objects,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(hashable, max_size=4)
        | st.frozensets(hashable, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
    ),
    max_leaves=12,
)


def through_json(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value), allow_nan=False)))


def same(a: Any, b: Any) -> bool:
    """Equal, of the same type all the way down, and NaN equal to NaN."""
    return repr(a) == repr(b)


# Values -------------------------------------------------------------------------------------------


@given(values)
def test_a_value_has_one_digest_before_and_after(value):
    """Whatever was recorded, its digest is the same after it was written and read back."""
    assert content_digest(value_digest(through_json(value))) == content_digest(value_digest(value))


@given(values)
def test_what_was_read_back_is_written_the_same_way(value):
    """Writing what was read gives the same text."""
    assert encode(through_json(value)) == encode(value) or "nan" in repr(value).lower()


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.dates()
    | st.times().map(lambda time: time.replace(fold=0))
    | st.datetimes(timezones=st.none() | st.just(dt.UTC)).map(lambda time: time.replace(fold=0))
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.fractions(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(plain)
def test_values_with_a_form_come_back_as_they_were(value):
    """Numbers, texts, bytes, dates and what is made of them come back with their types."""
    assert same(through_json(value), value)


@given(
    st.sets(st.integers() | st.text(max_size=3)), st.dictionaries(st.integers() | st.booleans() | st.none(), st.text())
)
def test_sets_and_any_keys_come_back(members, table):
    """Sets, frozen sets and dictionaries whose keys are no texts come back."""
    back = through_json([members, frozenset(members), table])
    assert back == [members, frozenset(members), table]
    assert [type(item) for item in back] == [set, frozenset, dict]


def test_a_dictionary_that_looks_like_ours_comes_back():
    """Keys that start with `$` are no trap."""
    for value in ({"$tuple": [1]}, {"$opaque": {}}, {"$": 1}, {"a": {"$float": "x"}}):
        assert through_json(value) == value


def test_numbers_beyond_json_come_back():
    """NaN, infinities, negative zero and integers of ten thousand digits come back."""
    value = [math.inf, -math.inf, -0.0, 10**10_000, -(10**10_000)]
    assert through_json(value) == value
    assert math.copysign(1, through_json(-0.0)) == -1
    assert math.isnan(through_json(math.nan))


def test_arrays_come_back():
    """Numeric arrays come back with their shape and type, whatever their layout."""
    np = pytest.importorskip("numpy")
    arrays = [
        np.arange(6, dtype="int32").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6, dtype=">f4")[::2],
        np.array(3.5),
        np.empty((0, 3)),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.array([np.nan, np.inf]),
    ]
    for value in arrays:
        back = through_json(value)
        np.testing.assert_array_equal(back, value)
        assert (back.dtype, back.shape) == (value.dtype, value.shape)
        assert value_digest(back) == value_digest(value)


def test_other_arrays_keep_their_digest():
    """Arrays of objects, texts and records are kept as what they were called and their digest."""
    np = pytest.importorskip("numpy")
    for value in (np.array(["a", "b"]), np.array([object, None]), np.zeros(2, dtype=[("a", "f8")]), np.float64):
        back = through_json([value])
        assert type(back[0]) is Opaque
        assert value_digest(back) == value_digest([value])


def test_numbers_of_numpy_in_a_verdict_are_numbers():
    """A verdict holds what scipy returns; it comes back as plain numbers, with the same digest."""
    np = pytest.importorskip("numpy")
    verdict = {"p_value": np.float64(0.25), "accepted": np.bool_(True), "n": np.int64(3), "nested": (np.float32(0.5),)}
    assert through_json(verdict) == {"p_value": 0.25, "accepted": True, "n": 3, "nested": (0.5,)}
    assert value_digest(through_json(verdict)) == value_digest(verdict)


def test_what_has_no_form_is_opaque():
    """Type, text and digest stand for an object; its text may even be missing."""
    back = through_json({"a": Colour.RED, "b": Nameless()})
    assert back["a"].type == f"{__name__}.Colour"
    assert back["a"].text == "Colour.RED"
    assert back["b"].text == "<Nameless whose text cannot be shown: RuntimeError>"
    assert len(back["a"].digest) == 64


def test_something_without_content_counts_by_its_type():
    """Locks and generators have no content; two of them count as the same."""
    assert value_digest([threading.Lock()]) == value_digest([threading.Lock()])
    assert value_digest([threading.Lock()]) != value_digest([threading.Event()])
    assert value_digest(through_json([threading.Lock()])) == value_digest([threading.Lock()])


def test_a_list_that_contains_itself_is_opaque():
    """A cycle is no error."""
    cycle: list[Any] = [1]
    cycle.append(cycle)
    back = through_json(cycle)
    assert type(back) is Opaque
    assert value_digest(back) == value_digest(cycle)


def test_a_time_in_a_named_zone_is_opaque():
    """An offset is not a time zone: what JSON cannot hold is not half kept."""
    value = dt.datetime(2026, 3, 29, 1, tzinfo=zoneinfo.ZoneInfo("UTC"))
    assert type(through_json(value)) is Opaque
    fold = dt.datetime(2026, 10, 25, 2, fold=1)
    assert type(through_json(fold)) is Opaque


# Whole results ------------------------------------------------------------------------------------


def full_result(value: Any = 1) -> Result:
    """A result that has everything: tags, failures, artifacts, verdicts, broken verifiers, notes."""

    def step(data, ctx, factor=1):
        ctx.record("loss", data * factor, {"epoch": 0, "what": value})
        ctx.artifacts.add("a/file.txt", f"{data}")
        ctx.add("note", [value])
        ctx.emit("event", value=1)
        return data, {"value": value}

    def fails(data, ctx):
        if ctx["replicate"] == 1 and ctx["condition"] == "double":
            raise ValueError("one fails")
        return data

    def verifier(baseline, treatment):
        return {"p_value": 0.5, "n": len(baseline["loss"]), "set": {1, 2}}

    def broken(baseline, treatment):
        raise RuntimeError("broken")

    return Experiment(
        lambda ctx: ctx["replicate"],
        [step, fails],
        name="full",
        description="text",
        initial_ctx={"factor": 1},
        treatments=[Treatment("double", {"factor": 2}, override=True), Treatment("same", {"other": object})],
        hypotheses=[Hypothesis(verifier, "loss", name="good"), Hypothesis(broken, "loss", name="bad")],
        replicates=3,
        autoload=False,
    ).run(provenance="all")


@given(values)
def test_a_whole_result_keeps_its_digest(value):
    """A result with this value as metric, tag and addition has the same digest and text after a round trip."""

    def step(data):
        return data, {"value": value}

    result = Experiment(lambda ctx: 0, [step], autoload=False).run()
    back = Result.from_json(result.to_json())
    assert back.digest == result.digest
    assert back.to_dict() == json.loads(result.to_json())


def test_everything_comes_back():
    """Values, tags, failed cells, verdicts, errors, artifacts, provenance and the record are all there again."""
    result = full_result()
    back = Result.from_json(result.to_json())
    assert list(back.rows()) == list(result.rows())
    assert back.metrics.treatments["double"].failed == (1,)
    assert back.metrics.baseline.metrics == result.metrics.baseline.metrics
    assert [(h.name, h.results, h.ranking, h.replicates) for h in back.metrics.hypotheses] == [
        (h.name, h.results, h.ranking, h.replicates) for h in result.metrics.hypotheses
    ]
    assert list(back.errors) == list(result.errors) == ["double_rep_1"]
    assert [(a.replicate, a.condition, a.step, a.name, a.digest, a.size) for a in back.artifacts] == [
        (a.replicate, a.condition, a.step, a.name, a.digest, a.size) for a in result.artifacts
    ]
    assert set(back.provenance) == {"baseline", "double", "same"}
    assert back.provenance["baseline"][0][0]["step"] == "step"
    assert back.run.info == result.run.info
    assert back.run.overrides == {"double": ("factor",)}
    assert back.run.timings == result.run.timings
    assert back.digest == result.digest
    assert str(back) == str(result)


def test_errors_come_back_with_class_address_and_cause():
    """An error is of its class again; its cause is kept as name and text."""
    result = full_result()
    back = Result.from_json(result.to_json())
    error = back.errors["double_rep_1"]
    assert type(error) is StepError
    assert str(error) == str(result.errors["double_rep_1"])
    assert error.address == {"experiment": "full", "replicate": 1, "condition": "double", "step": "fails"}
    assert type(error.__cause__) is RemoteError
    assert str(error.__cause__) == "ValueError: one fails"
    bad = back.get_hypothesis("bad").errors["double"]
    assert type(bad) is VerifierError
    assert str(bad) == ("the verifier 'broken' failed: RuntimeError: broken [hypothesis 'bad', condition 'double']")


def test_a_foreign_error_comes_back_by_name():
    """An error of an unknown class becomes a `RemoteError` with its name and text."""
    data = full_result().to_dict()
    data["errors"]["double_rep_1"] = {"type": "Exception", "message": "text", "address": {}, "cause": None}
    assert str(Result.from_dict(data).errors["double_rep_1"]) == "Exception: text"
    assert isinstance(WorkerError("a"), CrystallizeError)


def test_to_dict_holds_plain_values_only():
    """`to_dict` needs nothing but JSON."""
    result = full_result()
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()


def test_a_file_is_written_whole(tmp_path):
    """`to_json(path)` leaves the file and nothing beside it; `from_json` reads it by path or text."""
    result = full_result()
    path = tmp_path / "result.json"
    assert result.to_json(path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert Result.from_json(path).digest == Result.from_json(str(path)).digest == result.digest


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    """A result that fails to be written leaves what was there, and nothing half written."""
    path = tmp_path / "result.json"
    path.write_text("old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        full_result().to_json(tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "result.json"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{", "no result can be read from this text: "),
        ("{}", "this is not a result: it has no 'format'"),
        ('{"format": 99}', "this result has format 99, and this version reads 1: pip install -U crystallize-core"),
        ('{"format": 1}', "this is not a result: it has no 'metrics'"),
        ('{"format": 1, "metrics": 5}', "this is not a result: "),
        ("no-such-file.json", "no result can be read from no-such-file.json: "),
    ],
)
def test_what_is_no_result_is_refused(source, message, tmp_path, monkeypatch):
    """Broken text, other JSON, other versions and missing files are refused with the reason."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CrystallizeError) as caught:
        Result.from_json(source)
    assert str(caught.value).startswith(message)

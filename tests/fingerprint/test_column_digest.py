"""The digest of columns of tables: by their values, whatever the chunks, the storage and what lies below what is missing."""

from __future__ import annotations

import datetime
import math
import subprocess
import sys

import pytest

from crystallize_core.fingerprint import content_digest

VALUES = {
    "int64": [1, None, 3, 4], "uint8": [1, None, 3, 4], "float": [1.5, None, 3.5, -0.0], "double": [0.5, None, 2.5, 1.0],
    "string": ["a", None, "", "éa"], "large_string": ["a", None, "", "éa"], "binary": [b"a", None, b"", b"\xff"],
    "bool": [True, None, False, False], "date32": [datetime.date(2020, 1, 1), None, datetime.date(2021, 1, 1), None],
    "timestamp": [datetime.datetime(2020, 1, 1), None, datetime.datetime(2021, 1, 1), None],
    "decimal": [1, None, 3, 4], "list": [[1], None, [], [None, 2]], "dictionary": ["a", None, "", ""],
    "struct": [{"x": 1}, None, {"x": None}, {"x": 2}], "null": [None, None, None, None],
}  # fmt: skip


def arrow_type(name):
    pa = pytest.importorskip("pyarrow")
    made = {
        "timestamp": lambda: pa.timestamp("us"), "decimal": lambda: pa.decimal128(10, 2), "list": lambda: pa.list_(pa.int64()),
        "dictionary": lambda: pa.dictionary(pa.int8(), pa.string()), "struct": lambda: pa.struct({"x": pa.int64()}),
        "float": pa.float32, "double": pa.float64, "bool": pa.bool_,
    }  # fmt: skip
    return pa, (made[name] if name in made else getattr(pa, name))()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", VALUES)
def test_arrow_columns_count_by_their_values(name, full):
    """Chunks, empty chunks, slices and what lies below a null do not matter; the values, their order and the nulls do."""
    pa, kind = arrow_type(name)
    values = [value for value in VALUES[name] if value is not None] if full else VALUES[name]
    whole = pa.array(values, kind)
    sliced = pa.array([values[0] if values else None, *values, None], kind).slice(1, len(values))
    chunks = [pa.chunked_array(parts, kind) for parts in ([whole], [whole[:1], whole[1:1], whole[1:]], [sliced])]
    assert content_digest(sliced) == content_digest(whole)
    assert len({content_digest(chunked) for chunked in chunks}) == 1
    others = [whole, chunks[0], whole[1:], pa.array([*values, None], kind)]
    if name != "null":
        others.append(pa.array(values[::-1], kind))
    if values:
        assert len({content_digest(other) for other in others}) == len(others)


def test_the_types_of_arrow_columns_count():
    """The same values of another type are another column."""
    pa = pytest.importorskip("pyarrow")
    arrays = [
        pa.array([1, 0], kind) for kind in ("int8", "uint8", "int32", "float", "date32", "time32[s]", "timestamp[s]")
    ]
    arrays += [pa.array([True, False]), pa.array(["ab", "c"]), pa.array(["a", "bc"]), pa.array([b"ab", b"c"])]
    arrays += [pa.array(["ab", "c"], "large_string"), pa.array([None, "c"]), pa.array(["", "c"])]
    assert len({content_digest(array) for array in arrays}) == len(arrays)


def test_what_lies_below_a_null_does_not_count():
    """Arrow leaves whatever was there in the memory below a null."""
    pa = pytest.importorskip("pyarrow")
    valid = pa.py_buffer(bytes([0b01]))
    one, other = (
        pa.Array.from_buffers(pa.int8(), 2, [valid, pa.py_buffer(bytes([1, garbage]))]) for garbage in (0, 99)
    )
    assert one.equals(other)
    assert content_digest(one) == content_digest(other)


POLARS = {
    "Int64": [1, None, 3], "UInt8": [1, None, 3], "Int128": [1, None, 2**100], "Float32": [0.5, None, math.inf],
    "String": ["a", None, "é"], "Categorical": ["a", None, "b"], "Binary": [b"a", None, b""], "Boolean": [True, None, False],
    "Date": [datetime.date(2020, 1, 1), None, datetime.date(2021, 1, 1)], "Time": [datetime.time(1), None, datetime.time(2)],
    "Datetime": [datetime.datetime(2020, 1, 1), None, datetime.datetime(2021, 1, 1)], "List": [[1], None, []],
    "Duration": [datetime.timedelta(1), None, datetime.timedelta(2)], "Struct": [{"x": 1}, None, {"x": 2}],
}  # fmt: skip


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", POLARS)
def test_polars_columns_count_by_their_values(name, full):
    """Chunks and slices do not matter; values, order, nulls and the name do."""
    pl = pytest.importorskip("polars")
    values = [value for value in POLARS[name] if value is not None] if full else POLARS[name]
    kind = {"List": pl.List(pl.Int64), "Struct": pl.Struct({"x": pl.Int64})}.get(name) or getattr(pl, name)
    whole = pl.Series("n", values, kind)
    chunked = pl.concat([whole[:1], whole[1:1], whole[1:]], rechunk=False)
    assert chunked.n_chunks() > 1
    assert content_digest(chunked) == content_digest(whole) == content_digest(pl.concat([whole, whole])[: len(values)])
    others = [whole, whole[1:], whole.reverse(), whole.rename("m"), pl.Series("n", [*values, None], kind)]
    assert len({content_digest(other) for other in others}) == len(others)


def test_categories_of_polars_do_not_depend_on_those_before():
    """The numbers below the categories differ between processes; their texts do not."""
    pl = pytest.importorskip("polars")
    before = content_digest(pl.Series(["a", "b"], dtype=pl.Categorical))
    assert content_digest(pl.Series(["z", "b", "a"], dtype=pl.Categorical)) != before
    assert content_digest(pl.Series(["z", "a", "b"], dtype=pl.Categorical)[1:]) == before


WITHOUT_NUMPY = """
import sys
if sys.argv[1] == "hidden":
    sys.modules["numpy"] = None
from crystallize_core.fingerprint import content_digest
import polars as pl
print([content_digest(pl.Series([1, None, 2], dtype=kind)) for kind in (pl.Int8, pl.UInt64, pl.Float32)])
print(content_digest(pl.Series(["a", None])))
import pyarrow as pa
print([content_digest(pa.array([1, 2, 3], kind)) for kind in ("int8", "uint64", "float")])
"""


def test_what_else_is_imported_does_not_matter():
    """A column has the same digest in a process in which numpy was not imported, or cannot be."""
    pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    found = set()
    for numpy in ("there", "hidden"):
        run = [sys.executable, "-c", WITHOUT_NUMPY, numpy]
        found.add(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


@pytest.mark.parametrize("kind", ["str", "string"])
def test_the_storage_of_pandas_texts_does_not_matter(kind):
    """Texts that pandas keeps itself and those that it leaves to Arrow are the same texts."""
    pd = pytest.importorskip("pandas", minversion="3")
    pytest.importorskip("pyarrow")
    missing = {"str": math.nan, "string": pd.NA}[kind]
    made = [
        pd.array(["a", None, "", "é"], dtype=pd.StringDtype(storage, na_value=missing))
        for storage in ("python", "pyarrow")
    ]
    assert content_digest(made[0]) == content_digest(made[1])
    assert content_digest(made[0][::2]) == content_digest(made[1][::2])
    assert content_digest(made[0][[0, 2, 3]]) == content_digest(made[1][[0, 2, 3]])
    assert content_digest(made[0][:0]) == content_digest(made[1][:0])
    others = [
        pd.array(values, dtype=made[0].dtype) for values in (["a", "", None, "é"], ["a", "", "", "é"], ["a", None])
    ]
    assert len({content_digest(value) for value in [made[0], *others]}) == len(others) + 1


@pytest.mark.parametrize(
    "kind", ["Int64", "UInt8", "Float32", "boolean", "int64[pyarrow]", "string", "object", "category"]
)
def test_pandas_columns_count_by_their_values(kind):
    """Equal columns agree, also as slices; values, missing ones, order, dtype, name and index make a difference."""
    pd = pytest.importorskip("pandas")
    if "pyarrow" in kind:
        pytest.importorskip("pyarrow")
    values = (
        [True, None, False]
        if kind == "boolean"
        else ["a", None, "b"]
        if kind in {"string", "object", "category"}
        else [1, None, 2]
    )
    whole = pd.Series(values, dtype=kind)
    longer = pd.Series([*values, values[0]], dtype=kind)[:3]
    assert content_digest(longer) == content_digest(whole) == content_digest(whole.copy())
    others = [whole, whole[::-1].reset_index(drop=True), whole.rename("m"), whole[:2], whole.set_axis([1, 2, 3])]
    others += [pd.Series([values[0], values[0], values[2]], dtype=whole.dtype), pd.Series(values)]
    digests = {content_digest(other) for other in others}
    assert len(digests) == len(others) - (pd.Series(values).dtype == whole.dtype)


def test_frames_count_by_columns_names_and_index():
    """Whether a frame was made of one block or of many does not matter; names, levels, order and attributes do."""
    pd = pytest.importorskip("pandas")
    one = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=["a", "b"])
    many = pd.DataFrame({"a": [1.0, 3.0]})
    many["b"] = [2.0, 4.0]
    assert content_digest(one) == content_digest(many)
    named, noted = one.rename_axis("i"), one.copy()
    noted.attrs["unit"] = "m"
    others = [
        one,
        one[["b", "a"]],
        named,
        named.rename_axis("j"),
        noted,
        one.astype("float32"),
        one.set_index(["a", "b"]),
    ]
    others += [
        one.set_index(["a"]),
        one[:0],
        one.T,
        one.set_axis(pd.MultiIndex.from_tuples([("a", 1), ("b", 1)]), axis=1),
    ]
    others += [one.set_axis(pd.to_datetime(["2020", "2021"])), one.set_axis(pd.to_datetime(["2020", "2021"], utc=True))]
    assert len({content_digest(other) for other in others}) == len(others)

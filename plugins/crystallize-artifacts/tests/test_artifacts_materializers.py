"""Values of libraries as bytes and back: by the closest format, exactly, the same bytes each time, or by another one."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import warnings
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_artifacts import UnsuitableError, register_materializer
from crystallize_artifacts.materializers.packing import packed, unpacked
from crystallize_artifacts.materializers.registry import BUILT_IN, by_id, executes_code, materialize
from crystallize_core import ArtifactError, DefinitionError, content_digest


def kept(value):
    """The id of the materializer that took the value, after everything that has to hold was checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        materializer, content = materialize(value)
        restored = by_id(materializer.id, 1).load(content)
    assert type(restored) is type(value)
    assert content_digest(restored) == content_digest(value)
    if materializer.id != "pickle":  # objects decide themselves how they are pickled
        assert materialize(value) == (materializer, content)
    return materializer.id


# --- bytes and text -------------------------------------------------------------------------------------------


@given(st.one_of(st.binary(), st.text()))
def test_bytes_and_text_are_files_as_they_are(value):
    """Any editor shows them."""
    materializer, content = materialize(value)
    assert content == (value if isinstance(value, bytes) else value.encode())
    assert materializer.suffix == (".bin" if isinstance(value, bytes) else ".txt")
    assert materializer.load(content) == value


def test_text_that_is_no_unicode_is_json():
    """Half a surrogate pair, from a broken file name, say."""
    assert kept("\udcff") == "plain.json"


def test_packed_files_do_not_know_the_time():
    """The same content gives the same bytes."""
    content = packed({"a/b": b"1", "../c": b""})
    assert content == packed({"a/b": b"1", "../c": b""})
    assert unpacked(content) == {"a/b": b"1", "../c": b""}
    assert {about.date_time[0] for about in zipfile.ZipFile(io.BytesIO(content)).infolist()} == {1980}


# --- numpy ----------------------------------------------------------------------------------------------------

DTYPES = ["?", "i1", "<i4", ">i8", "u2", "<f2", "<f8", ">f4", "<c16", "S3", "<U2", "M8[ns]", "m8[s]"]


@given(st.data())
def test_arrays_of_any_dtype_and_shape(data):
    """As .npy, with NaNs, byte order and empty sides."""
    np = pytest.importorskip("numpy")
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=3)))
    size = int(np.prod(shape)) * dtype.itemsize
    if dtype.kind == "U":
        array = np.array(data.draw(st.lists(st.text("ab\0é", max_size=2), min_size=1)), dtype=dtype)
    elif dtype.kind == "b":
        array = np.array(np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), "u1").reshape(shape) > 100)
    else:
        array = np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), dtype).reshape(shape)
    assert kept(array) == "numpy.npy"


def test_arrays_with_fields_and_in_any_order_of_memory():
    """Structured ones, transposed ones, slices, and a name that latin-1 does not have."""
    np = pytest.importorskip("numpy")
    whole = np.arange(24.0).reshape(4, 6)
    found = [
        kept(array) for array in (np.zeros(2, [("a", "i4"), ("日", "f8")]), whole.T, whole[::2, ::-1], np.array(5))
    ]
    assert found == ["numpy.npy"] * 4
    restored = materialize(whole.T)[0].load(materialize(whole.T)[1])
    assert restored.flags.f_contiguous


def test_arrays_without_an_exact_form_are_pickled():
    """Objects, masks, and a header that reading would refuse."""
    np = pytest.importorskip("numpy")
    wide = np.zeros(1, [(f"a field with a long name {number}", "f8") for number in range(1000)])
    for array in (np.array([1, "a"], dtype=object), np.ma.array([1, 2], mask=[True, False]), wide):
        assert kept(array) == "pickle"


def test_a_pickle_inside_of_an_array_file_is_refused():
    """The format allows it, and reading it would run code."""
    np = pytest.importorskip("numpy")
    buffer = io.BytesIO()
    np.save(buffer, np.array([object()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        by_id("numpy.npy", 1).load(buffer.getvalue())


@given(st.dictionaries(st.text(), st.lists(st.integers(-5, 5), max_size=3), min_size=1, max_size=4))
def test_several_arrays_by_name_or_position(table):
    """As .npz, whatever the names, in their order."""
    np = pytest.importorskip("numpy")
    arrays = {name: np.array(values, dtype="i8") for name, values in table.items()}
    assert kept(arrays) == kept(list(arrays.values())) == kept(tuple(arrays.values())) == "numpy.npz"
    materializer, content = materialize(arrays)
    assert list(materializer.load(content)) == list(arrays)


def test_numpy_itself_reads_several_arrays():
    """It is an ordinary .npz."""
    np = pytest.importorskip("numpy")
    with np.load(io.BytesIO(materialize((np.arange(3), np.ones(2)))[1]), allow_pickle=False) as found:
        assert [found[name].tolist() for name in ("0", "1")] == [[0, 1, 2], [1.0, 1.0]]


def test_numbers_of_numpy_are_plain():
    """But for its texts, which lose zeros at their end."""
    np = pytest.importorskip("numpy")
    assert [kept(value) for value in (np.float32(0.1), np.int64(1), np.datetime64("2024-01-01"))] == ["plain.json"] * 3
    assert kept(np.str_("a")) == "pickle"


# --- tables ---------------------------------------------------------------------------------------------------


def frames():
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    with_attributes = pd.DataFrame({"a": [1]})
    with_attributes.attrs["unit"] = "m"
    many = pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["x", None])
    return {
        "columns of many types": pd.DataFrame(
            {
                "a": [1, 2],
                "b": ["x", None],
                "c": pd.Categorical(["u", "v"], ["v", "u", "w"], ordered=True),
                "d": pd.to_datetime(["2020-01-01", None]).tz_localize("UTC"),
                "e": pd.array([1, None], dtype="Int8"),
                "f": [0.5, float("nan")],
            },
            index=pd.Index(["r", "s"], name="row"),
        ),
        "numbered columns": pd.DataFrame([[1.0, 2.0], [3.0, 4.0]]),
        "many levels": pd.DataFrame({"a": [1, 2]}, index=many),
        "regular dates": pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2020", periods=2)),
        "attributes": with_attributes,
        "nothing": pd.DataFrame(),
        "named columns": pd.DataFrame({"a": [1]}).rename_axis(columns="metric"),
    }


def test_frames_of_pandas_are_parquet():
    """With dtypes, index, names and attributes."""
    assert {name: kept(frame) for name, frame in frames().items()} == dict.fromkeys(frames(), "pandas.parquet")


def test_frames_that_parquet_would_change_are_pickled():
    """Mixed objects, whole numbers kept as objects, and two columns of one name."""
    pd = pytest.importorskip("pandas")
    for frame in (
        pd.DataFrame({"a": [1, "x"]}),
        pd.DataFrame({"a": pd.Series([1, 2], dtype=object)}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
    ):
        assert kept(frame) == "pickle"


def test_series_of_pandas_are_parquet():
    """Whatever their name."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    found = [pd.Series([1, 2], name=name, index=[5, 6]) for name in (None, "a", 3, ("a", 1))]
    assert [kept(series) for series in found] == ["pandas.series"] * 4


@given(st.data())
def test_frames_of_any_values(data):
    """Exactly, by whichever format can."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rows = data.draw(st.integers(0, 4))
    cells = st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.booleans(), st.dates())
    columns = data.draw(
        st.dictionaries(st.one_of(st.text(), st.integers()), st.lists(cells, min_size=rows, max_size=rows), max_size=3)
    )
    assert kept(pd.DataFrame(columns)) in ("pandas.parquet", "pickle")


def test_frames_of_a_derived_class_are_left_to_pickle():
    """They know more than Parquet keeps; this one is local, so that pickle declines as well."""
    pd = pytest.importorskip("pandas")

    class Located(pd.DataFrame):
        pass

    with pytest.raises(UnsuitableError, match=r"^pickle: it cannot be pickled"):
        materialize(Located({"a": [1]}))


def test_polars():
    """Frames and series as Arrow files."""
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [[1], [2, 3]], "d": [0.5, float("nan")]})
    assert kept(frame) == "polars.ipc"
    series = [
        pl.Series("n", [1.0, 2.0]),
        pl.Series("e", ["a"], dtype=pl.Enum(["a", "b"])),
        pl.Series("", [], dtype=pl.Int8),
    ]
    assert [kept(found) for found in series] == ["polars.series"] * 3


def test_polars_objects_have_no_form():
    """The message says who was asked and why each declined."""
    pl = pytest.importorskip("polars")
    with pytest.raises(
        UnsuitableError, match=r"(?s)polars.ipc: Arrow cannot hold this DataFrame: .*; pickle: it cannot be"
    ):
        materialize(pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}))


def test_arrow_tables():
    """With schema, metadata and chunks; a batch of rows is pickled."""
    pa = pytest.importorskip("pyarrow")
    table = pa.concat_tables([pa.table({"a": [1, None]}), pa.table({"a": [3]})]).replace_schema_metadata({"k": "v"})
    assert kept(table) == "arrow.ipc"
    materializer, content = materialize(table)
    assert materializer.load(content).column("a").num_chunks == 2
    assert kept(pa.record_batch({"a": [1]})) == "pickle"


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("shape", ["array", "matrix"])
def test_sparse(kind, shape):
    """In the formats that scipy writes."""
    np, sparse = pytest.importorskip("numpy"), pytest.importorskip("scipy.sparse")
    assert kept(getattr(sparse, f"{kind}_{shape}")(np.eye(4))) == "scipy.sparse"


def test_sparse_in_formats_that_scipy_does_not_write():
    """As pickles."""
    np, sparse = pytest.importorskip("numpy"), pytest.importorskip("scipy.sparse")
    assert kept(sparse.lil_array(np.eye(2))) == "pickle"


# --- estimators and tensors -----------------------------------------------------------------------------------


def fitted():
    np = pytest.importorskip("numpy")
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = np.arange(20.0).reshape(10, 2)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(data, [0, 1] * 5), data


def test_estimators_are_kept_by_skops():
    """Fitted, without a pickle, and with the same predictions."""
    pytest.importorskip("skops")
    model, data = fitted()
    assert kept(model) == "sklearn.skops"
    materializer, content = materialize(model)
    assert (materializer.load(content).predict_proba(data) == model.predict_proba(data)).all()


def test_estimators_give_the_same_bytes_in_every_process():
    """Skops itself writes addresses in memory and the time."""
    pytest.importorskip("skops")
    code = (
        "import numpy as np, hashlib; from sklearn.linear_model import Ridge;"
        "from crystallize_artifacts.materializers.registry import materialize;"
        "m, c = materialize(Ridge().fit(np.eye(3), [1., 2., 3.])); print(m.id, hashlib.sha256(c).hexdigest())"
    )
    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(found) == 1
    assert next(iter(found)).startswith("sklearn.skops ")


def test_estimators_that_skops_does_not_trust_are_pickled():
    """Trees can crash the process that uses a forged one."""
    np = pytest.importorskip("numpy")
    pytest.importorskip("sklearn")
    from sklearn.tree import DecisionTreeClassifier

    assert kept(DecisionTreeClassifier(random_state=0).fit(np.eye(2), [0, 1])) == "pickle"


def test_tensors_and_states():
    """Flat tables as safetensors, others as states that are read without running code, modules with their class."""
    torch = pytest.importorskip("torch")
    flat = {"b": torch.arange(3), "a": torch.ones(2, 2)}
    state = torch.nn.Linear(2, 1).state_dict()
    for value in (flat, flat["b"], state, {"state": state, "epoch": 3}, torch.ones(2, requires_grad=True)):
        materializer, content = materialize(value)
        assert executes_code(materializer) is False
        assert content_digest(materializer.load(content)) == content_digest(value)
        assert materialize(value)[1] == content
    module = torch.nn.Linear(2, 1)
    materializer, content = materialize(module)
    assert (materializer.id, executes_code(materializer)) == ("torch.module", True)
    assert torch.equal(materializer.load(content).weight, module.weight)
    weights = torch.load(io.BytesIO(unpacked(content)["state.pt"]), weights_only=True)
    assert torch.equal(weights["weight"], module.weight)


def test_the_head_of_safetensors_is_where_we_look_for_it():
    """The file format is the same whatever made the arrays."""
    np, safetensors = pytest.importorskip("numpy"), pytest.importorskip("safetensors.numpy")
    from crystallize_artifacts.materializers.tensors import _metadata

    assert _metadata(safetensors.save({"a": np.ones(2)}, {"k": "v"})) == {"k": "v"}
    assert _metadata(safetensors.save({"a": np.ones(2)})) == {}


# --- which one ------------------------------------------------------------------------------------------------


class Shape:
    """A type of a user's own."""

    def __init__(self, sides):
        self.sides = sides


class Square(Shape):
    """Derived from it."""


class Sides:
    """A materializer for shapes."""

    suffix = ".sides"
    executes_code = False

    def __init__(self, name="test.sides", kind=Shape):
        self.id, self.kind = name, kind

    def handles(self, value):
        return isinstance(value, Shape) and value.sides != 0

    def dump(self, value):
        if value.sides < 0:
            raise UnsuitableError("it is inside out")
        return b"%d" % value.sides

    def load(self, content):
        return self.kind(int(content))


@pytest.fixture
def sides():
    undo = register_materializer(Shape, Sides())
    yield
    undo()


def chosen(value):
    return materialize(value)[0].id


def test_a_registered_type_comes_before_all_that_is_built_in(sides):
    """For its subclasses too, until it is taken back."""
    assert (chosen(Shape(3)), chosen(Square(4))) == ("test.sides", "test.sides")
    materializer, content = materialize(Shape(3))
    assert by_id("test.sides", 1).load(content).sides == 3
    assert materializer.suffix == ".sides"


def test_the_closest_class_wins(sides):
    """Whatever was registered first."""
    undo = register_materializer(Square, Sides("test.squares", Square))
    assert (chosen(Shape(3)), chosen(Square(4))) == ("test.sides", "test.squares")
    undo()
    assert chosen(Square(4)) == "test.sides"


def test_one_that_declines_leaves_it_to_the_next(sides):
    """Before it tries, or when it finds out."""
    assert (chosen(Shape(0)), chosen(Shape(-1))) == ("pickle", "pickle")


def test_a_builtin_type_can_be_registered_too():
    """By its name, and as a decorator of the class."""

    @register_materializer("builtins.bytes")
    class Backwards:
        id = "test.backwards"
        suffix = ".bin"

        def handles(self, value):
            return True

        def dump(self, value):
            return value[::-1]

        def load(self, content):
            return content[::-1]

    try:
        assert materialize(b"abc")[1] == b"cba"
        assert executes_code(Backwards()) is True
    finally:
        register_materializer("builtins.bytes", Backwards())()
        from crystallize_artifacts.materializers import registry

        registry._registered.pop("builtins.bytes", None)
    assert materialize(b"abc")[1] == b"abc"


def test_undoing_puts_back_what_was_there(sides):
    """And leaves alone what somebody else registered since."""
    first = register_materializer(Shape, Sides("test.other"))
    second = register_materializer(Shape, Sides("test.third"))
    first()
    assert chosen(Shape(3)) == "test.third"
    second()
    assert chosen(Shape(3)) == "test.other"
    first()
    assert chosen(Shape(3)) == "test.sides"


class Bad:
    """Nothing of it is right."""

    id = "pickle"
    suffix = "a/b"
    format_version = "1"


def test_what_is_no_materializer_is_refused_all_at_once():
    """With everything that is wrong."""
    with pytest.raises(DefinitionError) as caught:
        register_materializer(Shape, Bad())
    assert str(caught.value) == (
        "Bad cannot be registered as a materializer: it has no method handles(); it has no method dump(); it has no "
        "method load(); its suffix must be a str such as '.csv', found 'a/b'; its id 'pickle' is that of "
        "crystallize_artifacts.materializers.pickled.Pickled; its format_version must be an int of at least 1, found '1'"
    )
    with pytest.raises(DefinitionError, match=r"it is to be for a type or its name 'module.Qualname', found int"):
        register_materializer(5, Sides())


def test_a_dump_that_is_no_bytes_is_an_error(sides):
    """Its author hears of it."""

    class Wrong(Sides):
        def dump(self, value):
            return "text"

    undo = register_materializer(Square, Wrong("test.wrong"))
    with pytest.raises(TypeError, match=r"its dump\(\) must return bytes, found str"):
        materialize(Square(4))
    undo()


def test_what_nothing_can_hold():
    """A lock, say."""
    with pytest.raises(UnsuitableError, match="pickle: it cannot be pickled"):
        materialize(threading.Lock())


def test_unknown_and_newer_formats():
    """With what is known, and what to do."""
    with pytest.raises(
        ArtifactError, match=r"in the format 'numpy.npi', which nothing here reads: .* did you mean 'numpy.npz'"
    ):
        by_id("numpy.npi", 1)
    with pytest.raises(ArtifactError, match=r"version 7 of the format 'text', and what is installed reads 1: update"):
        by_id("text", 7)


def test_ids_are_for_ever():
    """Files that were written name them, so that this list only grows."""
    assert [materializer.id for materializer in BUILT_IN] == [
        "bytes",
        "text",
        "numpy.npy",
        "numpy.npz",
        "pandas.parquet",
        "pandas.series",
        "polars.ipc",
        "polars.series",
        "arrow.ipc",
        "scipy.sparse",
        "torch.safetensors",
        "torch.state",
        "torch.module",
        "sklearn.skops",
        "plain.json",
        "pickle",
    ]
    assert [m.id for m in BUILT_IN if executes_code(m)] == ["torch.module", "pickle"]


def test_importing_and_choosing_imports_no_library():
    """The types of a library are known only where it has been imported by somebody else."""
    code = (
        "import sys, json, crystallize_artifacts;"
        "from crystallize_artifacts.materializers.registry import materialize;"
        "materialize({'a': [1, (2,)]}); materialize(b'x');"
        "print(json.dumps(sorted({'numpy','pandas','polars','pyarrow','scipy','sklearn','skops','torch'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []

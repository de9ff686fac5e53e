"""Assets: a value with a name, a version and metadata, compared by content and shown in one line."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest

from crystallize_core import Asset, DefinitionError, content_digest


class Report(Asset):
    """A type of its own, without anything else."""


class Scored(Asset):
    """A type with a constructor and a field of its own."""

    def __init__(self, data, score, **fields):
        super().__init__(data, **fields)
        self.score = score


class Lazy(Asset):
    """A type that forgets the constructor of its base."""

    def __init__(self):
        self.own = 1


class Loud:
    """Nothing of it can be looked at."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __len__(self):
        raise RuntimeError("no length")

    def __getattr__(self, name):
        if name.startswith("__"):  # pytest looks for a name
            raise AttributeError(name)
        raise RuntimeError(f"no {name}")


def fields(asset):
    return asset.data, asset.name, asset.version, dict(asset.metadata)


def test_data_comes_first_and_keywords_join_the_metadata():
    """`Report(value, name=..., anything=...)`."""
    asset = Report([1, 2], "sales", version="3", metadata={"unit": "EUR"}, year=2024)
    assert fields(asset) == ([1, 2], "sales", "3", {"unit": "EUR", "year": 2024})
    assert fields(Report()) == (None, None, None, {})


def test_create_says_everything_by_name():
    """The same as the constructor, and of the class that was asked."""
    made = Report.create(data=5, name="five", origin="hand")
    assert made == Report(5, "five", origin="hand")
    assert type(Scored.create(data=1, score=2)) is Scored


def test_an_asset_cannot_be_changed():
    """Neither its fields nor its metadata, and not through what it was made of."""
    given = {"a": 1}
    asset = Report(1, metadata=given)
    given["a"] = 2
    for name in ("data", "name", "version", "metadata"):
        with pytest.raises(AttributeError):
            setattr(asset, name, "other")
    with pytest.raises(TypeError):
        asset.metadata["a"] = 3
    assert dict(asset.metadata) == {"a": 1}


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"name": 3}, ["name must be a non-empty str, found int 3"]),
        ({"name": ""}, ["name must be a non-empty str, found str ''"]),
        ({"version": 1.5}, ["version must be a non-empty str, found float 1.5"]),
        ({"metadata": [1]}, ["metadata must be a mapping of names to values, found list <list of 1>"]),
        ({"metadata": {1: 2, (): 3}}, ["metadata key 1 must be a str", "metadata key <tuple of 0> must be a str"]),
        ({"metadata": {"a": 1}, "a": 2}, ["metadata 'a' is said twice, in metadata= and as a keyword"]),
        (
            {"name": Loud(), "version": b"1"},
            ["name must be a non-empty str, found Loud <Loud>", "version must be a non-empty str, found bytes b'1'"],
        ),
    ],
)
def test_what_is_wrong_is_said_all_at_once(options, problems):
    """With the class, the field, what was found and what was expected."""
    with pytest.raises(DefinitionError) as caught:
        Report(1, **options)
    assert str(caught.value) == f"Report: {'; '.join(problems)}"


def test_named_gives_a_name_only_where_there_is_none():
    """A copy that shares the data; the original stays as it was."""
    asset = Scored([1], 0.5)
    named = asset.named("first")
    assert (asset.name, named.name, named.score) == (None, "first", 0.5)
    assert named.data is asset.data
    assert named.named("second") is named
    with pytest.raises(DefinitionError, match="Scored: name must be a non-empty str, found str ''"):
        asset.named("")


def test_a_type_that_forgets_the_constructor_is_empty():
    """Its fields have their defaults instead of raising."""
    assert fields(Lazy()) == (None, None, None, {})
    assert repr(Lazy()) == "Lazy(None)"
    assert Lazy().named("x") == Lazy().named("x")


def test_equal_is_what_has_the_same_class_and_content():
    """Every field counts, and so does what a subclass adds."""
    same = [Report([1.0], "a", "1", {"k": {1}}), Report([1.0], "a", "1", {"k": {1}})]
    others = [
        Asset([1.0], "a", "1", {"k": {1}}),
        Report([2.0], "a", "1", {"k": {1}}),
        Report([1.0], "b", "1", {"k": {1}}),
        Report([1.0], "a", "2", {"k": {1}}),
        Report([1.0], "a", "1", {"k": {2}}),
    ]
    assert same[0] == same[1]
    assert hash(same[0]) == hash(same[1])
    assert [same[0] == other for other in others] == [False] * 5
    assert Scored(1, 2) != Scored(1, 3)
    assert Report(1) != 1


def test_what_has_no_content_equals_itself_only():
    """A lock, say."""
    lock = threading.Lock()
    asset = Report(lock)
    assert asset == asset  # noqa: PLR0124 - that is the question
    assert asset != Report(lock)


def test_arrays_are_compared_as_a_whole():
    """Not element by element."""
    np = pytest.importorskip("numpy")
    assert Report(np.arange(3)) == Report(np.arange(3))
    assert Report(np.arange(3)) != Report(np.arange(4))


def test_the_digest_depends_on_class_and_every_field():
    """The same in every process, and different for each of these."""
    made = [
        Asset(1),
        Report(1),
        Report(2),
        Report(1, "a"),
        Report(1, version="a"),
        Report(1, metadata={"a": None}),
        Scored(1, 1),
        Scored(1, 2),
    ]
    digests = [content_digest(asset) for asset in made]
    assert len(set(digests)) == len(made)
    assert [content_digest(copy.deepcopy(asset)) for asset in made] == digests


@pytest.mark.parametrize("asset", [Report([1], "a", "1", {"k": 1}), Scored({"a": [1]}, 2, name="b"), Lazy()])
def test_copies_and_pickles_are_equal(asset):
    """And do not share data that could be changed."""
    for other in (copy.deepcopy(asset), pickle.loads(pickle.dumps(asset))):
        assert other == asset
        assert other.data is None or other.data is not asset.data
        assert asset.extras() == other.extras()


def test_restored_needs_no_constructor():
    """What is stored and read back has the fields of its class, whatever its constructor asks for."""
    asset = Scored([1], 0.5, name="a", version="2", k=3)
    again = Scored.restored(asset.data, asset.name, asset.version, asset.metadata, asset.extras())
    assert again == asset
    assert asset.extras() == {"score": 0.5}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "None"),
        (3, "3"),
        (1 << 1000, "<int>"),
        ("short", "'short'"),
        ("x" * 5000, f"{'x' * 40!r}… (5000)"),
        (b"x" * 5000, f"{b'x' * 40!r}… (5000)"),
        (list(range(10_000)), "<list of 10000>"),
        (Loud(), "<Loud>"),
        (object(), "<object>"),
    ],
)
def test_repr_is_short_for_any_data(data, text):
    """And never asks the data for its own."""
    assert repr(Report(data)) == f"Report({text})"


def test_repr_shows_what_is_set():
    """Name, version, how much metadata, and the shape of what has one."""
    np = pytest.importorskip("numpy")
    asset = Report(np.zeros((3, 4)), "grid", "2", {"a": 1})
    assert repr(asset) == "Report(<ndarray of shape (3, 4)>, name='grid', version='2', metadata=<dict of 1>)"


def test_nothing_is_recorded_unless_a_subclass_says_so():
    """The base has no metrics."""
    assert Report({"a": 1}).recorded() == {}

"""Model, Dataset and Metrics: what they are made of, and what they refuse."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_artifacts import Dataset, Metrics, Model
from crystallize_core import Asset, DefinitionError


class Loud:
    """A name that cannot be shown."""

    def __repr__(self):
        raise RuntimeError("no repr")


@pytest.mark.parametrize("kind", [Model, Dataset])
def test_a_model_and_a_dataset_are_assets(kind):
    """Data first, and the keyword form."""
    asset = kind([1], name="first", origin="here")
    assert isinstance(asset, Asset)
    assert (asset.data, asset.name, dict(asset.metadata), asset.recorded()) == ([1], "first", {"origin": "here"}, {})
    assert kind.create(data=[1], name="first", origin="here") == asset
    assert Model([1]) != Dataset([1])


def test_metrics_by_mapping_and_by_keyword_are_the_same():
    """And together, as long as no name is said twice."""
    assert Metrics({"acc": 0.9}) == Metrics(acc=0.9) == Metrics.create(data={"acc": 0.9})
    both = Metrics({"acc": 0.9}, "scores", loss=1, version="2", metadata={"split": "test"})
    assert (both.data, both.name, both.version, dict(both.metadata)) == (
        {"acc": 0.9, "loss": 1},
        "scores",
        "2",
        {"split": "test"},
    )


@given(st.dictionaries(st.text(min_size=1), st.one_of(st.floats(), st.integers(), st.booleans(), st.decimals())))
def test_metrics_record_their_numbers(values):
    """All of them, as they are, and independent of the mapping that they came in."""
    metrics = Metrics(values)
    expected = dict(values)
    values["another"] = 1
    assert list(metrics.recorded()) == list(expected)
    assert all(metrics.recorded()[name] is expected[name] for name in expected)


def test_metrics_take_the_numbers_of_array_libraries():
    """As plain numbers."""
    np = pytest.importorskip("numpy")
    data = Metrics(a=np.float32(0.5), b=np.int64(3), c=np.bool_(True), d=np.array(2.0)).data
    assert data == {"a": 0.5, "b": 3, "c": True, "d": 2.0}
    assert [type(value) for value in data.values()] == [float, int, bool, float]


@pytest.mark.parametrize(
    ("arguments", "values", "message"),
    [
        (
            ([0.9],),
            {},
            "Metrics: expected numbers by name, such as Metrics({'acc': 0.9}) or Metrics(acc=0.9), found list",
        ),
        (
            ({1: 0.5, "": 1, "acc": "high", "ok": 1},),
            {"split": None},
            (
                "Metrics: the name 1 must be a non-empty str; the name '' must be a non-empty str; 'acc' must be a number, "
                "found str; what describes numbers belongs in metadata=; 'split' must be a number, found NoneType; "
                "what describes numbers belongs in metadata="
            ),
        ),
        (({Loud(): 1},), {}, "Metrics: the name <Loud> must be a non-empty str"),
        (({"acc": 0.9},), {"acc": 0.8}, "Metrics: 'acc' is said twice, in data and as a keyword"),
        (
            ({"train": {"acc": 1}},),
            {},
            "Metrics: 'train' must be a number, found dict; what describes numbers belongs in metadata=",
        ),
    ],
)
def test_what_is_no_metric_is_refused_all_at_once(arguments, values, message):
    """With every bad name."""
    with pytest.raises(DefinitionError) as caught:
        Metrics(*arguments, **values)
    assert str(caught.value) == message


def test_metrics_survive_copies_and_pickles():
    """Decimal and all."""
    metrics = Metrics({"price": Decimal("0.10")}, name="prices")
    assert copy.deepcopy(metrics) == metrics
    assert pickle.loads(pickle.dumps(metrics)) == metrics
    assert metrics.named("other") is metrics
    assert repr(metrics) == "Metrics(<dict of 1>, name='prices')"

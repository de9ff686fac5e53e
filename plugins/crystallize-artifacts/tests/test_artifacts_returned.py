"""Assets as users write them: a step returns one, or promises one, and finds it again."""

from __future__ import annotations

import json
import threading

import attrs
import pytest

from crystallize_artifacts import ArtifactPlugin, ArtifactStore, Dataset, Metrics, Model, load_asset
from crystallize_core import Asset, BasePlugin, Experiment, Treatment, pipeline_step


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user of its own, with a key of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))


class Report(Asset):
    """A type of a user's own."""


def load(data, ctx) -> Dataset:
    """A plain value where the annotation promises an asset."""
    return [data * ctx.get("factor", 1)] * 3


def fit(data):
    return Model({"weight": sum(data)}, "classifier", framework="own")


def evaluate(data):
    return Metrics(acc=data.data["weight"] / 10, metadata={"split": "test"})


def run(root, steps, *, plugins=(), **options):
    return Experiment(
        lambda ctx: ctx["replicate"] + 1,
        steps,
        name="trial",
        treatments=[Treatment("double", {"factor": 2})],
        replicates=2,
        plugins=[*plugins, ArtifactPlugin(root_dir=root, **options)],
        autoload=False,
    ).run()


def test_what_steps_return_is_stored_under_its_type(tmp_path):
    """By the type of the value, or else by what the step promises; the value itself flows on."""
    result = run(tmp_path, [load, fit, evaluate])
    assert result.errors == {}
    store = ArtifactStore(tmp_path)
    assert [(a.step, a.name, a.type.partition(":")[2], a.artifact) for a in store.assets("trial")][:3] == [
        ("load", "load", "Dataset", "load.json"),
        ("fit", "classifier", "Model", "classifier.json"),
        ("evaluate", "evaluate", "Metrics", "evaluate.json"),
    ]
    assert load_asset(result, "load", condition="double") == Dataset([2, 2, 2], "load")
    assert store.load("trial", "classifier", replicate=1) == Model({"weight": 6}, "classifier", framework="own")


def test_metrics_are_recorded_and_tracked(tmp_path):
    """In the result as any others, and as one line each."""
    result = run(tmp_path, [load, fit, evaluate])
    assert result.metrics.baseline.metrics["acc"] == [0.3, 0.6]
    lines = (tmp_path / "trial" / "v0" / "metrics.jsonl").read_text().splitlines()
    assert [(line["replicate"], line["condition"], line["metrics"]) for line in map(json.loads, lines)] == [
        (0, "baseline", {"acc": 0.3}),
        (0, "double", {"acc": 0.6}),
        (1, "baseline", {"acc": 0.6}),
        (1, "double", {"acc": 1.2}),
    ]


def test_a_cached_step_stores_its_assets_again(tmp_path):
    """With everything else that it wrote."""
    steps = [pipeline_step(cacheable=True)(step)() for step in (load, fit, evaluate)]
    first, second = run(tmp_path / "a", steps), run(tmp_path / "b", steps)
    assert first.digest == second.digest
    assert ArtifactStore(tmp_path / "b").assets("trial") == ArtifactStore(tmp_path / "a").assets("trial")
    assert load_asset(second, "classifier") == load_asset(first, "classifier")


def lock(data):
    return Model(threading.Lock(), "lock")


def test_what_cannot_be_stored_fails_its_cell_with_an_address(tmp_path):
    """Experiment, cell, step, plugin and hook."""
    result = run(tmp_path, [lock])
    assert sorted(result.errors) == [f"{c}_rep_{r}" for c in ("baseline", "double") for r in (0, 1)]
    error = result.errors["double_rep_1"]
    chain = [error, error.__cause__, error.__cause__.__cause__ if error.__cause__ else None]
    assert any("asset 'lock' (Model): its data, a _thread.lock, cannot be stored" in str(part) for part in chain)
    assert {key: error.address[key] for key in ("experiment", "replicate", "condition", "step")} == {
        "experiment": "trial",
        "replicate": 1,
        "condition": "double",
        "step": "lock",
    }


def test_what_cannot_be_stored_is_a_warning_where_that_was_asked_for(tmp_path):
    """And the value flows on."""
    result = run(tmp_path, [lock, lambda data: (None, {"is_lock": isinstance(data, Model)})], on_unstorable="warn")
    assert (result.errors, result.metrics.baseline.metrics["is_lock"]) == ({}, [True, True])
    assert [text.partition(":")[0] for text in result.warnings] == ["4 assets are not stored"]


@attrs.define
class Registry(BasePlugin):
    """A stranger's plugin for reports."""

    plugin_name = "registry"
    taken: list = attrs.field(factory=list)

    def store_asset(self, asset, ctx):
        if not isinstance(asset, Report):
            return NotImplemented
        self.taken.append((asset.name, asset.data, ctx.step_name))
        return f"registry://{asset.name}"


def report(data) -> Report:
    return Report(data.data["weight"])


def test_a_plugin_of_a_stranger_takes_its_own_type(tmp_path):
    """And leaves the others to this one."""
    registry = Registry()
    result = run(tmp_path, [load, fit, report], plugins=[registry])
    assert registry.taken == [("report", weight, "report") for weight in (3, 6, 6, 12)]
    assert {asset.name for asset in ArtifactStore(tmp_path).assets("trial")} == {"load", "classifier"}
    assert result.warnings == []

"""Reading back: what is asked for, checked, or an answer that says what there is."""

from __future__ import annotations

import json
import re

import pytest

from crystallize_artifacts import ArtifactPlugin, ArtifactStore
from crystallize_core import ArtifactError, Experiment, Treatment


def one(data, ctx):
    ctx.artifacts.add("model.txt", f"one {ctx['condition']} {ctx['replicate']}")
    return data


def two(data, ctx):
    ctx.artifacts.add("model.txt", "two")
    ctx.artifacts.add("plots/curve.svg", "<svg/>")
    return data


@pytest.fixture
def store(tmp_path):
    Experiment(
        lambda ctx: 1,
        [one, two],
        name="training",
        treatments=[Treatment("double", {})],
        replicates=2,
        plugins=[ArtifactPlugin(root_dir=tmp_path)],
        autoload=False,
    ).run()
    return ArtifactStore(tmp_path)


def test_what_there_is(store):
    """The store knows experiments, versions and artifacts."""
    assert store.experiments() == ["training"]
    assert (store.versions("training"), store.latest("training")) == ([0], 0)
    assert [(e.replicate, e.condition, e.step, e.name) for e in store.entries("training", version=0)] == [
        (replicate, condition, step, name)
        for replicate in (0, 1)
        for condition in ("baseline", "double")
        for step, name in (("one", "model.txt"), ("two", "model.txt"), ("two", "plots/curve.svg"))
    ]


def test_one_artifact(store):
    """Condition, replicate and step choose; the baseline and replicate 0 are the defaults."""
    assert store.read("training", "plots/curve.svg") == b"<svg/>"
    assert store.read("training", "model.txt", step="one", condition="double", replicate=1) == b"one double 1"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ({"experiment": "trainin"}, "no results of experiment 'trainin' are in {root}; did you mean 'training'?"),
        ({"version": 3}, "experiment 'training' has no version 3 in {root}; it has: 0"),
        ({"condition": "doubel"}, "version 0 of 'training' has no condition 'doubel'; did you mean 'double'?"),
        (
            {"replicate": 7},
            "version 0 of 'training' has no replicate 7 of condition 'baseline'; stored there: '0', '1'.",
        ),
        (
            {"name": "plots/curve.sgv"},
            (
                "version 0 of 'training' has no artifact 'plots/curve.sgv' of condition 'baseline', replicate 0; "
                "did you mean 'plots/curve.svg'?"
            ),
        ),
        (
            {"step": "three"},
            "version 0 of 'training' has no step 'three' of condition 'baseline', replicate 0; stored there: 'one', 'two'.",
        ),
        (
            {},
            (
                "version 0 of 'training' has 2 artifacts 'model.txt', written by the steps 'one', 'two'; "
                "say which with step=..."
            ),
        ),
    ],
)
def test_wrong_question(store, tmp_path, question, answer):
    """A question that has no answer says which part of it was wrong."""
    asked = {"experiment": "training", "name": "model.txt", **question}
    with pytest.raises(ArtifactError) as caught:
        store.read(**asked)
    assert caught.value.message == answer.format(root=tmp_path)


def test_empty_root(tmp_path):
    """Where nothing was stored there is nothing, and nothing is made."""
    store = ArtifactStore(tmp_path / "none")
    assert (store.experiments(), store.versions("x")) == ([], [])
    with pytest.raises(ArtifactError, match=re.escape("nothing is stored there.")):
        store.latest("x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["changed", "gone", "link"])
def test_damaged_artifact(store, tmp_path, damage):
    """What is not what the run wrote is refused."""
    path = tmp_path / "training/v0/replicate_0/baseline/two/plots/curve.svg"
    path.unlink()
    if damage == "changed":
        path.write_bytes(b"<SVG/>")
    elif damage == "link":
        (tmp_path / "same").write_bytes(b"<svg/>")
        path.symlink_to(tmp_path / "same")
    message = {"changed": "its digest differs", "gone": "No such file or directory", "link": "is a link"}[damage]
    with pytest.raises(ArtifactError, match=message) as caught:
        store.read("training", "plots/curve.svg")
    assert caught.value.address == {"experiment": "training", "replicate": 0, "condition": "baseline", "step": "two"}


@pytest.mark.parametrize("path", ["../../../secret", "/etc/hostname"])
def test_manifest_that_leads_out(store, tmp_path, path):
    """A manifest from elsewhere does not make anybody read other files."""
    manifest = tmp_path / "training/v0/manifest.json"
    content = json.loads(manifest.read_text())
    for entry in content["artifacts"]:
        entry["path"] = path
    manifest.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="cannot be read from"):
        store.read("training", "plots/curve.svg")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"artifacts": [{"name": 1}], "unclaimed": []}'])
def test_manifest_that_is_none(store, tmp_path, content):
    """A manifest that cannot be read is said to be the matter."""
    (tmp_path / "training/v0/manifest.json").write_text(content)
    with pytest.raises(ArtifactError, match="no manifest that can be read"):
        store.entries("training")

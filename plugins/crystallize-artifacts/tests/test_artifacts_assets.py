"""Assets that steps return: stored with their step, loaded again as what they were, and nothing run that is not ours."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import threading

import attrs
import pytest

from crystallize_artifacts import (
    ArtifactPlugin,
    ArtifactStore,
    Dataset,
    Metrics,
    Model,
    StoredAsset,
    load_asset,
    register_materializer,
)
from crystallize_artifacts.sidecar import Sidecar, resolved
from crystallize_core import (
    ArtifactError,
    Asset,
    BasePlugin,
    Experiment,
    Result,
    Treatment,
    hookimpl,
    pipeline_step,
    standalone_context,
)
from crystallize_core.engine.hooks import HookCalls


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user of its own, with a key of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))


class Report(Asset):
    """A type of a user's own."""

    def __init__(self, data, pages, **fields):
        super().__init__(data, **fields)
        self.pages = pages


class Fitted:
    """Something that only pickle can keep."""

    def __init__(self, weight):
        self.weight = weight

    def __eq__(self, other):
        return type(other) is Fitted and other.weight == self.weight

    __hash__ = None


def stored(*assets, plugin=None):
    """A step that has assets stored as the engine does when a step returns them."""

    @pipeline_step()
    def produce(data, ctx):
        for asset in assets:
            (plugin or ArtifactPlugin()).store_asset(None, asset(ctx) if callable(asset) else asset, ctx)
        return data

    return produce()


def run(root, *assets, steps=(), replicates=1, treatments=(), **options):
    plugin = ArtifactPlugin(root_dir=root, **options)
    return Experiment(
        lambda ctx: 1,
        [*steps, stored(*assets, plugin=plugin)],
        name="trial",
        treatments=list(treatments),
        replicates=replicates,
        plugins=[plugin],
        autoload=False,
    ).run()


def full(asset):
    return type(asset), asset.data, asset.name, asset.version, dict(asset.metadata), asset.extras()


ASSETS = [
    Model(Fitted(3), "model", "1.0", {"framework": "own", "when": (1, 2)}),
    Dataset([{"a": 1}, {"a": None}], "raw/rows"),
    Dataset(b"bytes", "bytes"),
    Metrics({"acc": 0.9, "n": 3}, "scores", metadata={"split": "test"}),
    Report("text", 3, name="report"),
    Asset(None, "nothing"),
]


# --- there and back -------------------------------------------------------------------------------------------


def test_assets_come_back_from_the_result_and_from_the_folder(tmp_path):
    """With type, data, name, version, metadata and whatever a subclass adds."""
    result = run(tmp_path, *ASSETS)
    store = ArtifactStore(tmp_path)
    for asset in ASSETS:
        for loaded in (
            load_asset(result, asset.name),
            load_asset(result.artifacts, asset.name, step="produce"),
            store.load("trial", asset.name),
            store.load("trial", asset.name, step="produce", version=0),
        ):
            assert full(loaded) == full(asset)
    assert (result.warnings, result.errors) == ([], {})


def test_what_is_in_the_folder(tmp_path):
    """A file that others can read, and one beside it that says what it is."""
    run(tmp_path, Dataset("some text", "note", "2", {"at": 1.5, "by": Fitted(1)}))
    folder = tmp_path / "trial" / "v0" / "replicate_0" / "baseline" / "produce"
    assert (folder / "note.txt").read_text() == "some text"
    assert json.loads((folder / "note.asset.json").read_text()) == {
        "format": "crystallize-asset/1",
        "type": "crystallize_artifacts.assets:Dataset",
        "name": "note",
        "version": "2",
        "metadata": {"at": 1.5, "by": f"<{__name__}.Fitted object>"},
        "extras": {},
        "data_type": "builtins:str",
        "artifact": "note.txt",
        "materializer": "text",
        "format_version": 1,
        "libraries": {},
        "recorded": {},
        "problem": None,
    }


def test_the_versions_of_libraries_are_noted(tmp_path):
    """Of those that wrote the data."""
    np = pytest.importorskip("numpy")
    result = run(tmp_path, Dataset(np.arange(3), "numbers"))
    about = json.loads(result.artifacts.find("numbers.asset.json").read())
    assert about["libraries"] == {"numpy": np.__version__}
    assert load_asset(result, "numbers") == Dataset(np.arange(3), "numbers")


def test_all_assets_of_a_version(tmp_path):
    """Without their data."""
    run(tmp_path, lambda ctx: Model([ctx["condition"]], "m", "1"), treatments=[Treatment("t", {})])
    assert ArtifactStore(tmp_path).assets("trial") == [
        StoredAsset(
            name="m",
            type="crystallize_artifacts.assets:Model",
            version="1",
            replicate=0,
            condition=condition,
            step="produce",
            data_type="builtins:list",
            artifact="m.json",
        )
        for condition in ("baseline", "t")
    ]


def test_each_cell_has_its_own(tmp_path):
    """Condition and replicate choose."""
    result = run(
        tmp_path,
        lambda ctx: Model([ctx["condition"], ctx["replicate"]], "m"),
        treatments=[Treatment("t", {})],
        replicates=2,
    )
    assert load_asset(result, "m", condition="t", replicate=1).data == ["t", 1]
    assert ArtifactStore(tmp_path).load("trial", "m", replicate=1).data == ["baseline", 1]


def test_an_asset_in_memory(tmp_path):
    """Where nothing is stored on a disk, the artifacts of a view are enough."""
    ctx = standalone_context()
    assert ArtifactPlugin().store_asset(None, Model(Fitted(1), "m"), ctx) == "m.pkl"
    assert [record.name for record in ctx.artifacts] == ["m.pkl", "m.asset.json"]


def test_results_that_were_read_back_still_load(tmp_path):
    """Signatures are in the JSON of a result."""
    result = run(tmp_path, Model(Fitted(1), "m"))
    again = Result.from_dict(json.loads(json.dumps(result.to_dict())))
    assert load_asset(again, "m").data == Fitted(1)
    assert again.digest == result.digest


def test_cached_steps_give_their_assets_again(tmp_path):
    """A hit replays the artifacts with their signatures."""
    plugin = ArtifactPlugin(root_dir=tmp_path)

    @pipeline_step(cacheable=True)
    def produce(data, ctx):
        plugin.store_asset(None, Model(Fitted(data), "m"), ctx)
        return data

    def result():
        return Experiment(lambda ctx: 1, [produce], name="trial", plugins=[plugin], autoload=False).run()

    first, second = result(), result()
    assert (first.digest, load_asset(second, "m").data) == (second.digest, Fitted(1))
    assert ArtifactStore(tmp_path).load("trial", "m").data == Fitted(1)


def test_signatures_are_no_part_of_the_digest(tmp_path, monkeypatch):
    """Two users who run the same get the same."""
    first = run(tmp_path / "a", *ASSETS)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other"))
    second = run(tmp_path / "b", *ASSETS)
    assert first.digest == second.digest
    assert [a.signature for a in first.artifacts if a.signature] != [
        a.signature for a in second.artifacts if a.signature
    ]


# --- what is asked for and not there --------------------------------------------------------------------------


def failing(data, ctx):
    ArtifactPlugin().store_asset(None, Model(1, "m"), ctx)
    raise ValueError("as told")


def test_a_failed_step_leaves_no_asset(tmp_path):
    """It is committed with its step, or not at all."""
    plugin = ArtifactPlugin(root_dir=tmp_path)
    result = Experiment(lambda ctx: 1, [failing], name="trial", plugins=[plugin], autoload=False).run()
    assert list(result.artifacts) == []
    with pytest.raises(ArtifactError, match=r"no asset 'm' was stored; nothing is stored there"):
        load_asset(result, "m")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ({"name": "modle"}, "no asset 'modle' was stored; did you mean 'model'?"),
        ({"name": "model", "replicate": 5}, "no asset 'model' was stored; nothing is stored there."),
        ({"name": "model", "step": "other"}, "no asset 'model' was stored; nothing is stored there."),
    ],
)
def test_a_wrong_question_to_a_result(question, answer, tmp_path):
    """The message says what there is, and the address what was asked."""
    with pytest.raises(ArtifactError, match=re.escape(answer)):
        load_asset(run(tmp_path, *ASSETS), **question)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (
            {"name": "modle"},
            "version 0 of 'trial' has no asset 'modle' of condition 'baseline', replicate 0; did you mean 'model'?",
        ),
        ({"name": "model", "condition": "x"}, "version 0 of 'trial' has no condition 'x'"),
        ({"name": "../../model"}, "version 0 of 'trial' has no asset '../../model' of condition"),
    ],
)
def test_a_wrong_question_to_a_store(question, answer, tmp_path):
    """As for artifacts."""
    run(tmp_path, *ASSETS)
    with pytest.raises(ArtifactError, match=re.escape(answer)):
        ArtifactStore(tmp_path).load("trial", **question)


def test_load_asset_takes_a_result(tmp_path):
    """Anything else is told so."""
    for wrong in (5, "text", [1]):
        with pytest.raises(ArtifactError, match=r"load_asset\(\) takes a Result or its artifacts, found"):
            load_asset(wrong, "m")


def test_two_steps_with_assets_of_one_name(tmp_path):
    """One has to say which."""

    @pipeline_step()
    def other(data, ctx):
        ArtifactPlugin().store_asset(None, Model(2, "m"), ctx)
        return data

    result = run(tmp_path, Model(1, "m"), steps=[other()])
    message = "2 assets 'm'"
    with pytest.raises(ArtifactError, match=message):
        load_asset(result, "m")
    with pytest.raises(ArtifactError, match=message):
        ArtifactStore(tmp_path).load("trial", "m")
    assert load_asset(result, "m", step="other").data == 2
    assert ArtifactStore(tmp_path).load("trial", "m", step="produce").data == 1


# --- names ----------------------------------------------------------------------------------------------------


def error_of(result):
    """What the hook of the plugin would raise; the step called it, so that it is the cause of a StepError."""
    (error,) = result.errors.values()
    return error.__cause__


@pytest.mark.parametrize(
    ("assets", "message"),
    [
        ([Model(1, "../m")], "artifact name '../m.json' has an empty part, '.' or '..'"),
        ([Model(1, "/m")], "artifact name '/m.json' is absolute"),
        ([Model(1, "m" * 300)], "has a part of more than 240 bytes"),
        ([Model(1, "m\0")], "has a backslash or a control character"),
        ([Model(1, "m.asset")], "the name of an asset must not end in '.asset', found 'm.asset'"),
        ([Model(1, "m"), Dataset("2", "m")], "two assets of this step are named 'm'; give one of them another name="),
    ],
)
@pytest.mark.parametrize("policy", ["fail", "warn", "ignore"])
def test_names_that_cannot_be_those_of_artifacts(assets, message, policy, tmp_path):
    """An error with its address, whatever the policy is about data."""
    result = run(tmp_path, *assets, on_unstorable=policy)
    error = error_of(result)
    assert isinstance(error, ArtifactError)
    assert message in str(error)
    assert error.address.get("step", "produce") == "produce"
    assert [path for path in tmp_path.rglob("m*.json") if path.is_file() and path.name != "manifest.json"] == []


def test_an_asset_without_a_name_gets_that_of_its_step(tmp_path):
    """The engine gives it the name of the step's output before."""
    assert load_asset(run(tmp_path, Model(1)), "produce") == Model(1, "produce")


# --- what cannot be stored ------------------------------------------------------------------------------------


def test_data_that_has_no_form_fails_the_cell(tmp_path):
    """With the asset, the type, why, and what to do."""
    result = run(tmp_path, Model(threading.Lock(), "m"))
    text = str(error_of(result))
    assert text.startswith(
        "asset 'm' (Model): its data, a _thread.lock, cannot be stored: pickle: it cannot be pickled ("
    )
    assert text.endswith(
        "; teach it with register_materializer(lock, ...), or set on_unstorable='warn' of the plugin 'artifacts' "
        "[step 'produce']"
    )
    assert list(result.artifacts) == []


def test_data_that_has_no_form_is_warned_of(tmp_path):
    """The result says so, the value flows on, and loading says why there is nothing."""
    result = run(tmp_path, Model(threading.Lock(), "m"), Model(1, "n"), on_unstorable="warn", replicates=5)
    (warning,) = result.warnings
    assert warning.startswith(
        "5 assets are not stored: asset 'm' of step 'produce', condition 'baseline', replicate 0: its data, a "
        "_thread.lock, cannot be stored: pickle: it cannot be pickled ("
    )
    assert warning.endswith("; and 2 more")
    assert result.errors == {}
    for load in (lambda: load_asset(result, "m"), lambda: ArtifactStore(tmp_path).load("trial", "m")):
        with pytest.raises(
            ArtifactError, match=r"asset 'm' was not stored: its data, a _thread\.lock, cannot be stored"
        ):
            load()
    assert load_asset(result, "n").data == 1
    assert [asset.artifact for asset in ArtifactStore(tmp_path).assets("trial")][:2] == [None, "n.json"]


def test_data_that_has_no_form_is_ignored(tmp_path):
    """Only where that was asked for."""
    result = run(tmp_path, Model(threading.Lock(), "m"), on_unstorable="ignore")
    assert (result.warnings, result.errors, list(result.artifacts)) == ([], {}, [])


def test_an_unknown_policy_is_refused():
    """When the plugin is made."""
    with pytest.raises(ValueError, match="on_unstorable"):
        ArtifactPlugin(on_unstorable="sometimes")


class Picky:
    """A materializer of a stranger that breaks."""

    id = "test.picky"
    suffix = ".picky"

    def handles(self, value):
        return True

    def dump(self, value):
        raise RuntimeError("broken")

    def load(self, content):
        raise RuntimeError("broken as well")


def test_a_broken_materializer_is_named(tmp_path):
    """It is not passed over in silence."""
    undo = register_materializer(Fitted, Picky())
    try:
        result = run(tmp_path, Model(Fitted(1), "m"))
    finally:
        undo()
    assert "cannot be stored: RuntimeError: broken; teach it" in str(error_of(result))


def test_an_attribute_that_cannot_be_stored_is_named(tmp_path):
    """What a subclass adds must not be lost in silence either."""
    result = run(tmp_path, Report(1, threading.Lock(), name="r"))
    assert "its attribute 'pages' cannot be stored: a _thread.lock is no plain value" in str(error_of(result))


def test_metadata_of_any_kind_and_size(tmp_path):
    """Plain values as they are, others by their text without addresses; a text that cannot be made is no reason to fail."""

    class Loud:
        def __repr__(self):
            raise RuntimeError("no repr")

    class Long:
        def __repr__(self):
            return "x" * 10_000

    metadata = {"$int": 5, "set": {1}, "object": object(), "loud": Loud(), "long": Long(), "huge": "y" * 1_000_000}
    loaded = load_asset(run(tmp_path, Model(1, "m", metadata=metadata)), "m")
    assert dict(loaded.metadata) == {
        "$int": 5,
        "set": {1},
        "object": "<object object>",
        "loud": "<test_metadata_of_any_kind_and_size.<locals>.Loud>",
        "long": "x" * 2000,
        "huge": "y" * 1_000_000,
    }


# --- what was changed, or is somebody else's ------------------------------------------------------------------


class Bomb:
    """Does something when it is unpickled."""

    exploded: list[int] = []

    def __reduce__(self):
        return Bomb.exploded.append, (1,)


@pytest.fixture
def bomb():
    Bomb.exploded.clear()
    yield
    assert Bomb.exploded == []


def replace(folder, name, content):
    """Put other content in place of an artifact as somebody would who can write there: the manifest fits it again."""
    (path,) = folder.rglob(name)
    path.write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["artifacts"]:
        if entry["name"] == name:
            entry["digest"], entry["size"] = hashlib.blake2b(content, digest_size=32).hexdigest(), len(content)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_forged_pickle_is_never_read(tmp_path, bomb):
    """Neither with the old signature, nor with another one, nor without."""
    run(tmp_path, Model(Fitted(1), "m"), Model(Fitted(2), "n"))
    folder, store = tmp_path / "trial" / "v0", ArtifactStore(tmp_path)
    genuine = store.read("trial", "n.pkl")
    replace(folder, "m.pkl", pickle.dumps(Bomb()))
    with pytest.raises(
        ArtifactError, match=r"asset 'm' cannot be loaded from .*m\.pkl: it bears the signature of somebody"
    ):
        store.load("trial", "m")
    manifest = json.loads((folder / "manifest.json").read_text())
    for signature, reason in (
        ("zz", "its signature cannot be checked"),
        ("00", "somebody else"),
        (None, "no signature"),
    ):
        for entry in manifest["artifacts"]:
            if entry["name"] == "m.pkl":
                entry["signature"] = signature
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ArtifactError, match=rf"m\.pkl: .*{reason}.*run the experiment yourself"):
            store.load("trial", "m")
    assert store.load("trial", "n").data == Fitted(2)
    assert genuine == pickle.dumps(Fitted(2), protocol=5)


def test_a_pickle_of_another_user_is_refused_and_other_formats_are_not(tmp_path, monkeypatch):
    """What a colleague sends can be read as far as it runs no code."""
    result = run(tmp_path, *ASSETS)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other"))
    for load in (lambda name: load_asset(result, name), lambda name: ArtifactStore(tmp_path).load("trial", name)):
        with pytest.raises(ArtifactError, match="it bears the signature of somebody else"):
            load("model")
        assert load("scores").data == {"acc": 0.9, "n": 3}


def test_an_artifact_that_only_looks_like_an_asset_is_not_unpickled(tmp_path, bomb):
    """A step that unpacks what it was sent writes artifacts of any name and content."""
    about = Sidecar("crystallize_artifacts.assets:Model", "m", None, {}, {}, "x:y", "m.pkl", "pickle").to_json()

    @pipeline_step()
    def unpack(data, ctx):
        ctx.artifacts.add("m.pkl", pickle.dumps(Bomb()))
        ctx.artifacts.add("m.asset.json", about)
        return data

    result = run(tmp_path, steps=[unpack()])
    with pytest.raises(ArtifactError, match="it bears no signature"):
        load_asset(result, "m")
    with pytest.raises(ArtifactError, match="it bears no signature"):
        ArtifactStore(tmp_path).load("trial", "m")


def changed(store, folder, **fields):
    about = json.loads(store.read("trial", "m.asset.json"))
    replace(folder, "m.asset.json", json.dumps({**about, **fields}).encode())


@pytest.mark.parametrize(
    "kind", ["os:system", "builtins:eval", "subprocess:Popen", "nobody:knows", "", "builtins:object"]
)
def test_a_type_that_is_no_known_asset_is_never_called(kind, tmp_path, monkeypatch):
    """It is a name in the metadata of a plain asset, and nothing is imported for it."""
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("it was called"))
    run(tmp_path, Model(1, "m", "2", {"a": 1}))
    store = ArtifactStore(tmp_path)
    changed(store, tmp_path / "trial" / "v0", type=kind)
    assert full(store.load("trial", "m")) == (Asset, 1, "m", "2", {"a": 1, "asset_type": kind}, {})


def test_a_class_that_is_not_here_leaves_a_plain_asset(tmp_path):
    """A class of an experiment's file, when somebody else looks at its results."""
    local = type("Gone", (Asset,), {"__module__": "experiment", "__qualname__": "Gone"})
    result = run(tmp_path, local(1, "m"))
    assert type(load_asset(result, "m")) is local
    local.__qualname__ = "Renamed"
    assert full(load_asset(result, "m")) == (Asset, 1, "m", None, {"asset_type": "experiment:Gone"}, {})


def test_the_newest_class_of_a_name_counts():
    """A cell of a notebook that is run again defines it anew."""
    first, second = (type("Twice", (Asset,), {"__module__": "notebook"}) for _ in range(2))
    assert first is not second
    assert resolved("notebook:Twice") is second


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"artifact": "../../../secret"}, "has no artifact '../../../secret'"),
        ({"artifact": "m.asset.json", "materializer": "text"}, None),
        ({"materializer": "pickle"}, "it bears no signature"),
        ({"materializer": "numpy.npy"}, "by the materializer 'numpy.npy': "),
        ({"materializer": "own.format"}, "it is in the format 'own.format', which nothing here reads"),
        ({"format_version": 9}, "it is in version 9 of the format 'plain.json', and what is installed reads 1"),
        ({"format_version": "1"}, "does not describe an asset in a form that this version reads"),
        ({"metadata": [1]}, "does not describe an asset"),
        ({"extras": {"__class__": 1}}, "does not describe an asset"),
        ({"name": 5}, "does not describe an asset"),
        ({"new": 5}, "does not describe an asset"),
        ({"format": "crystallize-asset/2"}, "does not describe an asset"),
        ({"metadata": {"a": {"$os.system": "x"}}}, "'$os.system' is no form of a plain value"),
        ({"extras": {"data": 1}}, "cannot be loaded"),
    ],
)
def test_a_description_that_was_changed(fields, message, tmp_path):
    """An error that says where and what, or a harmless value; never a call."""
    run(tmp_path, Model([1], "m"))
    store = ArtifactStore(tmp_path)
    changed(store, tmp_path / "trial" / "v0", **fields)
    if message is None:
        assert isinstance(store.load("trial", "m").data, str)
        return
    with pytest.raises(ArtifactError) as caught:
        store.load("trial", "m")
    assert message in str(caught.value)
    assert caught.value.address["condition"] == "baseline"


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff", b'{"$dict": 5}'])
def test_damaged_data(content, tmp_path):
    """Names the file, the materializer and what was wrong."""
    run(tmp_path, Model([1], "m"))
    replace(tmp_path / "trial" / "v0", "m.json", content)
    with pytest.raises(
        ArtifactError, match=r"asset 'm' cannot be loaded from .*m\.json by the materializer 'plain\.json': "
    ):
        ArtifactStore(tmp_path).load("trial", "m")


def test_data_that_was_changed_without_its_digest(tmp_path):
    """Is not what the run wrote."""
    result = run(tmp_path, Model([1], "m"))
    (path,) = (tmp_path / "trial" / "v0").rglob("m.json")
    path.write_bytes(b"[2]")
    for load in (lambda: load_asset(result, "m"), lambda: ArtifactStore(tmp_path).load("trial", "m")):
        with pytest.raises(ArtifactError, match="is not what the run wrote: its digest differs"):
            load()


def test_without_a_key_nothing_is_written_that_could_not_be_read(tmp_path, monkeypatch):
    """A home that cannot be written to."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    result = run(tmp_path / "root", Model(Fitted(1), "m"))
    assert "cannot be stored: NotADirectoryError" in str(error_of(result))
    assert load_asset(run(tmp_path / "root", Model(1, "m")), "m").data == 1


# --- metrics.jsonl --------------------------------------------------------------------------------------------


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def scores(ctx):
    return Metrics({"acc": ctx["replicate"] / 2, "nan": float("nan")}, "scores", "1", {"by": ctx["condition"]})


def test_metrics_are_lines_in_the_folder_of_the_run(tmp_path):
    """One for each asset with metrics, in the order of replicates, conditions and steps."""
    result = run(
        tmp_path, scores, Model(1, "m"), Metrics({"z": 1}, "a"), treatments=[Treatment("all", {})], replicates=2
    )
    folder = tmp_path / "trial" / "v0"
    found = lines(folder)
    assert [(line["replicate"], line["condition"], line["name"]) for line in found] == [
        (replicate, condition, name)
        for replicate in (0, 1)
        for condition in ("all", "baseline")
        for name in ("a", "scores")
    ]
    assert found[-1] == {
        "replicate": 1,
        "condition": "baseline",
        "step": "produce",
        "name": "scores",
        "version": "1",
        "failed": False,
        "metrics": {"acc": 0.5, "nan": "nan"},
        "metadata": {"by": "baseline"},
    }
    assert "metrics.jsonl" not in (folder / "manifest.json").read_text()
    assert "metrics.jsonl" not in result.artifacts.names()


def test_metrics_are_the_same_bytes_in_every_run(tmp_path):
    """And replaced with the run."""
    found = []
    for _ in range(2):
        run(tmp_path, scores, replicates=2)
        found.append((tmp_path / "trial" / "v0" / "metrics.jsonl").read_bytes())
    assert found[0] == found[1]
    run(tmp_path, Model(1, "m"))
    assert not (tmp_path / "trial" / "v0" / "metrics.jsonl").exists()
    assert sorted(path.name for path in (tmp_path / "trial").iterdir()) == [".lock", "v0"]


def test_metrics_of_failed_cells_are_marked(tmp_path):
    """What an earlier step of the cell committed stays."""

    @pipeline_step()
    def fail(data, ctx):
        if ctx["replicate"] == 1:
            raise ValueError("as told")

    plugin = ArtifactPlugin(root_dir=tmp_path)
    pipeline = [stored(scores, plugin=plugin), fail()]
    Experiment(lambda ctx: 1, pipeline, name="trial", replicates=2, plugins=[plugin], autoload=False).run()
    assert [line["failed"] for line in lines(tmp_path / "trial" / "v0")] == [False, True]


def test_a_condition_of_that_name_has_a_folder_of_its_own(tmp_path):
    """The file of the run and the folder of the condition do not meet."""
    run(tmp_path, scores, treatments=[Treatment("metrics.jsonl", {})])
    assert {line["condition"] for line in lines(tmp_path / "trial" / "v0")} == {"baseline", "metrics.jsonl"}


# --- who stores -----------------------------------------------------------------------------------------------


@attrs.define
class Registry(BasePlugin):
    """A stranger's plugin for reports."""

    plugin_name = "registry"
    taken: list = attrs.field(factory=list)

    def store_asset(self, asset, ctx):
        if not isinstance(asset, Report):
            return NotImplemented
        self.taken.append(asset.name)
        return f"registry://{asset.name}"


class Silent:
    """Another one, which has no opinion."""

    @hookimpl
    def store_asset(self, asset):
        return None


@pytest.mark.parametrize("turned", [False, True])
def test_a_plugin_of_a_stranger_takes_its_own_type(turned, tmp_path):
    """Before this one wherever it stands in the list, because this one comes after all others."""
    registry = Registry()
    plugins = [Silent(), registry, ArtifactPlugin(root_dir=tmp_path)]
    experiment = Experiment(lambda ctx: 1, [abs], plugins=plugins[::-1] if turned else plugins, autoload=False)
    calls, ctx = HookCalls(experiment.stack), standalone_context()
    found = [calls.first("store_asset", experiment, asset, ctx) for asset in (Report(1, 2, name="r"), Model(1, "m"))]
    assert [(plugin.name, answer) for plugin, answer in found] == [
        ("registry", "registry://r"),
        ("artifacts", "m.json"),
    ]
    assert registry.taken == ["r"]
    assert [record.name for record in ctx.artifacts] == ["m.json", "m.asset.json"]


def test_without_a_plugin_that_stores_nobody_answers():
    """The value just flows on."""
    experiment = Experiment(lambda ctx: 1, [abs], plugins=[Silent()], autoload=False)
    assert HookCalls(experiment.stack).first("store_asset", experiment, Model(1, "m"), standalone_context()) is None

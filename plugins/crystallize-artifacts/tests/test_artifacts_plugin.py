"""Experiments whose artifacts are stored: where, when, and what is left after failures."""

from __future__ import annotations

import inspect
import json
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from crystallize_artifacts import ArtifactPlugin, ArtifactStore
from crystallize_artifacts.layout import component
from crystallize_core import (
    Artifact,
    ArtifactError,
    BasePlugin,
    ConfigurationError,
    Experiment,
    Pipeline,
    RunInterrupted,
    Treatment,
    pipeline_step,
)

README = Path(__file__).parents[1] / "README.md"


@pipeline_step()
def fit(data, ctx, factor=1):
    ctx.artifacts.add("model.txt", f"{data * factor}")
    return data * factor, {"size": data * factor}


@pipeline_step()
def plot(data, ctx):
    ctx.artifacts.add("plots/curve.svg", f"<svg>{data}</svg>")
    return data


@pipeline_step()
def fail(data, ctx):
    ctx.artifacts.add("half.txt", "never committed")
    if ctx["condition"] == "double":
        raise ValueError("as told")
    return data


def make(root, *, steps=(fit, plot), plugins=(), name="trial", replicates=2, **options):
    """An experiment over two conditions with the plugin."""
    return Experiment(
        datasource=lambda ctx: ctx["replicate"] + 1,
        pipeline=list(steps),
        name=name,
        treatments=[Treatment("double", {"factor": 2})],
        replicates=replicates,
        plugins=[*plugins, ArtifactPlugin(root_dir=root, **options)],
        autoload=False,
    )


def files(folder):
    """Every file below a folder with its content, but for those that describe it."""
    described = ("metadata.json", "manifest.json", "results.json", ".lock")
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in described
    }


def metadata(folder):
    return json.loads((folder / "metadata.json").read_text())


# --- where things are ------------------------------------------------------------------------------------


def test_layout(tmp_path):
    """root/experiment/v0/replicate_R/condition/step/name, and nothing else."""
    make(tmp_path).run()
    assert files(tmp_path) == {
        f"trial/v0/replicate_{replicate}/{condition}/{path}": text.format((replicate + 1) * factor)
        for replicate in (0, 1)
        for condition, factor in (("baseline", 1), ("double", 2))
        for path, text in (("fit/model.txt", "{}"), ("plot/plots/curve.svg", "<svg>{}</svg>"))
    }
    assert sorted(path.name for path in (tmp_path / "trial").iterdir()) == [".lock", "v0"]


def test_result_knows_where_its_artifacts_are(tmp_path):
    """After the run every artifact of the result is read from its final place."""
    result = make(tmp_path).run()
    where = tmp_path / "trial" / "v0"
    assert {Path(artifact.uri or "").relative_to(where).parts[0] for artifact in result.artifacts} == {
        "replicate_0",
        "replicate_1",
    }
    assert [artifact.read() for artifact in result.artifacts if artifact.name == "model.txt"] == [
        b"1",
        b"2",
        b"2",
        b"4",
    ]
    assert result.warnings == []


def test_version_describes_itself(tmp_path):
    """metadata.json, manifest.json and results.json say what a reader needs."""
    result = make(tmp_path, replicates=1).run()
    folder = tmp_path / "trial" / "v0"
    about = metadata(folder)
    assert {key: about[key] for key in ("status", "experiment", "run", "replicates", "conditions", "versioned")} == {
        "status": "finished",
        "experiment": "trial",
        "run": result.run.id,
        "replicates": 1,
        "conditions": ["baseline", "double"],
        "versioned": False,
    }
    assert about["result_digest"] == result.digest
    artifacts = json.loads((folder / "manifest.json").read_text())["artifacts"]
    assert artifacts[0] == {
        "name": "model.txt",
        "step": "fit",
        "condition": "baseline",
        "replicate": 0,
        "size": 1,
        "digest": result.artifacts[0].digest,
        "path": "replicate_0/baseline/fit/model.txt",
        "failed": False,
        "pruned": None,
    }
    assert len(artifacts) == 4
    assert json.loads((folder / "double" / "results.json").read_text()) == {
        "condition": "double",
        "metrics": {"size": [2]},
        "replicates": {"size": [0]},
        "failed": [],
    }


def test_declared_outputs_are_stored(tmp_path):
    """What a step writes with `Artifact.write` is stored as well."""

    def write(data, report):
        report.write(b"\x00bytes")
        return data

    experiment = Experiment(
        lambda ctx: 1,
        [write],
        outputs=[Artifact("report.bin")],
        plugins=[ArtifactPlugin(root_dir=tmp_path)],
        autoload=False,
    )
    experiment.run()
    assert ArtifactStore(tmp_path).read("experiment", "report.bin") == b"\x00bytes"


def test_names_that_are_no_paths_stay_inside(tmp_path):
    """Experiments, conditions and steps of any name are stored below the root, each in a folder of its own."""
    root = tmp_path / "root"

    def up(data, ctx, factor=9):
        ctx.artifacts.add("x", str(factor))
        return data

    up.__name__ = "../../up"
    names = ["a:b", "A:B", "replicate_0", "%", "metadata.json"]
    experiment = Experiment(
        lambda ctx: 1,
        [up],
        name="what? ",
        treatments=[Treatment(name, {"factor": at}) for at, name in enumerate(names)],
        plugins=[ArtifactPlugin(root_dir=root)],
        autoload=False,
    )
    experiment.run()
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    step = component(experiment.pipeline.steps[0].name)
    assert list(files(root)) == [
        f"what%3F%20/v0/replicate_0/{folder}/{step}/x"
        for folder in ("%25", "%41%3A%42", "%6Detadata.json", "%72eplicate_0", "a%3Ab", "baseline")
    ]
    store = ArtifactStore(root)
    assert store.experiments() == ["what? "]
    assert [store.read("what? ", "x", condition=name) for name in names] == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("planted", ["trial", "trial/.lock"])
def test_planted_links_are_not_followed(tmp_path, planted):
    """A link below the root leads nowhere: what should go there fails, or stays beside, and is said."""
    outside = tmp_path / "outside"
    outside.mkdir()
    link = tmp_path / "root" / planted
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / ("new" if planted.endswith(".lock") else ""))
    result = make(tmp_path / "root").run()
    assert list(outside.iterdir()) == []
    if planted == "trial":
        error = result.errors["baseline_rep_0"].__cause__
        assert isinstance(error, ArtifactError)
        assert "is a link or a file where a folder is needed" in str(error)
    else:
        assert "could not be put into place" in result.warnings[0]
        assert result.artifacts[0].read() == b"1"


def test_root_may_be_a_link(tmp_path):
    """Where the root itself is, is for the user to decide."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    make(tmp_path / "root", replicates=1).run()
    assert len(files(tmp_path / "disk")) == 4


def test_pipeline_on_its_own_stores_nothing(tmp_path, monkeypatch):
    """Without an experiment there is no place to store to."""
    monkeypatch.chdir(tmp_path)
    assert Pipeline([fit]).run(3) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", ["apply", "debug"])
def test_trying_a_cell_stores_nothing(tmp_path, way):
    """`apply` and `debug` are for looking; they leave no files."""
    getattr(make(tmp_path), way)("double")
    assert list(tmp_path.iterdir()) == []


# --- one run after another -------------------------------------------------------------------------------


def test_second_run_leaves_nothing_of_the_first(tmp_path):
    """A finished run replaces the earlier one wholly."""
    make(tmp_path, replicates=3).run()
    second = make(tmp_path, steps=[fit], replicates=1).run()
    assert list(files(tmp_path)) == [
        f"trial/v0/replicate_0/{condition}/fit/model.txt" for condition in ("baseline", "double")
    ]
    assert metadata(tmp_path / "trial" / "v0")["run"] == second.run.id


def test_run_without_artifacts_makes_nothing(tmp_path):
    """A root that is not needed is not made."""
    make(tmp_path / "root", steps=[lambda data: data]).run()
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("versioned", [True, False])
def test_run_without_artifacts_does_not_pass_for_an_earlier_one(tmp_path, versioned):
    """Where there are earlier results, a run without artifacts still takes its place."""
    make(tmp_path, versioned=versioned).run()
    empty = make(tmp_path, steps=[lambda data: data], versioned=versioned).run()
    newest = tmp_path / "trial" / ("v1" if versioned else "v0")
    assert files(newest) == {}
    assert metadata(newest)["run"] == empty.run.id


def test_versioned_runs_are_kept(tmp_path):
    """Each versioned run gets a number, and its artifacts are found there."""
    for size in (1, 2, 3):
        result = make(tmp_path, versioned=True, steps=[fit], replicates=size).run()
        assert result.warnings == []
    store = ArtifactStore(tmp_path)
    assert store.versions("trial") == [0, 1, 2]
    assert store.latest("trial") == 2
    assert [len(store.entries("trial", version=version)) for version in (0, 1, 2)] == [2, 4, 6]
    assert store.read("trial", "model.txt", condition="double", replicate=1, version=1) == b"4"


def test_unversioned_run_keeps_a_versioned_history(tmp_path):
    """Nobody asked to delete v0, so an unversioned run goes to the next number and says so."""
    make(tmp_path, versioned=True).run()
    result = make(tmp_path).run()
    assert ArtifactStore(tmp_path).versions("trial") == [0, 1]
    assert "was not written by an unversioned run" in result.warnings[0]
    assert (result.artifacts[0].uri or "").startswith(str(tmp_path / "trial" / "v1"))


def test_two_runs_at_once_in_one_process(tmp_path):
    """Threads that run one experiment at once do not mix their files; the last one wins wholly."""
    experiment = make(tmp_path, steps=[fit], replicates=5)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: experiment.run(), range(4)))
    assert [result.warnings for result in results] == [[]] * 4
    folder = tmp_path / "trial" / "v0"
    assert metadata(folder)["run"] in {result.run.id for result in results}
    assert len(files(folder)) == 10
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", "v0"]


# --- failures --------------------------------------------------------------------------------------------


def test_failed_cell_keeps_what_earlier_steps_stored(tmp_path):
    """What was committed stays and is marked; what the failed step wrote was never there."""
    result = make(tmp_path, steps=[fit, fail], replicates=1).run()
    assert list(result.errors) == ["double_rep_0"]
    assert list(files(tmp_path)) == [
        "trial/v0/replicate_0/baseline/fail/half.txt",
        "trial/v0/replicate_0/baseline/fit/model.txt",
        "trial/v0/replicate_0/double/fit/model.txt",
    ]
    entries = ArtifactStore(tmp_path).entries("trial")
    assert {(entry.condition, entry.step): entry.failed for entry in entries} == {
        ("baseline", "fit"): False,
        ("baseline", "fail"): False,
        ("double", "fit"): True,
    }


def test_second_attempt_leaves_nothing_of_the_first(tmp_path):
    """A step that is tried again has only the files of the attempt that succeeded."""
    attempts = []

    class TryAgain(BasePlugin):
        def wrap_step(self, experiment, step, call):
            def again(data, ctx):
                try:
                    return call(data, ctx)
                except ValueError:
                    return call(data, ctx)

            return again

    def flaky(data, ctx):
        attempts.append(ctx.attempt)
        ctx.artifacts.add(f"attempt {ctx.attempt}.txt", "x")
        if ctx.attempt == 1:
            raise ValueError("again")
        return data

    make(tmp_path, steps=[flaky], plugins=[TryAgain()], replicates=1).run()
    assert attempts == [1, 2, 1, 2]
    assert list(files(tmp_path / "trial" / "v0")) == [
        f"replicate_0/{condition}/flaky/attempt 2.txt" for condition in ("baseline", "double")
    ]


def test_file_system_that_refuses_a_name_fails_only_that_cell(tmp_path):
    """An artifact that cannot be stored has an address: cell, step, artifact, path and the reason."""

    def clash(data, ctx):
        if ctx["condition"] == "double":
            ctx.artifacts.add("a", "file")
            ctx.artifacts.add("a/b", "in a folder of the same name")
        return data

    result = make(tmp_path, steps=[fit, clash], replicates=1).run()
    assert list(result.errors) == ["double_rep_0"]
    error = result.errors["double_rep_0"].__cause__
    assert isinstance(error, ArtifactError)
    path = error.path
    assert path.endswith("/replicate_0/double/clash/a/b")
    assert error.address == {
        "replicate": 0,
        "condition": "double",
        "step": "clash",
        "artifact": "a/b",
        "path": path,
    }
    assert error.message == (
        f"artifact 'a/b' (28 bytes) could not be stored in {path!r}: is a link or a file where a folder is needed"
    )
    assert "1 artifacts are not stored: artifact 'a/b' of step 'clash', condition 'double'" in result.warnings[0]
    assert metadata(tmp_path / "trial" / "v0")["status"] == "incomplete"


def test_incomplete_run_does_not_replace_an_earlier_one(tmp_path):
    """Where something could not be stored, the earlier results stay and the new ones are beside them."""

    def impossible(data, ctx):
        ctx.artifacts.add("\ud800.txt", "no file system can spell this")
        return data

    first = make(tmp_path).run()
    second = make(tmp_path, steps=[fit, impossible]).run()
    assert metadata(tmp_path / "trial" / "v0")["run"] == first.run.id
    assert len(files(tmp_path / "trial" / "v0")) == 8
    beside = tmp_path / "trial" / f".run-{second.run.id}"
    assert second.warnings[-1] == (
        f"earlier results were not replaced for that reason; what this run stored is in {beside}"
    )
    assert metadata(beside)["status"] == "incomplete"
    assert second.artifacts.find("model.txt", condition="double", replicate=1).read() == b"4"
    third = make(tmp_path).run()
    assert [text for text in third.warnings if str(beside) in text]
    assert beside.exists()


def test_interrupted_run_leaves_the_earlier_one(tmp_path):
    """Ctrl-C in the middle: the earlier results stay, what was stored is beside them, and both are said."""

    def interrupt(data, ctx):
        if ctx["replicate"] == 1:
            raise KeyboardInterrupt
        return data

    first = make(tmp_path).run()
    with pytest.raises(RunInterrupted) as caught:
        make(tmp_path, steps=[fit, interrupt], replicates=3).run()
    second = caught.value.result
    beside = tmp_path / "trial" / f".run-{second.run.id}"
    assert metadata(tmp_path / "trial" / "v0")["run"] == first.run.id
    assert metadata(beside)["status"] == "interrupted"
    assert files(beside)["replicate_0/double/fit/model.txt"] == "2"
    assert second.warnings == [
        f"the run did not come to its end; what it had stored is in {beside}, earlier results are untouched"
    ]
    assert second.artifacts[0].read() == b"1"


def test_stream_that_is_left_early_replaces_nothing(tmp_path):
    """A run that was not read to its end has not finished."""
    first = make(tmp_path).run()
    with make(tmp_path, replicates=3).stream() as stream:
        next(stream)
    assert metadata(tmp_path / "trial" / "v0")["run"] == first.run.id
    assert "earlier results are untouched" in stream.result.warnings[-1]


def test_run_that_an_executor_fails_replaces_nothing(tmp_path):
    """A run that ends with an error has not finished."""

    class Lossy(BasePlugin):
        concurrency = "serial"

        def run_experiment_loop(self, experiment, replicate_fn):
            return [replicate_fn(0)]

    first = make(tmp_path).run()
    with pytest.raises(Exception, match="lost 1 of 2 replicates"):
        make(tmp_path, plugins=[Lossy()]).run()
    assert metadata(tmp_path / "trial" / "v0")["run"] == first.run.id


def test_replicates_that_a_plugin_leaves_out_leave_no_files(tmp_path):
    """Where a plugin had enough, files of later replicates do not depend on how far those had come."""

    class Enough(BasePlugin):
        def should_stop(self, experiment, outcomes):
            return len(outcomes) == 2 or None

    class Backwards(BasePlugin):
        concurrency = "serial"

        def run_experiment_loop(self, experiment, replicate_fn):
            return [replicate_fn(number) for number in (3, 2, 1, 0)][::-1]

    make(tmp_path, steps=[fit], plugins=[Enough(), Backwards()], replicates=4).run()
    assert {path.split("/")[0] for path in files(tmp_path / "trial" / "v0")} == {"replicate_0", "replicate_1"}


def test_resumed_replicates_bring_their_files(tmp_path):
    """What an earlier run stored and this one took over is in the folder of this one."""

    @attrs.define(eq=False)
    class Journal(BasePlugin):
        known: dict = attrs.field(factory=dict)

        def replicate_done(self, experiment, replicate, outcome):
            self.known.setdefault(replicate, pickle.dumps(outcome))

        def load_replicate(self, experiment, replicate):
            found = self.known.get(replicate)
            return None if found is None else pickle.loads(found)

    journal = Journal()
    first = make(tmp_path, plugins=[journal]).run(provenance="none")
    second = make(tmp_path, plugins=[journal], replicates=3).run(provenance="none")
    assert second.warnings == []
    folder = tmp_path / "trial" / "v0"
    assert metadata(folder)["run"] == second.run.id
    assert len(files(folder)) == 12
    assert [artifact.read() for artifact in second.artifacts][:8] == [
        content.encode()
        for replicate in (1, 2)
        for factor in (1, 2)
        for content in (f"{replicate * factor}", f"<svg>{replicate * factor}</svg>")
    ]
    assert second.artifacts[0].digest == first.artifacts[0].digest


def test_artifacts_in_another_store_stay_there(tmp_path):
    """What another plugin has stored under a URL is none of our business."""

    class Bucket(BasePlugin):
        def after_step(self, experiment, step, data, ctx):
            for record in ctx.artifacts:
                if record.name == "model.txt":
                    record.stored_at("s3://bucket/model.txt")

    result = make(tmp_path, plugins=[Bucket()], replicates=1).run()
    assert result.warnings == []
    assert list(files(tmp_path / "trial")) == [
        f"v0/replicate_0/{condition}/plot/plots/curve.svg" for condition in ("baseline", "double")
    ]
    assert result.artifacts[0].uri == "s3://bucket/model.txt"


def test_other_plugins_find_the_files_in_place(tmp_path):
    """Artifacts are in their final place before any other plugin's `after_run`."""
    seen = []

    class Look(BasePlugin):
        def after_run(self, experiment, result):
            seen.extend(Path(artifact.uri).exists() for artifact in result.artifacts)
            seen.append((tmp_path / "trial" / "v0" / "manifest.json").exists())

    make(tmp_path, plugins=[Look()], replicates=1).run()
    assert seen == [True] * 5


# --- options ---------------------------------------------------------------------------------------------


def test_options_as_documented():
    """The names, the order and the defaults of the options are part of the contract."""
    parameters = inspect.signature(ArtifactPlugin).parameters.values()
    assert {parameter.name: parameter.default for parameter in parameters} == {
        "root_dir": "./data",
        "versioned": False,
        "artifact_retention": 3,
        "big_file_threshold_mb": 10,
        "on_unstorable": "fail",
    }
    text = README.read_text()
    for field in attrs.fields(ArtifactPlugin):
        if field.init:
            assert f"| `{field.name}` |" in text
            assert field.metadata["help"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"artifact_retention": 0}, "artifact_retention must be a whole number of at least 1, found 0"),
        ({"artifact_retention": True}, "artifact_retention must be a whole number of at least 1, found True"),
        ({"big_file_threshold_mb": -1}, "big_file_threshold_mb must be a whole number of at least 0, found -1"),
        ({"big_file_threshold_mb": 1.5}, "big_file_threshold_mb must be a whole number of at least 0, found 1.5"),
    ],
)
def test_wrong_numbers_are_refused(options, message):
    """A number out of its range is refused with the name of its option."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        ArtifactPlugin(**options)


def run_with_large_files(root, times, **options):
    """Several versioned runs with a file of 2 MB each; the warnings of all of them."""

    def large(data, ctx):
        ctx.artifacts.add("large.bin", bytes(2 * 1024 * 1024))
        ctx.artifacts.add("small.bin", b"small")
        return data

    said = []
    for _ in range(times):
        experiment = Experiment(
            lambda ctx: 1, [large], plugins=[ArtifactPlugin(root_dir=root, **options)], autoload=False
        )
        said.append(experiment.run().warnings)
    return said


def kept(root):
    return {path.relative_to(root).parts[1] for path in root.rglob("large.bin")}


def test_nothing_is_deleted_that_nobody_asked_to_delete(tmp_path):
    """With defaults all versions stay whole, however many there are."""
    assert run_with_large_files(tmp_path, 5, versioned=True) == [[]] * 5
    assert kept(tmp_path) == {"v0", "v1", "v2", "v3", "v4"}


def test_default_that_was_said_counts_as_said(tmp_path):
    """`artifact_retention=3` is a wish, the default of 3 is not."""
    run_with_large_files(tmp_path, 3, versioned=True)
    said = run_with_large_files(tmp_path, 1, versioned=True, artifact_retention=3, big_file_threshold_mb=1)
    assert kept(tmp_path) == {"v1", "v2", "v3"}
    path = "replicate_0/baseline/large/large.bin"
    text = (
        f"removed 1 artifacts of more than 1 MB from {tmp_path / 'experiment' / 'v0'}, as it is not one of the "
        f"newest 3 versions (artifact_retention=3, big_file_threshold_mb=1): {path}"
    )
    assert said == [[text]]
    assert (tmp_path / "experiment" / "v0" / "replicate_0/baseline/large/small.bin").read_bytes() == b"small"
    with pytest.raises(ArtifactError, match=r"'large.bin' \(2097152 bytes\) was removed from .* by run"):
        ArtifactStore(tmp_path).read("experiment", "large.bin", version=0)


def test_retention_needs_versions(tmp_path):
    """Without `versioned=True` the retention options delete nothing."""
    run_with_large_files(tmp_path, 3, versioned=True)
    run_with_large_files(tmp_path, 1, artifact_retention=1, big_file_threshold_mb=1)
    assert kept(tmp_path) == {"v0", "v1", "v2", "v3"}


def test_environment_counts_as_said(tmp_path, monkeypatch):
    """The variables set the options, but never over what was said in code."""
    monkeypatch.setenv("CRYSTALLIZE_ARTIFACT_RETENTION", "1")
    monkeypatch.setenv("CRYSTALLIZE_BIG_FILE_THRESHOLD_MB", "1")
    plugin = ArtifactPlugin()
    assert (plugin.artifact_retention, plugin.big_file_threshold_mb) == (1, 1)
    assert ArtifactPlugin(artifact_retention=3).artifact_retention == 3
    run_with_large_files(tmp_path, 3, versioned=True)
    assert kept(tmp_path) == {"v2"}


@pytest.mark.parametrize("text", ["many", "0", "", "-1", "1.5"])
def test_wrong_environment_is_named(tmp_path, monkeypatch, text):
    """A variable that holds no such number stops the run before anything runs, with its name."""
    monkeypatch.setenv("CRYSTALLIZE_ARTIFACT_RETENTION", text)
    with pytest.raises(Exception, match="CRYSTALLIZE_ARTIFACT_RETENTION must be a whole number of at least 1") as found:
        make(tmp_path).run()
    assert isinstance(found.value.__cause__ or found.value, ConfigurationError)
    assert list(tmp_path.iterdir()) == []


# --- the page that people read -----------------------------------------------------------------------------


def test_readme_example(tmp_path, monkeypatch, capsys):
    """The example of the README runs and prints what it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    code = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert code is not None
    exec(compile(code[1], str(README), "exec"), {"__name__": "readme"})
    place = tmp_path / "results/scaling/v0/replicate_0/double/scale/scaled.txt"
    assert capsys.readouterr().out == f"{place}\nb'2 4 6'\n"


def test_public_names_are_sorted():
    """What is exported is what is in `__all__`."""
    import crystallize_artifacts

    assert list(crystallize_artifacts.__all__) == sorted(crystallize_artifacts.__all__)
    assert all(hasattr(crystallize_artifacts, name) for name in crystallize_artifacts.__all__)

"""What an experiment is made of: everything wrong with it is said at once, before anything runs."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import pytest

from crystallize_core import (
    Artifact,
    BasePlugin,
    DefinitionError,
    Experiment,
    ExperimentBuilder,
    Hypothesis,
    Pipeline,
    Treatment,
    treatment,
)


def source(ctx):
    return 1


def step(data):
    return data


def made(**parts: Any) -> Experiment:
    return Experiment(**{"datasource": source, "pipeline": [step], "autoload": False, **parts})


# Wrong arguments ----------------------------------------------------------------------------------


def test_all_wrong_arguments_are_reported_at_once():
    """One error lists every argument of the wrong kind, with what was found and what is expected."""
    with pytest.raises(DefinitionError) as caught:
        Experiment(
            5,
            [7],
            plugins=3,
            name="a/b",
            initial_ctx=[1],
            outputs=["file"],
            treatments=Treatment("a", {}),
            hypotheses=[len],
            replicates="3",
            autoload=False,
        )
    assert str(caught.value) == (
        "experiment 'a/b' cannot be made:\n"
        "  a datasource is a function of ctx or an object with fetch(ctx), found int 5; for fixed data write "
        "datasource=lambda ctx: data\n"
        "  pipeline step 1 is int 7; a step is a function of data, a @pipeline_step factory, a functools.partial of "
        "one, or a PipelineStep\n"
        "  experiment name 'a/b' is '.' or '..', or has a slash or a control character; it names a folder and a "
        "column, use something like 'min-max'\n"
        "  initial_ctx must be a mapping of names to values, found list [1]\n"
        "  outputs: expected Artifact, found str 'file'\n"
        "  treatments must be a list, found Treatment Treatment('a', {})\n"
        "  hypotheses: expected Hypothesis, found builtin_function_or_method <built-in function len>\n"
        "  replicates must be an int of at least 1, found str '3'\n"
        "  plugins must be a list, found int 3"
    )


@pytest.mark.parametrize("replicates", [0, -1, "3", True, 1.0, None])
def test_replicates_are_a_positive_integer(replicates):
    """Zero, negative numbers, texts, booleans and fractions are refused."""
    with pytest.raises(DefinitionError) as caught:
        made(replicates=replicates)
    assert str(caught.value) == (
        "experiment 'experiment' cannot be made:\n  replicates must be an int of at least 1, found "
        f"{type(replicates).__name__} {replicates!r}"
    )


@pytest.mark.parametrize("replicates", [0, -1, "3", True])
def test_replicates_of_one_run_are_checked_too(replicates):
    """`run(replicates=...)`, `arun` and `stream` check alike."""
    for way in ("run", "stream"):
        with pytest.raises(DefinitionError) as caught:
            getattr(made(), way)(replicates=replicates)
        assert str(caught.value) == (
            f"replicates must be an int of at least 1, found {type(replicates).__name__} {replicates!r}"
        )


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("..", "is '.' or '..', or has a slash or a control character"),
        (".", "is '.' or '..', or has a slash or a control character"),
        ("a/b", "is '.' or '..', or has a slash or a control character"),
        ("a\\b", "is '.' or '..', or has a slash or a control character"),
        ("a\nb", "is '.' or '..', or has a slash or a control character"),
        ("a\0b", "is '.' or '..', or has a slash or a control character"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("ä" * 101, "is longer than 200 bytes"),
        (5, "must be a str, found int"),
        (None, "must be a str, found NoneType"),
    ],
)
def test_a_treatment_is_named_like_a_folder(name, problem):
    """Names that could leave a folder, or are no names, are refused."""
    with pytest.raises(DefinitionError) as caught:
        Treatment(name, {})
    assert str(caught.value) == (
        f"treatment name {name!r} {problem}; it names a folder and a column, use something like 'min-max'"
    )


def test_two_treatments_of_one_name_are_refused():
    """A treatment with the name of another does not vanish."""
    with pytest.raises(DefinitionError) as caught:
        made(treatments=[Treatment("a", {"x": 1}), Treatment("a", {"x": 2})])
    assert str(caught.value) == "experiment 'experiment' cannot be made:\n  treatments: two are named 'a'"


@pytest.mark.parametrize(
    ("treatments", "problem"),
    [
        ([5], "treatments: expected Treatment, found int 5"),
        (["a"], "treatments: expected Treatment, found str 'a'"),
        ({"a": {}}, "treatments must be a list, found dict {'a': {}}"),
        ("ab", "treatments must be a list, found str 'ab'"),
        ([Treatment], f"treatments: expected Treatment, found type {Treatment!r}"),
    ],
)
def test_treatments_are_a_list_of_treatments(treatments, problem):
    """Everything else is refused with what was found."""
    with pytest.raises(DefinitionError) as caught:
        made(treatments=treatments)
    assert str(caught.value) == f"experiment 'experiment' cannot be made:\n  {problem}"


def test_a_function_among_the_treatments_is_refused():
    """A function of ctx is no treatment; the message shows how to make one of it."""

    def change(ctx):
        ctx.add("x", 1)

    with pytest.raises(DefinitionError) as caught:
        made(treatments=[change])
    assert str(caught.value) == (
        f"experiment 'experiment' cannot be made:\n  treatments: expected Treatment, found function {change!r}"
    )


def test_a_decorated_treatment_need_not_be_called():
    """`@treatment("name")` functions are accepted with and without parentheses."""

    @treatment("long")
    def long(ctx):
        ctx.add("epochs", 100)

    for given in (long, long()):
        assert [t.name for t in made(treatments=[given]).treatments] == ["long"]


@pytest.mark.parametrize("key", ["replicate", "condition", "", 5])
def test_the_first_context_has_keys_that_are_free(key):
    """`replicate` and `condition` say which cell it is; other keys are texts."""
    with pytest.raises(DefinitionError) as caught:
        made(initial_ctx={key: 1})
    assert str(caught.value) == (
        f"experiment 'experiment' cannot be made:\n  initial_ctx: {key!r} cannot be a key; keys are non-empty str, "
        "and not 'replicate' or 'condition'"
    )


@pytest.mark.parametrize("key", ["replicate", "condition", "", 5])
def test_a_treatment_has_keys_that_are_free(key):
    """The same holds for the keys of a treatment."""
    with pytest.raises(DefinitionError, match="treatment 'a': "):
        Treatment("a", {key: 1})


def test_a_treatment_is_a_mapping_or_a_function():
    """Anything else is refused."""
    with pytest.raises(DefinitionError) as caught:
        Treatment("a", 5)
    assert str(caught.value) == "treatment 'a': apply must be a mapping or a function of ctx, found int"


def test_unknown_strategies_and_provenance_are_refused_with_a_suggestion():
    """A misspelt keyword value is no silent default."""
    with pytest.raises(DefinitionError) as caught:
        made().run(strategy="resum")
    assert str(caught.value) == ("unknown strategy 'resum'; did you mean 'resume'? [experiment 'experiment']")
    with pytest.raises(DefinitionError) as caught:
        made().run(provenance="some")
    assert str(caught.value) == ("provenance must be 'first', 'all' or 'none', found 'some' [experiment 'experiment']")


@pytest.mark.parametrize("how", [{"resume": True}, {"strategy": "resume"}])
def test_resume_without_a_plugin_that_keeps_replicates_is_refused(how):
    """The message says what to install."""
    with pytest.raises(DefinitionError) as caught:
        made().run(**how)
    assert str(caught.value) == (
        "resume needs a plugin that keeps replicates, and this stack has none: pip install crystallize-runs "
        "[experiment 'experiment']"
    )


def test_an_artifact_name_cannot_leave_its_folder():
    """Outputs are checked when they are named."""
    from crystallize_core import ArtifactError

    for name in ("../x", "/etc/x", "a/../b", "", "a\\b", "C:x", "a//b", "x" * 300):
        with pytest.raises(ArtifactError, match="artifact name"):
            Artifact(name)


# Looking ------------------------------------------------------------------------------------------


def test_an_experiment_shows_what_it_is():
    """Its text names pipeline, treatments and replicates."""
    experiment = made(name="sums", treatments=[Treatment("a", {}), Treatment("b", {})], replicates=3)
    assert repr(experiment) == "<Experiment 'sums': Pipeline(step), treatments: a, b, 3 replicates>"
    assert repr(made()) == "<Experiment 'experiment': Pipeline(step), treatments: none, 1 replicates>"


def test_plugins_can_be_found_by_class_and_name():
    """`get_plugin` gives the object or None."""

    class Mine(BasePlugin):
        plugin_name = "mine"

        def after_run(self, experiment, result):
            pass

    plugin = Mine()
    experiment = made(plugins=[plugin])
    assert experiment.get_plugin("mine") is experiment.get_plugin(Mine) is plugin
    assert experiment.get_plugin("other") is None
    assert experiment.plugins == [plugin]


def test_validate_runs_nothing():
    """`validate` checks and calls neither datasource nor steps."""
    called = []
    experiment = made(datasource=lambda ctx: called.append(1), pipeline=[lambda data: called.append(2)])
    assert experiment.validate() is None
    assert called == []


def test_a_plugin_is_attached_once():
    """`init_hook` is called once per process that holds the experiment, however often it runs."""
    attached = []

    class Counts(BasePlugin):
        def init_hook(self, experiment):
            attached.append(experiment.name)

    experiment = made(plugins=[Counts()], name="one")
    experiment.run()
    experiment.run(replicates=2)
    experiment.apply()
    experiment.validate()
    list(experiment.stream())
    assert attached == ["one"]


def test_what_a_plugin_configures_holds_for_every_run():
    """A treatment that a plugin adds in `init_hook` is there once, in the first run and in the second."""

    class Adds(BasePlugin):
        def init_hook(self, experiment):
            experiment.treatments.append(Treatment("more", {"x": 1}))

    experiment = made(plugins=[Adds()])
    assert [list(experiment.run().metrics.treatments) for _ in range(2)] == [["more"], ["more"]]


def test_a_run_changes_nothing_on_the_experiment():
    """Keywords of `run` hold for that run only."""
    experiment = made(replicates=1, treatments=[Treatment("a", {})])
    before = dict(experiment.__dict__)
    result = experiment.run(replicates=3, treatments=[Treatment("b", {})], hypotheses=[])
    assert (result.run.info.replicates, result.run.info.conditions) == (3, ("baseline", "b"))
    assert experiment.__dict__ == before


# Treatments and bound arguments -------------------------------------------------------------------


def scale(data, factor=1):
    return data * factor


def test_a_treatment_that_a_bound_argument_hides_is_warned_about():
    """The warning names treatment, step and parameter, and points at the caller's line."""
    experiment = made(pipeline=[functools.partial(scale, factor=2)], treatments=[Treatment("ten", {"factor": 10})])
    with pytest.warns(UserWarning, match="treatment 'ten' sets 'factor'") as caught:
        result = experiment.run()
    (warning,) = caught
    assert str(warning.message) == (
        "treatment 'ten' sets 'factor', but step 'scale' has its parameter 'factor' bound, and a bound argument wins: "
        "the treatment has no effect there"
    )
    assert warning.filename == __file__
    assert list(result.metrics.treatments) == ["ten"]


@pytest.mark.parametrize(
    "hidden",
    [
        Treatment("ten", lambda ctx: ctx.add("factor", 10)),
        Treatment("ten", lambda ctx: ctx.override("factor", 10)),
        Treatment("baseline", {"factor": 10}),
    ],
    ids=["function", "override", "baseline"],
)
def test_every_kind_of_treatment_is_warned_about(hidden):
    """Functions, overrides and the baseline's own treatment are looked at as well."""
    with pytest.warns(UserWarning, match=f"treatment '{hidden.name}' sets 'factor'"):
        made(pipeline=[functools.partial(scale, factor=2)], treatments=[hidden]).validate()


def test_an_override_of_a_hidden_key_is_warned_about():
    """That the key is in `initial_ctx` too does not make the treatment any more effective."""
    with pytest.warns(UserWarning, match="treatment 'ten' sets 'factor'"):
        made(
            pipeline=[functools.partial(scale, factor=2)],
            initial_ctx={"factor": 1},
            treatments=[Treatment("ten", {"factor": 10}, override=True)],
        ).validate()


def test_a_treatment_that_nothing_hides_gives_no_warning():
    """Without a bound argument of that name there is nothing to say."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(pipeline=[scale], treatments=[Treatment("ten", {"factor": 10})]).validate()
        made(pipeline=[functools.partial(scale, factor=2)], initial_ctx={"factor": 1}).validate()


# The builder --------------------------------------------------------------------------------------


def test_the_builder_makes_the_same_experiment():
    """Every part of the constructor has a method, and steps add up."""

    class Mine(BasePlugin):
        pass

    mine, hypothesis = Mine(), Hypothesis(lambda b, t: {}, "total")
    experiment = (
        Experiment.builder("sums")
        .description("text")
        .datasource(lambda ctx: [1, 2])
        .pipeline(Pipeline([sorted]))
        .add_step(sum)
        .plugins([mine])
        .treatments([Treatment("a", {"x": 1})])
        .hypotheses([hypothesis])
        .replicates(2)
        .initial_ctx({"y": 1})
        .outputs([Artifact("file")])
        .autoload(False)
        .build()
    )
    assert experiment.apply() == 3
    assert (experiment.name, experiment.description, experiment.replicates) == ("sums", "text", 2)
    assert experiment.pipeline.step_names == ["sorted", "sum"]
    assert (experiment.plugins, experiment.hypotheses, experiment.initial_ctx) == ([mine], [hypothesis], {"y": 1})
    assert [t.name for t in experiment.treatments] == ["a"]
    assert [o.name for o in experiment.outputs] == ["file"]


def test_every_method_of_the_builder_gives_the_builder():
    """Calls can be chained in any order."""
    builder = Experiment.builder()
    assert isinstance(builder, ExperimentBuilder)
    assert builder.replicates(2) is builder.add_step(sum) is builder.datasource(source) is builder


def test_the_builder_reports_what_is_missing():
    """An experiment without datasource and steps is refused when it is built, with all problems."""
    with pytest.raises(DefinitionError) as caught:
        Experiment.builder("empty").replicates(0).build()
    assert str(caught.value) == (
        "experiment 'empty' cannot be made:\n"
        "  a datasource is a function of ctx or an object with fetch(ctx), found NoneType None; for fixed data write "
        "datasource=lambda ctx: data\n"
        "  a pipeline needs at least one step; one that gets its steps later is given a name in their place: "
        'Pipeline("etl").add_step(...)\n'
        "  replicates must be an int of at least 1, found int 0"
    )


def test_the_builder_builds_subclasses():
    """`Sub.builder()` makes a `Sub`."""

    class Sub(Experiment):
        pass

    assert type(Sub.builder().datasource(source).add_step(step).autoload(False).build()) is Sub

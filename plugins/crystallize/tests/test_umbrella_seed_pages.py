"""The API as its reference pages use it: steps, hooks, plugins and pipelines, written as a user writes them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from functools import partial
from typing import Any

import pytest

from crystallize import (
    BASELINE_CONDITION,
    CONDITION_KEY,
    REPLICATE_KEY,
    SEED_USED_KEY,
    Artifact,
    ArtifactPlugin,
    BasePlugin,
    Experiment,
    FrozenContext,
    LoggingPlugin,
    ParallelExecution,
    Pipeline,
    PipelineStep,
    SeedPlugin,
    Treatment,
    default_seed_function,
    pipeline_step,
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    """The cache and the artifacts of a test stay with it."""
    monkeypatch.chdir(tmp_path)


@pipeline_step(cacheable=True)
def scale_data(data: list, ctx: FrozenContext, *, factor: float = 1.0) -> list:
    """Every number times `factor`, which comes from the context where it is not bound."""
    return [x * factor for x in data]


@pipeline_step()
def normalize(data: list, ctx: FrozenContext) -> list:
    scale = ctx.get("scale_factor", 1.0)
    return [x / scale for x in data]


@pipeline_step()
def compute_sum(data):
    total = sum(data)
    return data, {"sum": total}


@pipeline_step()
def add_sum(data, ctx: FrozenContext):
    total = sum(data)
    ctx.metrics.add("sum", total)
    return data


@pipeline_step()
async def fetch_remote(data: str, ctx: FrozenContext) -> str:
    await asyncio.sleep(0)
    return data + "!"


@pipeline_step(cacheable=True)
def heavy_transform(data, ctx: FrozenContext, method: str = "a"):
    return [method, *data]


class Model:
    """Stands for what takes long to load."""

    loaded = 0

    def __init__(self):
        type(self).loaded += 1

    def predict(self, data):
        return [-x for x in data]


class ModelStep(PipelineStep):
    cacheable = False

    def __init__(self):
        self.model = Model()

    def __call__(self, data, ctx):
        return self.model.predict(data)

    @property
    def params(self):
        return {}


def _pipeline_of(*steps: Any) -> Pipeline:
    return Pipeline(list(steps))


# Steps ------------------------------------------------------------------------------------------------


def test_calling_a_decorated_function_gives_a_step():
    """With its parameters bound."""
    scaler = scale_data(factor=2.0)
    assert isinstance(scaler, PipelineStep)
    assert isinstance(scale_data(), PipelineStep)
    assert dict(scaler.params) == {"factor": 2.0}
    assert _pipeline_of(scaler).run([1, 2], FrozenContext({})) == [2.0, 4.0]


def test_a_partial_and_a_factory_that_was_not_called_are_steps_too():
    """In one list."""
    steps = [partial(scale_data, factor=2.0), normalize]
    assert Pipeline(steps).run([1, 2], FrozenContext({"scale_factor": 4.0})) == [0.5, 1.0]


@pytest.mark.parametrize(
    ("step", "context", "expected"),
    [
        (scale_data(), {}, [1.0]),
        (scale_data(), {"factor": 3.0}, [3.0]),
        (scale_data(factor=2.0), {"factor": 3.0}, [2.0]),
    ],
)
def test_a_parameter_is_bound_or_from_the_context_or_its_default(step, context, expected):
    """The first of these that is there."""
    assert _pipeline_of(step).run([1], FrozenContext(context)) == expected


def test_the_context_knows_the_replicate_and_keeps_files():
    """What a parameter cannot say."""

    @pipeline_step()
    def report(data, ctx):
        ctx.artifacts.add("report.txt", f"replicate {ctx.get('replicate')}".encode())
        ctx.metrics.add("replicate", ctx.get("replicate"))
        return data

    result = Experiment(datasource=lambda ctx: 1, pipeline=[report], replicates=2).run()
    assert result.metrics.baseline.metrics == {"replicate": [0, 1]}
    assert result.get_artifact("report.txt", replicate=1) == b"replicate 1"


def test_an_artifact_is_written_by_its_step():
    """A step takes it as a parameter of its name and calls `Artifact.write()`."""

    @pipeline_step()
    def report(data, summary):
        summary.write(b"all of it")
        return data

    experiment = Experiment(datasource=lambda ctx: 1, pipeline=[report], outputs=[Artifact("summary")])
    assert experiment.run().get_artifact("summary") == b"all of it"


@pytest.mark.parametrize("step", [compute_sum, add_sum])
def test_metrics_are_returned_or_added(step):
    """Both ways give the same, and the data goes on without them."""
    experiment = Experiment(datasource=lambda ctx: [1, 2, 3], pipeline=[step, compute_sum], replicates=2)
    assert experiment.run().metrics.baseline.metrics == {"sum": [6, 6, 6, 6]}


def test_a_cacheable_step_runs_again_only_when_something_changed(tmp_path):
    """Its parameters or its input; the entries lie where they are said to lie."""
    hits = []
    for data, method in (([1], "a"), ([1], "a"), ([1], "b"), ([2], "a"), ([2], "a")):
        pipeline = _pipeline_of(heavy_transform(method=method))
        output, (record,) = pipeline.run(data, FrozenContext({}), return_provenance=True)
        assert output == [method, *data]
        hits.append(record["cache_hit"])
    assert hits == [False, True, False, False, True]
    folders = {path.parent.parent for path in tmp_path.glob(".cache/*/*") if path.is_file()}
    assert folders == {tmp_path / ".cache"}


def test_a_step_is_not_cached_unless_it_says_so():
    """The default of the decorator."""
    assert [scale_data().cacheable, normalize().cacheable, ModelStep().cacheable] == [True, False, False]


def test_a_class_based_step_is_made_once():
    """All replicates share what it loaded."""
    Model.loaded = 0
    step = ModelStep()
    experiment = Experiment(datasource=lambda ctx: [1, 2], pipeline=Pipeline([step, compute_sum()]), replicates=3)
    assert experiment.run().metrics.baseline.metrics == {"sum": [-3, -3, -3]}
    assert Model.loaded == 1


def test_an_async_step_runs_with_run_and_with_arun():
    """`Pipeline.run` waits for it."""
    pipeline = _pipeline_of(fetch_remote())
    assert pipeline.run("data", FrozenContext({})) == "data!"
    assert asyncio.run(pipeline.arun("data", FrozenContext({}))) == "data!"


def test_an_async_step_in_an_experiment():
    """As any other."""

    @pipeline_step()
    def length(data):
        return data, {"length": len(data)}

    experiment = Experiment(datasource=lambda ctx: "data", pipeline=[fetch_remote, length], replicates=2)
    assert experiment.run().metrics.baseline.metrics == {"length": [5, 5]}
    assert asyncio.run(experiment.arun()).metrics.baseline.metrics == {"length": [5, 5]}


@pytest.mark.parametrize("total", [compute_sum, add_sum])
def test_putting_it_together(total):
    """Partial, called factories, an executor, `validate`, `run` with replicates, and the metrics as flat lists."""
    exp = Experiment(
        datasource=lambda ctx: [1, 2, 3],
        pipeline=Pipeline([partial(scale_data, factor=1.5), normalize(), total()]),
        plugins=[ParallelExecution()],
    )
    exp.validate()
    result = exp.run(replicates=3)
    assert result.metrics.baseline.metrics == {"sum": [9.0, 9.0, 9.0]}


def test_the_context_cannot_be_changed_by_a_step_but_treatments_add_to_it():
    """New keys only."""

    def treat(ctx):
        ctx.add("factor", 2.0)

    @pipeline_step()
    def overwrite(data, ctx):
        ctx.add("factor", 3.0)

    experiment = Experiment(
        datasource=lambda ctx: [1], pipeline=[scale_data, compute_sum], treatments=[Treatment("double", treat)]
    )
    assert experiment.run().metrics.treatments["double"].metrics == {"sum": [2.0]}
    failing = Experiment(datasource=lambda ctx: [1], pipeline=[overwrite], treatments=[Treatment("double", treat)])
    assert list(failing.run().errors) == ["double_rep_0"]


# Plugins ----------------------------------------------------------------------------------------------


def _parameters(function: Any) -> dict[str, Any]:
    """The parameters without `self`, with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "self"}


@pytest.mark.parametrize(
    ("hook", "arguments"),
    [
        ("init_hook", ["experiment"]),
        ("before_run", ["experiment"]),
        ("run_experiment_loop", ["experiment", "replicate_fn"]),
        ("before_replicate", ["experiment", "ctx"]),
        ("before_step", ["experiment", "step"]),
        ("after_step", ["experiment", "step", "data", "ctx"]),
        ("after_run", ["experiment", "result"]),
    ],
)
def test_base_plugin_has_the_hooks_with_these_first_arguments(hook, arguments):
    """Arguments may be added behind them, never removed or reordered."""
    assert list(_parameters(getattr(BasePlugin, hook)))[: len(arguments)] == arguments


@pytest.mark.parametrize(
    ("plugin", "defaults"),
    [
        (SeedPlugin, {"seed": None, "auto_seed": True, "seed_fn": None}),
        (LoggingPlugin, {"verbose": False, "log_level": "INFO"}),
        (
            ArtifactPlugin,
            {"root_dir": "./data", "versioned": False, "artifact_retention": 3, "big_file_threshold_mb": 10},
        ),
    ],
)
def test_a_plugin_has_these_arguments_and_defaults(plugin, defaults):
    """By position in this order, and by name."""
    parameters = _parameters(plugin)
    first = dict(list(parameters.items())[: len(defaults)])
    assert list(first) == list(defaults)
    made = plugin()
    assert {name: str(getattr(made, name)) for name in defaults} == {
        name: str(getattr(plugin(*defaults.values()), name)) for name in defaults
    }
    assert isinstance(plugin(**defaults), BasePlugin)
    for name, default in defaults.items():
        assert first[name] == default or type(first[name]).__name__ in {"Factory", "_Nothing"}


@pytest.mark.parametrize("plugin", [SeedPlugin, LoggingPlugin, ArtifactPlugin])
def test_a_plugin_has_every_hook_as_a_method(plugin):
    """Also those that it leaves as they are."""
    hooks = (
        "init_hook",
        "before_run",
        "run_experiment_loop",
        "before_replicate",
        "before_step",
        "after_step",
        "after_run",
    )
    assert all(callable(getattr(plugin, hook)) for hook in hooks)
    assert plugin().run_experiment_loop(None, lambda number: None) is NotImplemented


def test_the_keys_of_the_engine_have_names():
    """As constants."""
    keys = (REPLICATE_KEY, CONDITION_KEY, BASELINE_CONDITION, SEED_USED_KEY)
    assert keys == ("replicate", "condition", "baseline", "seed_used")


def test_default_seed_function_seeds_the_common_libraries():
    """Without returning anything."""
    import random

    assert list(inspect.signature(default_seed_function).parameters) == ["seed"]
    assert default_seed_function(7) is None
    drawn = random.random()
    default_seed_function(7)
    assert random.random() == drawn


class Recorder(BasePlugin):
    """Writes down which hook was called with what."""

    def __init__(self):
        self.calls = []

    def init_hook(self, experiment):
        self.calls.append(("init_hook", experiment.name))

    def before_run(self, experiment):
        self.calls.append(("before_run", experiment.name))

    def before_replicate(self, experiment, ctx):
        self.calls.append(("before_replicate", ctx["replicate"], ctx["condition"]))

    def before_step(self, experiment, step):
        self.calls.append(("before_step", step.name))

    def after_step(self, experiment, step, data, ctx):
        self.calls.append(("after_step", step.name, data, dict(ctx.metrics.as_dict())))

    def after_run(self, experiment, result):
        self.calls.append(("after_run", result.metrics.baseline.metrics))


def test_hooks_are_called_in_this_order():
    """With the step's metrics there in `after_step`, and the aggregated ones in `after_run`."""
    recorder = Recorder()
    experiment = Experiment(
        datasource=lambda ctx: [ctx["replicate"]],
        pipeline=[scale_data, compute_sum],
        plugins=[recorder],
        name="recorded",
        autoload=False,
    )
    experiment.run(replicates=2)
    assert recorder.calls == [
        ("init_hook", "recorded"),
        ("before_run", "recorded"),
        *(
            call
            for n in (0, 1)
            for call in (
                ("before_replicate", n, "baseline"),
                ("before_step", "scale_data"),
                ("after_step", "scale_data", [float(n)], {}),
                ("before_step", "compute_sum"),
                ("after_step", "compute_sum", [float(n)], {"sum": (float(n),)}),
            )
        ),
        ("after_run", {"sum": [0.0, 1.0]}),
    ]


def test_data_is_fetched_after_before_replicate():
    """So that a plugin can prepare the context for the datasource."""

    class Provider(BasePlugin):
        def before_replicate(self, experiment, ctx):
            ctx.add("size", 4)

    experiment = Experiment(lambda ctx: list(range(ctx["size"])), [compute_sum], [Provider()], autoload=False)
    assert experiment.run().metrics.baseline.metrics == {"sum": [6]}


def test_a_plugin_may_run_the_replicates():
    """In whatever order; it returns them in theirs."""
    seen = []

    class Backwards(BasePlugin):
        def run_experiment_loop(self, experiment, replicate_fn):
            seen.append(experiment.replicates)
            return [replicate_fn(number) for number in reversed(range(experiment.replicates))][::-1]

    experiment = Experiment(lambda ctx: [ctx["replicate"]], [compute_sum], [Backwards()], replicates=3)
    assert experiment.run().metrics.baseline.metrics == {"sum": [0, 1, 2]}
    assert seen == [3]


def test_a_plugin_that_returns_not_implemented_leaves_it_to_the_default():
    """The plain loop."""

    class Undecided(BasePlugin):
        def run_experiment_loop(self, experiment, replicate_fn):
            return NotImplemented

    experiment = Experiment(lambda ctx: [ctx["replicate"]], [compute_sum], [Undecided()], replicates=3)
    assert experiment.run().metrics.baseline.metrics == {"sum": [0, 1, 2]}


def test_a_seed_makes_runs_equal():
    """With the default and with a function of one's own."""
    import random

    @pipeline_step()
    def draw(data):
        return data, {"drawn": random.random()}

    def run(plugin):
        return Experiment(lambda ctx: 1, [draw], [plugin], replicates=3).run().metrics.baseline.metrics["drawn"]

    assert run(SeedPlugin(seed=7)) == run(SeedPlugin(7)) != run(SeedPlugin(seed=8))
    seeded = []
    own = SeedPlugin(seed=7, seed_fn=lambda seed: seeded.append(seed) or random.seed(seed))
    assert run(own) == run(own)
    assert seeded[: len(seeded) // 2] == seeded[len(seeded) // 2 :] != []


# Pipelines --------------------------------------------------------------------------------------------


def test_the_methods_of_a_pipeline_have_these_arguments():
    """In this order, with these defaults, for `run` and `arun`."""
    expected = {
        "data": inspect.Parameter.empty,
        "ctx": inspect.Parameter.empty,
        "verbose": False,
        "progress": False,
        "rep": None,
        "condition": None,
        "logger": None,
        "return_provenance": False,
        "experiment": None,
    }
    for method in (Pipeline.run, Pipeline.arun):
        found = _parameters(method)
        assert list(found)[: len(expected)] == list(expected)
        assert {name: found[name] for name in list(expected)[2:]} == dict(list(expected.items())[2:])
    assert inspect.iscoroutinefunction(Pipeline.arun)


def test_a_pipeline_runs_with_positional_and_with_keyword_arguments():
    """All of them."""
    pipeline = _pipeline_of(scale_data(factor=2.0), compute_sum())
    logger = logging.getLogger("test_umbrella_seed_pages")
    by_position = pipeline.run([1, 2], FrozenContext({}), False, False, 3, "baseline", logger, False, None)
    by_name = pipeline.run(
        data=[1, 2],
        ctx=FrozenContext({}),
        verbose=False,
        progress=False,
        rep=3,
        condition="baseline",
        logger=logger,
        return_provenance=False,
        experiment=None,
    )
    assert by_position == by_name == [2.0, 4.0]
    assert asyncio.run(pipeline.arun([1, 2], FrozenContext({}), rep=3, condition="baseline")) == [2.0, 4.0]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_pipeline_returns_its_provenance_where_it_is_asked_for(is_async):
    """One record per step, with cache hits and the changes of the context; kept for `get_provenance`."""
    pipeline = _pipeline_of(scale_data(), compute_sum())
    ctx = FrozenContext({"factor": 2.0})
    if is_async:
        output, provenance = asyncio.run(pipeline.arun([1, 2], ctx, return_provenance=True))
    else:
        output, provenance = pipeline.run([1, 2], ctx, return_provenance=True)
    assert output == [2.0, 4.0]
    assert [(record["step"], record["cache_hit"]) for record in provenance] == [
        ("scale_data", False),
        ("compute_sum", False),
    ]
    assert provenance[0]["ctx_changes"]["reads"] == {"factor": 2.0}
    assert list(pipeline.get_provenance()) == list(provenance)
    _, again = pipeline.run([1, 2], FrozenContext({"factor": 2.0}), return_provenance=True)
    assert [record["cache_hit"] for record in again] == [True, False]


def test_provenance_cannot_be_changed():
    """It is a record."""
    pipeline = _pipeline_of(compute_sum())
    pipeline.run([1], FrozenContext({}))
    with pytest.raises(TypeError):
        pipeline.get_provenance()[0]["step"] = "another"


def test_metrics_of_a_pipeline_that_runs_alone_are_in_its_context():
    """As there is no experiment to collect them."""
    ctx = FrozenContext({})
    _pipeline_of(compute_sum()).run([1, 2], ctx)
    assert ctx.metrics.as_dict() == {"sum": (3,)}


def test_a_signature_says_what_a_pipeline_does():
    """A text that changes with the steps and their parameters, and with nothing else."""
    signatures = [
        _pipeline_of(scale_data(factor=1.0), compute_sum()).signature(),
        _pipeline_of(scale_data(factor=2.0), compute_sum()).signature(),
        _pipeline_of(compute_sum(), scale_data(factor=1.0)).signature(),
    ]
    assert all(isinstance(signature, str) and hash(signature) for signature in signatures)
    assert len(set(signatures)) == 3
    assert _pipeline_of(scale_data(factor=1.0), compute_sum()).signature() == signatures[0]

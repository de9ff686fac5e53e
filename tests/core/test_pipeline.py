"""Pipelines on their own: run, arun, provenance, signature."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crystallize_core import (
    DefinitionError,
    Experiment,
    FingerprintError,
    FrozenContext,
    Pipeline,
    PipelineStep,
    StepError,
    pipeline,
    pipeline_step,
)


def add(data, ctx, *, by=1):
    ctx.record("sum", data + by)
    return data + by


def double(data):
    return data * 2


async def double_later(data):
    await asyncio.sleep(0)
    return data * 2


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """No project and no installed plugin takes part."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")


def test_steps_run_one_after_the_other():
    """Each step gets what the one before returned."""
    assert Pipeline([add, double, add]).run(1) == 5


def test_the_arguments_of_run_may_be_positional():
    """`run(data, ctx, verbose, progress, rep, condition, logger, return_provenance)` in that order."""
    seen = []

    def look(data, ctx):
        seen.append((ctx["replicate"], ctx["condition"], ctx.logger.name))
        return data

    logger = logging.getLogger("mine")
    output, records = Pipeline([look]).run(1, FrozenContext(), False, False, 3, "cond", logger, True)
    assert (output, len(records)) == (1, 1)
    assert seen == [(3, "cond", "mine")]


def test_rep_and_condition_do_not_replace_what_is_there():
    """A context that says which cell it is keeps saying so."""
    ctx = FrozenContext({"replicate": 1, "condition": "a"})
    assert Pipeline([lambda data, ctx: (ctx["replicate"], ctx["condition"])]).run(0, ctx, rep=2, condition="b") == (
        1,
        "a",
    )


def test_metrics_and_additions_are_in_the_context_afterwards():
    """The context that was passed in holds what the steps recorded and added."""
    ctx = FrozenContext()
    Pipeline([add, lambda data, ctx: ctx.add("done", True)]).run(1, ctx)
    assert ctx.metrics["sum"] == (2,)
    assert ctx["done"] is True


def test_something_else_as_context_is_refused():
    """A dictionary is no context, and the message shows how to make one of it."""
    with pytest.raises(DefinitionError) as caught:
        Pipeline([double]).run(1, {"a": 1})
    assert str(caught.value) == "ctx must be a FrozenContext, found dict; write FrozenContext({...})"


def test_return_provenance_gives_output_and_records():
    """Each record tells how parameters were filled, what was read, written and recorded, and how long it took."""

    def step(data, ctx, *, by=1, size=5):
        ctx.add("new", [1])
        ctx.get("missing")
        ctx.artifacts.add("file", b"")
        ctx.emit("event")
        return data + by + ctx["offset"], {"m": 2}

    output, (record,) = Pipeline([pipeline_step()(step)(by=10)]).run(
        1, FrozenContext({"offset": 100, "size": 7}), return_provenance=True
    )
    assert output == 111
    duration = record.pop("duration_seconds")
    assert duration > 0
    assert record == {
        "step": "step",
        "params": {"by": 10},
        "filled": {"data": "data", "ctx": "ctx", "by": "bound", "size": "context"},
        "cache_hit": False,
        "attempts": 1,
        "artifacts": ("file",),
        "events": ("event",),
        "ctx_changes": {
            "reads": {"offset": 100, "size": 7},
            "missed": ("missing",),
            "wrote": {"new": {"before": None, "after": [1]}},
            "metrics": {"m": {"before": (), "after": (2,)}},
        },
    }


def test_the_provenance_of_the_last_run_can_be_asked_for():
    """`get_provenance` holds the records of the last run only, and none before the first."""
    steps = Pipeline([add, double])
    assert steps.get_provenance() == ()
    steps.run(1)
    steps.run(5)
    assert [record["step"] for record in steps.get_provenance()] == ["add", "double"]
    assert steps.get_provenance()[0]["ctx_changes"]["metrics"] == {"sum": {"before": (), "after": (6,)}}


def test_provenance_cannot_be_written():
    """The records are read-only, and what `run` returned is not connected with them."""
    steps = Pipeline([add])
    _, records = steps.run(1, return_provenance=True)
    records[0]["step"] = "changed"
    assert steps.get_provenance()[0]["step"] == "add"
    with pytest.raises(TypeError):
        steps.get_provenance()[0]["step"] = "changed"


def test_the_provenance_of_a_failed_run_ends_with_the_error():
    """The step that raised has a record with its error."""

    def fails(data):
        raise ValueError("no")

    steps = Pipeline([add, fails, double])
    with pytest.raises(StepError):
        steps.run(1)
    assert [(record["step"], record.get("error")) for record in steps.get_provenance()] == [
        ("add", None),
        ("fails", "ValueError: no"),
    ]


def test_an_error_names_step_replicate_and_condition():
    """The address is as far as it is known, and the cause is what the step raised."""

    def fails(data):
        raise ValueError("no")

    with pytest.raises(StepError) as caught:
        Pipeline([fails]).run(1, rep=2, condition="long")
    assert str(caught.value) == "step 'fails' failed: ValueError: no [replicate 2, condition 'long', step 'fails']"
    assert type(caught.value.__cause__) is ValueError
    with pytest.raises(StepError) as caught:
        Pipeline([fails]).run(1)
    assert str(caught.value) == "step 'fails' failed: ValueError: no [step 'fails']"


def test_verbose_logs_each_step(caplog):
    """`verbose=True` says which step finished, through the logger of the context."""
    with caplog.at_level(logging.INFO, logger="crystallize"):
        Pipeline([add, double]).run(1, verbose=True)
    assert [record.getMessage().rpartition(" in ")[0] for record in caplog.records] == [
        "step add finished",
        "step double finished",
    ]


def test_progress_writes_lines_to_standard_error(capsys):
    """`progress=True` writes one line per step where no terminal is, and nothing to standard output."""
    Pipeline([add, double]).run(1, progress=True)
    assert capsys.readouterr() == ("", "1/2 add\n2/2 double\n")


def test_nothing_is_printed_unless_asked_for(capsys):
    """A quiet run is silent."""
    Pipeline([add, double]).run(1)
    assert capsys.readouterr() == ("", "")


# Sync and async -----------------------------------------------------------------------------------


def test_arun_is_the_awaitable_form():
    """`await arun(...)` gives what `run(...)` gives."""
    steps = Pipeline([add, double_later])
    assert asyncio.run(steps.arun(1)) == steps.run(1) == 4
    output, records = asyncio.run(steps.arun(1, return_provenance=True))
    assert (output, [record["step"] for record in records]) == (4, ["add", "double_later"])


def test_run_works_inside_a_running_event_loop():
    """`run` may be called where a loop runs already, as in a notebook."""

    async def main():
        return Pipeline([add, double_later]).run(1)

    assert asyncio.run(main()) == 4


def test_async_steps_share_one_loop():
    """All async steps of a run are on one event loop, so that they can share what belongs to a loop."""

    async def begin(data):
        return [asyncio.get_running_loop(), asyncio.get_running_loop().create_future()]

    async def end(data):
        loop, future = data
        loop.call_soon(future.set_result, "from the same loop")
        return await future, loop is asyncio.get_running_loop()

    async def main():
        return Pipeline([begin, end]).run(1)

    assert Pipeline([begin, end]).run(1) == ("from the same loop", True)
    assert asyncio.run(main()) == ("from the same loop", True)
    assert asyncio.run(Pipeline([begin, end]).arun(1)) == ("from the same loop", True)


def test_context_variables_reach_async_steps():
    """What the caller set in a context variable is seen by the steps, with and without a running loop."""
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable", default="unset")

    async def look(data):
        return variable.get()

    async def main():
        variable.set("set inside")
        return Pipeline([look]).run(1)

    variable.set("set outside")
    assert Pipeline([look]).run(1) == "set outside"
    assert asyncio.run(main()) == "set inside"


@pytest.mark.parametrize("inside", [False, True], ids=["plain", "inside a loop"])
def test_whatever_an_async_step_raises_comes_out(inside):
    """Errors, also those that stop a program, come through a running loop and without one."""

    def run(error):
        async def fails(data):
            raise error

        async def main():
            return Pipeline([fails]).run(1)

        return asyncio.run(main()) if inside else Pipeline([fails]).run(1)

    with pytest.raises(StepError) as caught:
        run(ValueError("no"))
    assert str(caught.value) == "step 'fails' failed: ValueError: no [step 'fails']"
    with pytest.raises(SystemExit):
        run(SystemExit(3))


def test_a_run_leaves_no_thread_behind():
    """Helper threads of a run inside a loop end with the run."""

    async def main():
        Pipeline([double_later, double_later]).run(1)
        return threading.active_count()

    before = threading.active_count()
    assert asyncio.run(main()) == before


def test_one_pipeline_runs_in_many_threads():
    """Runs at once do not disturb each other."""
    steps = Pipeline([add, double_later, add])
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(steps.run, range(50))) == [(n + 1) * 2 + 1 for n in range(50)]


# What a pipeline is made of -----------------------------------------------------------------------


@pytest.mark.parametrize("empty", [[], (), iter([])], ids=["list", "tuple", "iterator"])
def test_an_empty_pipeline_is_refused(empty):
    """A pipeline has at least one step."""
    with pytest.raises(DefinitionError) as caught:
        Pipeline(empty)
    assert str(caught.value) == (
        "a pipeline needs at least one step; one that gets its steps later is given a name in their place: "
        'Pipeline("etl").add_step(...)'
    )


@pytest.mark.parametrize("wrong", [b"add", None, 5, len])
def test_a_pipeline_is_made_of_a_list(wrong):
    """Bytes, numbers and single functions are no list of steps."""
    with pytest.raises(DefinitionError) as caught:
        Pipeline(wrong)
    assert str(caught.value) == f"Pipeline needs a list of steps or a name, found {type(wrong).__qualname__} {wrong!r}"


def test_nested_lists_are_refused():
    """A list inside a list of steps is named with its place."""
    with pytest.raises(DefinitionError) as caught:
        Pipeline([double, [double]])
    assert str(caught.value).startswith("pipeline step 2 is list [<function double at ")


def test_a_pipeline_is_made_of_its_arguments_too():
    """`pipeline(a, b)` is `Pipeline([a, b])`, and a pipeline can be walked."""
    steps = pipeline(add, double)
    assert steps.run(1) == 4
    assert (len(steps), [step.name for step in steps], repr(steps)) == (2, ["add", "double"], "Pipeline(add -> double)")


def test_an_experiment_takes_a_pipeline_a_list_or_one_step():
    """All three give the same."""
    for given in (Pipeline([double]), [double], (double,), double):
        assert Experiment(lambda ctx: 2, given, autoload=False).apply() == 4


def test_a_pipeline_can_be_copied_and_pickled():
    """The steps travel, the last run does not."""
    steps = Pipeline([pipeline_step()(len), AddOne()])
    steps.run([1])
    for again in (copy.copy(steps), copy.deepcopy(steps), pickle.loads(pickle.dumps(steps))):
        assert again.run([1, 2]) == 3
        assert [record["step"] for record in again.get_provenance()] == ["len", "AddOne"]


class AddOne(PipelineStep):
    def __call__(self, data):
        return data + 1


def test_plugins_of_an_experiment_see_a_pipeline_that_runs_with_it():
    """`run(..., experiment=...)` calls the hooks of that experiment's plugins."""
    from crystallize_core import BasePlugin

    seen = []

    class Watch(BasePlugin):
        def before_step(self, experiment, step, ctx):
            seen.append(step.name)

    experiment = Experiment(lambda ctx: 0, [double], [Watch()], autoload=False)
    assert Pipeline([add, double]).run(1, experiment=experiment) == 4
    assert seen == ["add", "double"]


# The signature ------------------------------------------------------------------------------------


def made(source: str, **names: Any) -> Any:
    """A function made of source text, so that two versions of one function can be compared."""
    namespace: dict[str, Any] = {"__name__": "study", **names}
    exec(source, namespace)
    return namespace["f"]


def test_the_same_steps_have_the_same_signature():
    """The signature is a digest of 64 digits that does not depend on when it was made."""
    make = lambda: Pipeline([made("def f(data):\n    return data + 1"), double])  # noqa: E731 - two of the same
    assert make().signature() == make().signature()
    assert len(make().signature()) == 64
    assert set(make().signature()) <= set("0123456789abcdef")


def test_the_signature_changes_with_code_parameters_and_order():
    """Code, bound parameters and order count; so does what the code reaches."""
    plus_one = made("def f(data):\n    return data + 1")
    plus_two = made("def f(data):\n    return data + 2")
    default = made("def f(data, a=2):\n    return data + 1")
    helped = [made("def f(data):\n    return help(data)", help=help_) for help_ in (double, lambda data: data * 3)]
    bind = pipeline_step()(add)
    signatures = [
        Pipeline(steps).signature()
        for steps in (
            [plus_one],
            [plus_two],
            [default],
            [helped[0]],
            [helped[1]],
            [bind(by=1)],
            [bind(by=2)],
            [bind],
            [plus_one, plus_two],
            [plus_two, plus_one],
        )
    ]
    assert len(set(signatures)) == len(signatures)


def test_the_signature_of_a_parameter_without_content_is_refused():
    """A bound lock has no stable digest, and the error says where it is."""
    with pytest.raises(FingerprintError) as caught:
        Pipeline([pipeline_step()(add)(by=threading.Lock())]).signature()
    assert "lock" in str(caught.value)

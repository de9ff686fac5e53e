"""Random graphs come to what a naive evaluator says, whoever runs them and in whichever order steps were added.

The evaluator knows nothing of the wiring: it walks back from each step to those whose outputs it names.
"""

from __future__ import annotations

import asyncio
import copy
import random
import sys
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crystallize_core import Experiment, Pipeline, Skipped, StepError, pipeline_step, step, unless, when

executors = pytest.importorskip("crystallize_executors")
AsyncExecution, ProcessExecution = executors.AsyncExecution, executors.ProcessExecution
SerialExecution, ThreadExecution = executors.SerialExecution, executors.ThreadExecution
cloudpickle = pytest.importorskip("cloudpickle")  # comes with the executors
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

pytestmark = pytest.mark.ecosystem

MOST_STEPS = 40
INPUTS: dict[str, Any] = {"in0": 5, "in1": [1, [2]], "in2": None}
DATA = [3, 4]
DEFAULT = (9, 9)


@attrs.frozen
class Taken:
    """One parameter of a step: its name, the asset that it takes, whether that is declared, and its default."""

    parameter: str
    asset: str
    declared: bool = False
    has_default: bool = False


@attrs.frozen
class Drawn:
    """One step as it was drawn; plain values, from which a step is made and of which the evaluator reads."""

    name: str
    number: int
    takes: tuple[Taken, ...] = ()
    outputs: tuple[str, ...] = ()
    shape: str = "int"
    returns: str = "tuple"
    fate: str = "ok"
    condition: tuple[str, str, str] | None = None  # how it is written, the asset that it asks for, what it does
    takes_data: bool = False
    is_pipeline_step: bool = False
    is_async: bool = False
    group: str | None = None

    @property
    def assets(self) -> tuple[str, ...]:
        return self.outputs or (self.name,)


# What the steps do, as text: it is code of a user, sent to other processes by value ------------------------

BODIES = """
def flat(value):
    if value is None:
        return [7]
    if isinstance(value, int):
        return [value]
    return [n for item in (value.values() if isinstance(value, dict) else value) for n in flat(item)]


def one(number, shape, given):
    found = [(at + 1) * n for at, name in enumerate(sorted(given)) for n in flat(given[name])]
    total = (number * 31 + sum(found)) % 1009
    return {
        "int": total, "list": [total, [number]], "none": None, "pair": (total, number), "single": (total,),
        "dict": {"x": total}, "empty": [],
    }[shape]


def returned(number, shape, outputs, form, given):
    if len(outputs) < 2:
        found = one(number, shape, given)
    else:
        values = [one(number + at, shape, given) for at, _ in enumerate(outputs)]
        found = {
            "tuple": tuple(values), "list": values, "mapping": {"more": 1, **dict(reversed(list(zip(outputs, values))))},
            "too few": tuple(values[1:]), "no mapping": dict(zip(outputs[1:], values)),
        }[form]
    spoil(given)
    return found


def spoil(given):
    for value in given.values():  # what a step is given is its own, and nobody else sees what it does to it
        if isinstance(value, list):
            value.append(-1)
        if isinstance(value, dict):
            value["spoilt"] = -1


def asked(value, what):
    if what == "raises":
        raise ValueError("undecided")
    return what == "true" if what in ("true", "false") else sum(flat(value)) % 3 > 0
"""
_bodies: dict[str, Any] = {}
exec(BODIES, _bodies)


def made(drawn: Drawn) -> Any:
    """The step itself."""
    ordered = sorted(drawn.takes, key=lambda taken: taken.has_default)
    given = ", ".join(f"{taken.parameter!r}: {taken.parameter}" for taken in ordered)
    parameters = [f"{taken.parameter}={DEFAULT!r}" if taken.has_default else taken.parameter for taken in ordered]
    if drawn.takes_data:
        parameters.insert(0, "data")
        given = f"'data': data, {given}"
    parameters += ["ctx"] if drawn.is_pipeline_step else ["*", "ctx"]
    end = {
        "ok": f"returned({drawn.number}, {drawn.shape!r}, {drawn.outputs!r}, {drawn.returns!r}, given)",
        "fails": "1 / 0",
        "skips": f"Skipped({drawn.name!r}, 'by itself')",
    }[drawn.fate]
    lines = [
        f"{'async ' if drawn.is_async else ''}def {drawn.name}({', '.join(parameters)}):",
        f"    given = {{{given}}}",
        "    ctx.record('began', 1)",
        "    await wait(0)" if drawn.is_async else "    pass",
        f"    found = {end}",
        f"    ctx.record({drawn.name!r}, repr(found))",
        "    return found",
    ]
    scope: dict[str, Any] = {"__name__": "written_by_a_user", "Skipped": Skipped, "wait": asyncio.sleep}
    exec(BODIES + "\n".join(lines), scope)
    options: dict[str, Any] = {"execution_group": drawn.group} if drawn.group else {}
    how, predicate = _condition(drawn, scope)
    if how in ("condition", "skip_if"):
        options[how] = predicate
    function = scope[drawn.name]
    decorate = {"when below": when, "unless below": unless, "position": when}.get(how)
    if decorate is not None:
        function = decorate(predicate)(function)
    if drawn.is_pipeline_step:
        found: Any = pipeline_step(**options)(function)
    else:
        inputs = [taken.asset for taken in drawn.takes if taken.declared]
        found = step(inputs=inputs, outputs=drawn.outputs, cache=False, **options)(function)
    return {"when above": when, "unless above": unless}[how](predicate)(found) if how.endswith("above") else found


def _condition(drawn: Drawn, scope: dict[str, Any]) -> tuple[str, Any]:
    if drawn.condition is None:
        return "", None
    how, asset, what = drawn.condition
    negated = "not " if how in ("skip_if", "unless above", "unless below") else ""
    parameter = "some_name_of_its_own" if how == "position" else asset
    exec(f"def condition({parameter}):\n    return {negated}asked({parameter}, {what!r})", scope)
    return how, scope["condition"]


# The naive evaluator ----------------------------------------------------------------------------------


class Evaluator:
    """What a graph comes to, by the definitions: recursion with a memory, and nothing else.

    Args:
        steps: The steps in the order in which they are added.
        given: The inputs of the run.

    """

    def __init__(self, steps: Sequence[Drawn], given: dict[str, Any]) -> None:
        self.steps, self.given = {drawn.name: drawn for drawn in steps}, given
        self.maker = {asset: drawn.name for drawn in steps for asset in drawn.assets}
        names = [None, *self.steps]
        self.previous = dict(zip(self.steps, names, strict=False))
        self.known: dict[str, tuple[str, Any]] = {}

    def fate(self, name: str) -> tuple[str, Any]:
        """What became of a step, and what it returned."""
        if name not in self.known:
            self.known[name] = self._run(self.steps[name])
        return self.known[name]

    def needs(self, drawn: Drawn) -> dict[str, tuple[str | None, str | None, bool]]:
        """For what a step takes and asks for: the step that makes it, the asset (None: all of it), a default."""
        found: dict[str, tuple[str | None, str | None, bool]] = {}
        for taken in drawn.takes:
            found[taken.parameter] = self.maker.get(taken.asset), taken.asset, taken.has_default
        if drawn.takes_data:
            found["data"] = self.previous[drawn.name], None, False
        if drawn.condition is not None and drawn.condition[0] != "position":
            found.setdefault(drawn.condition[1], (self.maker.get(drawn.condition[1]), drawn.condition[1], False))
        return found

    def _run(self, drawn: Drawn) -> tuple[str, Any]:
        values, fate = {}, ""
        for parameter, (maker, asset, has_default) in self.needs(drawn).items():
            state = self.fate(maker)[0] if maker is not None else "ok"
            if state in ("failed", "not run"):
                return "not run", None
            if state == "skipped" and not has_default:
                fate = "skipped"
            elif state == "skipped":
                values[parameter] = DEFAULT
            else:
                values[parameter] = copy.deepcopy(self._value(maker, asset))
        if fate:
            return fate, None
        return self._called(drawn, values)

    def _value(self, maker: str | None, asset: str | None) -> Any:
        if maker is None:
            return DATA if asset is None else self.given[asset]
        found, outputs = self.fate(maker)[1], self.steps[maker].outputs
        if asset is None or len(outputs) < 2:
            return found
        return found[asset] if isinstance(found, dict) else found[outputs.index(asset)]

    def _called(self, drawn: Drawn, values: dict[str, Any]) -> tuple[str, Any]:
        if drawn.condition is not None:
            how, asset, what = drawn.condition
            ordered = sorted(drawn.takes, key=lambda taken: taken.has_default)
            parameter = asset if how != "position" else "data" if drawn.takes_data else ordered[0].parameter
            if what == "raises":
                return "failed", None
            if not _bodies["asked"](values[parameter], what):
                return "skipped", None
        if drawn.fate != "ok":
            return {"fails": "failed", "skips": "skipped"}[drawn.fate], None
        if len(drawn.outputs) > 1 and drawn.returns in ("too few", "no mapping"):
            return "failed", None
        own = {taken.parameter for taken in drawn.takes} | ({"data"} if drawn.takes_data else set())
        given = {name: value for name, value in values.items() if name in own}
        return "ok", _bodies["returned"](drawn.number, drawn.shape, drawn.outputs, drawn.returns, given)

    @property
    def order(self) -> list[str]:
        """Each step after those that it needs; of those that may come next, the one that was added first."""
        left, found = list(self.steps), []
        while left:
            ready = next(
                name for name in left if not {maker for maker, _, _ in self.needs(self.steps[name]).values()} & {*left}
            )
            left.remove(ready)
            found.append(ready)
        return found


# Drawing ----------------------------------------------------------------------------------------------


def draw_graph(chance: random.Random, count: int, prefix: str = "s") -> list[Drawn]:
    """So many steps, each of which takes from those drawn before it."""
    steps: list[Drawn] = []
    assets = list(INPUTS)
    with_groups = chance.random() < 0.3
    for number in range(count):
        name = f"{prefix}{number}"
        takes_data = chance.random() < (0.5 if number == 0 else 0.15)
        is_pipeline_step = takes_data and chance.random() < 0.6
        # Data is a parameter that such a path would fill.
        takeable = [asset for asset in assets if "/" not in asset or not takes_data]
        takes = () if is_pipeline_step else _draw_takes(chance, takeable)
        outputs = () if is_pipeline_step else _draw_outputs(chance, name)
        drawn = Drawn(
            name,
            number,
            takes,
            outputs,
            shape=chance.choice(["int", "int", "list", "none", "pair", "single", "dict", "empty"]),
            returns=chance.choice(["tuple"] * 5 + ["list"] * 3 + ["mapping"] * 5 + ["too few", "no mapping"]),
            fate=chance.choice(["ok"] * 24 + ["fails", "skips"]),
            condition=_draw_condition(chance, assets, takes, takes_data=takes_data),
            takes_data=takes_data,
            is_pipeline_step=is_pipeline_step,
            is_async=chance.random() < 0.2,
            group=chance.choice(["g", "h", None]) if with_groups else None,
        )
        steps.append(drawn)
        assets += drawn.assets
    return steps


def _draw_takes(chance: random.Random, assets: Sequence[str]) -> tuple[Taken, ...]:
    taken = chance.sample(assets, min(len(assets), chance.choice([0, 1, 1, 2, 2, 3])))
    has_path = any("/" in asset for asset in taken)
    found = []
    for at, asset in enumerate(taken):
        if "/" in asset:  # fills the next parameter that has no other source
            found.append(Taken(f"p{at}", asset, declared=True))
            continue
        has_default = chance.random() < 0.25
        # Where there are such paths, an undeclared parameter without a default would be filled by one of them.
        found.append(Taken(asset, asset, (has_path and not has_default) or chance.random() < 0.5, has_default))
    return tuple(found)


def _draw_outputs(chance: random.Random, name: str) -> tuple[str, ...]:
    count = chance.choice([0, 0, 1, 2, 3])
    return tuple(f"{name}/out{at}" if chance.random() < 0.4 else f"{name}_out{at}" for at in range(count))


def _draw_condition(
    chance: random.Random, assets: Sequence[str], takes: Sequence[Taken], *, takes_data: bool
) -> tuple[str, str, str] | None:
    if chance.random() < 0.75:
        return None
    what = chance.choice(["true"] * 4 + ["asks"] * 6 + ["false", "raises"])
    if (takes or takes_data) and chance.random() < 0.25:
        return "position", "", what
    names = [asset for asset in assets if "/" not in asset]
    how = chance.choice(["condition", "skip_if", "when below", "unless below", "when above", "unless above"])
    return how, chance.choice(names), what


def shuffled(chance: random.Random, steps: Sequence[Drawn]) -> list[Drawn]:
    """In another order, but for steps that take what the step added before them returned."""
    blocks: list[list[Drawn]] = []
    for drawn in steps:
        if drawn.takes_data and blocks:
            blocks[-1].append(drawn)
        else:
            blocks.append([drawn])
    first = [blocks.pop(0)] if steps[0].takes_data else []  # gets the data of the run
    chance.shuffle(blocks)
    return [drawn for block in [*first, *blocks] for drawn in block]


@st.composite
def graphs(draw, most: int = MOST_STEPS) -> list[Drawn]:
    # Drawing each choice by itself takes longer than running the graph; a graph that fails is made smaller all the same.
    count, seed = draw(st.integers(1, most)), draw(st.integers(0, 10**6))
    chance = random.Random(seed)
    steps = draw_graph(chance, count)
    return shuffled(chance, steps) if draw(st.booleans()) else steps


# Through a pipeline on its own ------------------------------------------------------------------------


def check_result(steps: Sequence[Drawn], result: Any) -> None:
    """Fates, outputs by asset and by step, the order, and whose failure is raised."""
    naive = Evaluator(steps, INPUTS)
    expected = {drawn.name: naive.fate(drawn.name) for drawn in steps}
    found = {name: (each.state, each.output) for name, each in result.step_results.items()}
    assert found == expected
    for drawn in steps:
        state, value = expected[drawn.name]
        assert [asset in result.outputs for asset in drawn.assets] == [state == "ok"] * len(drawn.assets)
        if state == "ok":
            assert result.outputs[drawn.name] == value
            found_assets = {asset: result.outputs[asset] for asset in drawn.outputs}
            assert found_assets == {asset: naive._value(drawn.name, asset) for asset in drawn.outputs}
    order = list(result.step_results)
    if not any(drawn.group for drawn in steps):
        assert order == naive.order
    failed = [name for name in order if expected[name][0] == "failed"]
    assert result.success is not bool(failed)
    assert (result.error.step if result.error is not None else None) == (failed[0] if failed else None)
    assert len(getattr(result.error, "__notes__", ())) == max(0, len(failed) - 1)


def pipeline_of(steps: Sequence[Drawn]) -> Pipeline:
    return Pipeline(list(map(made, steps)), name="drawn", enable_cache=False, checkpoint=False)


EXAMPLES = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=25)


@EXAMPLES
@given(graphs())
def test_a_pipeline_comes_to_what_the_definitions_say(steps):
    """In sequence, from its own inputs."""
    result = pipeline_of(steps).run(inputs={**INPUTS, "data": DATA}, executor=SerialExecution())
    check_result(steps, result)


@settings(EXAMPLES, max_examples=12)
@given(graphs())
def test_threads_come_to_the_same(steps):
    """Four of them, for the steps of one cell."""
    result = pipeline_of(steps).run(inputs={**INPUTS, "data": DATA}, executor=ThreadExecution(max_workers=4))
    check_result(steps, result)


@settings(EXAMPLES, max_examples=12)
@given(graphs())
def test_an_event_loop_comes_to_the_same(steps):
    """Each step in a task of its own."""
    run = pipeline_of(steps).arun(inputs={**INPUTS, "data": DATA}, executor=AsyncExecution())
    check_result(steps, asyncio.run(run))


# Through an experiment --------------------------------------------------------------------------------


def experiment_of(steps: Sequence[Drawn], *plugins: Any, replicates: int = 2) -> Experiment:
    return Experiment(
        lambda ctx: [3, 4],
        pipeline_of(steps),
        initial_ctx=INPUTS,
        replicates=replicates,
        plugins=list(plugins),
        autoload=False,
        name="drawn",
    )


def check_experiment(steps: Sequence[Drawn], result: Any, replicates: int = 2) -> None:
    """What the steps that succeeded have recorded, and the failure of each cell."""
    naive = Evaluator(steps, INPUTS)
    expected = {drawn.name: naive.fate(drawn.name) for drawn in steps}
    values = {name: repr(value) for name, (state, value) in expected.items() if state == "ok"}
    for replicate in range(replicates):
        rows = [row for row in result.rows() if row.replicate == replicate and row.metric != "began"]
        assert {row.metric: row.value for row in rows} == values
        assert len(rows) == len(values)
    failed = {name for name, (state, _) in expected.items() if state == "failed"}
    assert len(result.errors) == (replicates if failed else 0)
    assert all(error.step in failed for error in result.errors.values())


@settings(EXAMPLES, max_examples=12)
@given(graphs(), st.booleans())
def test_an_experiment_comes_to_the_same(steps, in_threads):
    """In sequence, and in threads that replicates and steps share; both with the same digest."""
    result = experiment_of(steps, ThreadExecution(max_workers=4) if in_threads else SerialExecution()).run()
    check_experiment(steps, result)
    assert result.digest == experiment_of(steps).run().digest


@settings(EXAMPLES, max_examples=20)
@given(graphs(15))
def test_applying_gives_what_the_last_step_returned(steps):
    """Or raises what failed first."""
    steps = [attrs.evolve(drawn, group=None) for drawn in steps]
    naive = Evaluator(steps, INPUTS)
    fates = [(name, *naive.fate(name)) for name in naive.order]
    failed = [name for name, state, _ in fates if state == "failed"]
    experiment = experiment_of(steps)
    if failed:
        with pytest.raises(StepError) as info:
            experiment.apply()
        assert info.value.step == failed[0]
    else:
        assert experiment.apply() == fates[-1][2]


def test_other_processes_come_to_the_same():
    """Many graphs as one pipeline, sent to two workers."""
    chance = random.Random(7)
    steps: list[Drawn] = []
    for number in range(12):
        graph = [attrs.evolve(drawn, group=None) for drawn in draw_graph(chance, 25, f"g{number}_")]
        # Only one of them can get the data of the run.
        steps += shuffled(chance, graph if number == 0 else [attrs.evolve(graph[0], **NO_DATA), *graph[1:]])
    result = experiment_of(steps, ProcessExecution(max_workers=2), replicates=3).run()
    check_experiment(steps, result, replicates=3)
    assert {type(error.__cause__).__name__ for error in result.errors.values()} <= {
        "ZeroDivisionError",
        "ValueError",
        "OutputError",
    }


NO_DATA: dict[str, Any] = {"takes_data": False, "is_pipeline_step": False, "condition": None}


def test_what_is_drawn_is_not_too_tame():
    """Of all kinds of steps and of fates there are enough to notice a mistake."""
    chance = random.Random(1)
    steps = [drawn for _ in range(50) for drawn in [draw_graph(chance, 30)]]
    fates = [Evaluator(graph, INPUTS).fate(drawn.name)[0] for graph in steps for drawn in graph]
    shares = {state: fates.count(state) / len(fates) for state in ("ok", "skipped", "failed", "not run")}
    assert shares["ok"] > 0.3, shares
    assert min(shares.values()) > 0.03, shares
    drawn = [each for graph in steps for each in graph]
    assert sum(each.is_pipeline_step for each in drawn) > 50
    assert sum(any("/" in taken.asset for taken in each.takes) for each in drawn) > 100
    assert sum(any(taken.has_default for taken in each.takes) for each in drawn) > 100

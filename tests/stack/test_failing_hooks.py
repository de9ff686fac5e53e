"""What a hook that raises does to a run: the address of the error, what fails, and what others still get."""

from __future__ import annotations

import inspect
import pickle
import shutil

import pytest

from crystallize_core import (
    Asset,
    BasePlugin,
    CrystallizeError,
    Experiment,
    HookError,
    Treatment,
    hookimpl,
    pipeline_step,
)
from crystallize_core.hookspecs import ANSWERING, HOOKS

DEFINITION = ("init_hook",)
PLAN = ("step_options", "cache_store", "wrap_step")
RUN = (
    "before_run", "run_experiment_loop", "after_run", "replicate_done", "load_replicate", "should_stop", "on_event",
    "describe_run",
)  # fmt: skip
CELL = (
    "before_replicate", "before_step", "after_step", "step_failed", "step_skipped", "after_replicate",
    "cache_dependencies", "store_asset",
)  # fmt: skip
LOOP = "run_experiment_loop"

pytestmark = pytest.mark.usefixtures("site")


def plugin(name, hooks, *, fails=None, essential=True, when=lambda arguments: True):
    """A plugin with these hooks that writes down its calls, and raises in one of them; its distribution is x-<name>."""
    calls = []

    def happen(hook, arguments):
        calls.append(hook)
        if hook == fails and when(arguments):
            raise OSError("disk")

    methods = {}
    for hook in hooks:
        names = ", ".join(inspect.signature(HOOKS[hook]).parameters)
        scope = {"happen": happen}
        exec(f"def {hook}(self{', ' if names else ''}{names}): happen({hook!r}, dict({keywords(names)}))", scope)
        methods[hook] = scope[hook]
    kind = type("Plugin", (BasePlugin,), {**methods, "__module__": f"x_{name}", "essential": essential})
    made = kind()
    made.plugin_name, made.calls = name, calls
    return made


def keywords(names):
    return ", ".join(f"{name}={name}" for name in names.split(", ") if name)


def witness(name):
    return plugin(name, [hook for hook in HOOKS if hook != LOOP])


@pytest.fixture
def shipped(site):
    """The plugin `failing` counts as installed with the distribution x-failing."""
    site.distribution("x-failing", "[crystallize.plugins]\nfailing = x_failing:Plugin\n")


@pipeline_step(cacheable=True)
def first(data, ctx):
    ctx.emit("working")
    ctx.metrics.add("first", data)
    return data


@pipeline_step()
def second(data, ctx):
    if ctx.get("broken", default=False):
        raise ValueError("no")
    ctx.metrics.add("second", data)
    return data


@pipeline_step()
def third(data):
    return Asset(data)


@pipeline_step(condition=lambda: False)
def fourth(data):
    return data


def experiment(*plugins, broken=False, hook=None):
    return Experiment(
        lambda ctx: ctx["replicate"],
        [first, second, *{"store_asset": [third], "step_skipped": [fourth]}.get(hook, [])],
        plugins,
        name="trial",
        initial_ctx={"broken": broken},
        treatments=[Treatment("other", {"x": 1})],
        replicates=2,
        autoload=False,
    )


# Essential plugins --------------------------------------------------------------------------------------


def test_all_hooks_are_tried_here():
    """A new hook is to be added to one of the groups above."""
    assert sorted([*DEFINITION, *PLAN, *RUN, *CELL]) == sorted(HOOKS)


def own_address(hook, **more):
    return {**more, "distribution": "x-failing", "plugin": "failing", "hook": hook}


@pytest.mark.parametrize("hook", DEFINITION)
def test_failing_when_it_is_attached_fails_the_definition(shipped, hook):
    """There is no experiment then."""
    with pytest.raises(HookError) as caught:
        experiment(plugin("failing", HOOKS.keys() - {LOOP}, fails=hook))
    assert caught.value.message == f"hook {hook!r} of plugin 'failing' raised OSError: disk"
    assert caught.value.address == own_address(hook, experiment="trial")


@pytest.mark.parametrize(
    ("hook", "where"),
    [
        ("step_options", {}),
        ("cache_store", {"experiment": "trial"}),
        ("wrap_step", {"experiment": "trial", "step": "first"}),
    ],
)
def test_failing_when_the_plan_is_made_fails_the_run_before_it_begins(shipped, hook, where):
    """No hook of the run is called, and nothing runs."""
    seen = witness("seen")
    made = experiment(seen, plugin("failing", HOOKS.keys() - {LOOP}, fails=hook))
    with pytest.raises(HookError) as caught:
        made.run()
    assert caught.value.message == f"hook {hook!r} of plugin 'failing' raised OSError: disk"
    assert caught.value.address == own_address(hook, **where)
    assert set(seen.calls) <= {"init_hook", "step_options", "cache_store", "wrap_step"}


@pytest.mark.parametrize("hook", RUN)
def test_failing_in_the_coordinator_fails_the_run_with_its_result(shipped, hook):
    """What was finished by then is in the result of the error, and every plugin sees the end of the run."""
    before, after = witness("before"), witness("after")
    hooks = HOOKS if hook == LOOP else HOOKS.keys() - {LOOP}
    made = experiment(before, plugin("failing", hooks, fails=hook), after)
    with pytest.raises(HookError) as caught:
        made.run()
    where = {"experiment": "trial"} | ({"replicate": 0} if hook in ("load_replicate", "replicate_done") else {})
    assert caught.value.message == f"hook {hook!r} of plugin 'failing' raised OSError: disk"
    assert caught.value.address == own_address(hook, **where)
    assert repr(caught.value.__cause__) == "OSError('disk')"
    finished = {"before_run": 0, LOOP: 0, "load_replicate": 0, "on_event": 0, "should_stop": 1, "replicate_done": 1}
    assert len(caught.value.result.metrics.baseline.metrics.get("second", [])) == finished.get(hook, 2)
    assert before.calls.count("after_run") == after.calls.count("after_run") == 1
    if hook not in ANSWERING:
        assert sorted(before.calls) == sorted(after.calls)


@pytest.mark.parametrize("hook", CELL)
def test_failing_in_a_cell_fails_that_cell_with_its_whole_address(shipped, hook):
    """The run goes on; the error says which cell, which step and whose hook."""
    before, after = witness("before"), witness("after")
    failing = plugin("failing", HOOKS.keys() - {LOOP}, fails=hook, when=lambda given: cell_of(given) == (1, "baseline"))
    result = experiment(before, failing, after, broken=hook == "step_failed", hook=hook).run()
    step = {"before_step": "first", "after_step": "first", "cache_dependencies": "first", "step_failed": "second"}
    step |= {"store_asset": "third", "step_skipped": "fourth"}
    failed = [error for error in result.errors.values() if isinstance(error, HookError)]
    assert [(error.message, list(error.address.items())) for error in failed] == [
        (
            f"hook {hook!r} of plugin 'failing' raised OSError: disk",
            list(
                {
                    "experiment": "trial",
                    "replicate": 1,
                    "condition": "baseline",
                    **({"step": step[hook]} if hook in step else {}),
                    **own_address(hook),
                }.items()
            ),
        )
    ]
    assert repr(failed[0].__cause__) == "OSError('disk')"
    assert result.errors["baseline_rep_1"] is failed[0]
    if hook not in ANSWERING:
        assert sorted(before.calls) == sorted(after.calls)
    assert before.calls.count("after_replicate") == 4


def cell_of(given):
    ctx = given["ctx"]
    return ctx["replicate"], ctx["condition"]


@pytest.mark.parametrize("hook", CELL)
def test_the_error_of_a_cell_survives_pickling(shipped, hook):
    """A worker sends it with its cause and its address."""
    result = experiment(plugin("failing", [hook], fails=hook), broken=hook == "step_failed", hook=hook).run()
    error = result.errors["baseline_rep_0"]
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.address, repr(copy.__cause__)) == (str(error), error.address, "OSError('disk')")


def test_the_text_of_an_error_shows_the_address(shipped):
    """From the outside in."""
    result = experiment(plugin("failing", ["after_step"], fails="after_step")).run()
    assert str(result.errors["baseline_rep_0"]) == (
        "hook 'after_step' of plugin 'failing' raised OSError: disk [experiment 'trial', replicate 0, "
        "condition 'baseline', step 'first', distribution 'x-failing', plugin 'failing', hook 'after_step']"
    )


def test_a_hook_that_fails_over_a_failed_step_says_what_it_was_told_of(shipped):
    """The error of the step is not lost."""
    result = experiment(plugin("failing", ["step_failed"], fails="step_failed"), broken=True).run()
    assert result.errors["baseline_rep_0"].__notes__ == ["and: step 'second' failed: ValueError: no"]


def test_a_hook_that_fails_at_the_end_of_a_failed_cell_is_a_note_of_its_error(shipped):
    """The first error is the one of the cell."""
    result = experiment(plugin("failing", ["after_replicate"], fails="after_replicate"), broken=True).run()
    error = result.errors["baseline_rep_0"]
    assert error.message == "step 'second' failed: ValueError: no"
    assert error.__notes__ == [
        (
            "and: hook 'after_replicate' of plugin 'failing' raised OSError: disk [experiment 'trial', replicate 0, "
            "condition 'baseline', distribution 'x-failing', plugin 'failing', hook 'after_replicate']"
        )
    ]


def test_failures_at_the_end_of_a_failed_run_are_in_its_result(shipped):
    """The first failure is raised; the later ones are not lost."""
    failing = plugin("failing", ["before_run", "after_run"], fails="before_run")
    late = plugin("late", ["after_run"], fails="after_run")
    with pytest.raises(HookError) as caught:
        experiment(failing, late).run()
    assert caught.value.hook == "before_run"
    assert caught.value.result.warnings == [
        (
            "while the run ended: hook 'after_run' of plugin 'late' raised OSError: disk "
            "[experiment 'trial', plugin 'late', hook 'after_run']"
        )
    ]


def test_several_failures_at_the_end_of_a_run_are_raised_together(shipped):
    """The first one with notes of the others."""
    plugins = [plugin(name, ["describe_run"], fails="describe_run") for name in ("failing", "other")]
    with pytest.raises(HookError) as caught:
        experiment(*plugins, plugin("last", ["after_run"], fails="after_run")).run()
    assert caught.value.plugin == "failing"
    assert caught.value.__notes__ == [
        (
            "and: hook 'describe_run' of plugin 'other' raised OSError: disk "
            "[experiment 'trial', plugin 'other', hook 'describe_run']"
        ),
        "and: hook 'after_run' of plugin 'last' raised OSError: disk [experiment 'trial', plugin 'last', hook 'after_run']",
    ]
    assert caught.value.result.metrics.baseline.metrics["second"] == [0, 1]


def test_a_loaded_outcome_of_another_replicate_is_refused(shipped):
    """It would count for the wrong one."""
    kept = []

    class Keeping(BasePlugin):
        def replicate_done(self, outcome):
            kept.append(outcome)

    experiment(Keeping()).run()

    class Odd(BasePlugin):
        def load_replicate(self, replicate):
            return kept[0]

    with pytest.raises(HookError) as caught:
        experiment(Odd()).run()
    assert caught.value.message == (
        "hook 'load_replicate' of plugin 'odd' raised TypeError: it must return the outcome of replicate 1 or None, "
        "found that of replicate 0"
    )
    assert caught.value.address == {"experiment": "trial", "replicate": 1, "plugin": "odd", "hook": "load_replicate"}


# Observers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_a_failing_observer_is_switched_off_and_noted_once(shipped, hook):
    """Nothing fails, no other plugin misses a call, and the observer gets none after the one that failed."""
    broken = hook == "step_failed"
    alone = witness("alone")
    expected = experiment(alone, broken=broken, hook=hook).run()
    shutil.rmtree(".cache")  # so that the second run does what the first one did
    before, after = witness("before"), witness("after")
    failing = plugin("failing", HOOKS if hook == LOOP else HOOKS.keys() - {LOOP}, fails=hook, essential=False)
    result = experiment(before, failing, after, broken=broken, hook=hook).run()
    assert result.warnings == [
        f"plugin 'failing' (x-failing) was switched off for the rest of the run: its hook {hook!r} raised OSError: disk"
    ]
    assert [(note.kind, note.plugin) for note in result.run.notes] == [("switched-off", "failing")]
    assert before.calls == after.calls == alone.calls
    assert failing.calls[-1] == hook
    assert failing.calls.count(hook) == 1
    assert {name: str(error) for name, error in result.errors.items()} == {
        name: str(error) for name, error in expected.errors.items()
    }
    assert result.metrics.baseline.metrics == expected.metrics.baseline.metrics


def test_a_second_run_gives_an_observer_another_chance(shipped):
    """Being switched off belongs to the run."""
    failing = plugin("failing", ["before_run"], fails="before_run", essential=False)
    made = experiment(failing)
    notes = [made.run().run.notes, made.run().run.notes]
    assert [[note.plugin for note in found] for found in notes] == [["failing"], ["failing"]]
    assert failing.calls == ["before_run", "before_run"]


def test_an_observer_that_failed_when_it_was_attached_stays_off(shipped):
    """It may not be in a state to be called; every result says so."""
    failing = plugin("failing", ["init_hook", "before_run"], fails="init_hook", essential=False)
    made = experiment(failing)
    note = "plugin 'failing' (x-failing) was switched off for the rest of the run: its hook 'init_hook' raised OSError: disk"
    assert [made.run().warnings, made.run().warnings] == [[note], [note]]
    assert failing.calls == ["init_hook"]


def test_the_workers_of_one_run_add_one_note_in_all(shipped):
    """Each process switches off its own copy; the result says it once."""
    result = Experiment(
        numbers, [keep], [FailingObserver(), LocalLoop()], name="trial", replicates=3, autoload=False
    ).run()
    assert result.errors == {}
    assert [note.plugin for note in result.run.notes] == ["failing_observer"]


def numbers(ctx):
    return ctx["replicate"]


def keep(data):
    return data


class FailingObserver(BasePlugin):
    essential = False

    def before_step(self, ctx):
        raise OSError(f"disk {ctx['replicate']}")


class LocalLoop(BasePlugin):
    """Runs each replicate by a copy of the function of its own, as processes do."""

    def run_experiment_loop(self, replicate_fn):
        outcomes = []
        for number in replicate_fn.pending:
            copy = pickle.loads(pickle.dumps(replicate_fn))
            outcomes.append(pickle.loads(pickle.dumps(copy(number))))
        return outcomes


# Order in a run -----------------------------------------------------------------------------------------


def test_hooks_follow_the_order_of_the_stack_and_unwind():
    """The first plugin is the outermost."""
    calls = []

    class Log(BasePlugin):
        def __init__(self, name):
            self.plugin_name = name

        def before_run(self):
            calls.append(("before_run", self.plugin_name))

        def before_replicate(self):
            calls.append(("before_replicate", self.plugin_name))

        def before_step(self):
            calls.append(("before_step", self.plugin_name))

        def after_step(self):
            calls.append(("after_step", self.plugin_name))

        def after_replicate(self):
            calls.append(("after_replicate", self.plugin_name))

        def after_run(self):
            calls.append(("after_run", self.plugin_name))

    class Seeding(Log):
        before = ("*",)

    class Files(Log):
        after = ("*",)

    Experiment(numbers, [keep], [Files("files"), Log("a"), Seeding("seeding"), Log("b")], autoload=False).run()
    down = ["seeding", "a", "b", "files"]
    expected = [
        (hook, name) for hook in ("before_run", "before_replicate", "before_step", "after_step") for name in down
    ]
    expected += [(hook, name) for hook in ("after_replicate", "after_run") for name in reversed(down)]
    assert calls == expected


def test_what_a_plugin_adds_to_a_cell_is_known_before_anything_runs():
    """Also where the hook has another name in the plugin."""

    class Adds:
        @hookimpl(specname="before_replicate")
        def add_a_key(self, ctx):
            ctx.add("size", 3)

    def scale(data, size):
        return data, {"scaled": size}

    result = Experiment(numbers, [scale], [Adds()], autoload=False).run()
    assert result.metrics.baseline.metrics == {"scaled": [3]}


def test_the_errors_of_hooks_are_errors_of_ours():
    """One `except` catches them all."""
    assert issubclass(HookError, CrystallizeError)

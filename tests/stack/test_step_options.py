"""Step options and the policies that plugins put around steps for them."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import pytest

from crystallize_core import BasePlugin, Experiment, HookError, PluginError, StepError, StepOptionError, pipeline_step
from crystallize_core.engine.run import Run
from crystallize_core.stack.discovery import Installed


@pytest.fixture(autouse=True)
def _nothing_is_installed(monkeypatch):
    """Whatever is installed here: the official plugins are not."""
    monkeypatch.setattr("crystallize_core.stack.discovery.installed", lambda group: [])


def experiment(*plugins, step=None, options=None, **more):
    @pipeline_step(**(options or {}))
    def work(data):
        return data, {"seen": data}

    return Experiment(lambda ctx: 1, [step or work], plugins, name="trial", autoload=False, **more)


def refused(*plugins, error=StepOptionError, **options):
    with pytest.raises(error) as caught:
        experiment(*plugins, options=options).run()
    return str(caught.value)


def lines(*problems):
    return "experiment 'trial':" + "".join(f"\n  {problem}" for problem in problems)


class Claims(BasePlugin):
    def __init__(self, **options):
        self.options = options

    def step_options(self):
        return self.options


# Claims -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["retry", "timeout", "fallback", "circuit_breaker"])
def test_an_option_of_an_official_plugin_comes_with_the_line_that_installs_it(option):
    """Whoever asks for it knows what is missing."""
    assert refused(**{option: 3}) == lines(
        f"step 'work' asks for {option}=3, but nothing in the stack provides {option!r}: pip install crystallize-retries"
    )


def test_an_option_of_an_installed_plugin_that_is_not_active_is_not_to_be_installed_again(monkeypatch):
    """Where the stack leaves it out, installing does not help."""
    there = Installed("retries", "x:Plugin", "crystallize-retries", "1.0", None)
    monkeypatch.setattr("crystallize_core.stack.discovery.installed", lambda group: [there])
    assert refused(retry=3) == lines(
        "step 'work' asks for retry=3, but nothing in the stack provides 'retry': crystallize-retries is installed, "
        "but not active here; `crystallize plugins list` says why"
    )


def test_a_misspelt_option_comes_with_a_suggestion():
    """Also where nothing of that kind is installed."""
    assert refused(retr=3) == lines(
        "step 'work' asks for retr=3, but nothing in the stack provides 'retr': did you mean 'retry'?"
    )


def test_a_misspelt_option_of_the_stack_comes_with_a_suggestion():
    """What a plugin claims counts like what we know."""
    assert refused(Claims(resources=dict), resource={}) == lines(
        "step 'work' asks for resource={}, but nothing in the stack provides 'resource': did you mean 'resources'?"
    )


def test_an_option_that_is_like_none_comes_with_those_that_there_are():
    """Or with the word that there are none."""
    assert refused(Claims(size=int, level=float), xyz=1) == lines(
        "step 'work' asks for xyz=1, but nothing in the stack provides 'xyz': its step options are: 'level', 'size'."
    )
    assert refused(xyz=1) == lines(
        "step 'work' asks for xyz=1, but nothing in the stack provides 'xyz': it has no step options."
    )


def test_everything_that_is_wrong_with_all_steps_is_said_at_once():
    """One round of corrections is enough."""

    @pipeline_step(size="big", retry=1)
    def one(data):
        return data

    @pipeline_step(level=None)
    def two(data):
        return data

    with pytest.raises(StepOptionError) as caught:
        Experiment(lambda ctx: 1, [one, two], [Claims(size=int, level=float)], name="trial", autoload=False).validate()
    assert str(caught.value) == lines(
        "step 'one': option size: expected int, found str 'big'",
        "step 'one' asks for retry=1, but nothing in the stack provides 'retry': pip install crystallize-retries",
        "step 'two': option level: expected float, found None",
    )


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (float, 3),
        (int | None, None),
        (list[str], ["a"]),
        (dict[str, int], {"cpu": 2}),
        (Literal["a", "b"], "b"),
        (Any, ...),
    ],
    ids=repr,
)
def test_the_type_of_an_option_is_an_annotation(annotation, value):
    """Whatever a field could have."""
    assert experiment(Claims(size=annotation), options={"size": value}).run().errors == {}


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        (int, True, "size: expected int, found bool True"),
        (int | None, 1.5, "size: expected int | None, found float 1.5"),
        (list[int], [1, "2"], "size[1]: expected int, found str '2'"),
        (dict[str, int], {"cpu": "2"}, "size.cpu: expected int, found str '2'"),
        (Literal["a", "b"], "c", "size: expected 'a' | 'b', found str 'c'"),
    ],
    ids=repr,
)
def test_a_value_of_another_type_is_refused_with_its_path(annotation, value, problem):
    """The check is that of the options of plugins."""
    assert refused(Claims(size=annotation), size=value).startswith(lines(f"step 'work': option {problem}"))


def positive(value):
    if value <= 0:
        raise ValueError("expected a positive number")
    return value


def test_the_type_of_an_option_can_be_a_function_that_checks():
    """It returns the value or raises what it expects."""
    assert experiment(Claims(size=positive), options={"size": 3}).run().errors == {}
    assert refused(Claims(size=positive), size=-3) == lines(
        "step 'work': option 'size' of plugin 'claims': expected a positive number, found -3"
    )


def test_a_check_that_fails_in_another_way_is_a_refusal_too():
    """A check need not think of every type."""
    assert refused(Claims(size=positive), size="x") == lines(
        "step 'work': option 'size' of plugin 'claims': '<=' not supported between instances of 'str' and 'int', found 'x'"
    )
    assert refused(Claims(size=lambda value: value["a"]), size={}) == lines(
        "step 'work': option 'size' of plugin 'claims': KeyError: 'a', found {}"
    )


def test_an_option_that_two_plugins_claim_is_refused():
    """Both are named."""
    one, two = Claims(size=int), Claims(size=int)
    one.plugin_name, two.plugin_name = "one", "two"
    assert refused(one, two, error=PluginError) == (
        "step option 'size' is claimed by 'one' and by 'two'; disable one of them [plugin 'two', hook 'step_options']"
    )


def test_claims_that_are_no_mapping_are_refused():
    """With the name of the plugin."""

    class Odd(BasePlugin):
        def step_options(self):
            return ["size"]

    assert refused(Odd(), error=HookError) == (
        "hook 'step_options' of plugin 'odd' raised TypeError: it must return a mapping or None, found list ['size'] "
        "[plugin 'odd', hook 'step_options']"
    )


def test_nothing_runs_before_the_options_are_right():
    """The datasource is not asked."""
    asked = []

    def source(ctx):
        asked.append(ctx)

    @pipeline_step(retry=1)
    def work(data):
        return data

    with pytest.raises(StepOptionError):
        Experiment(source, [work], autoload=False).run()
    assert asked == []


# Policies -----------------------------------------------------------------------------------------------


class Logs(BasePlugin):
    """Writes down each call of a step that has the option `log`."""

    def __init__(self, name, calls):
        self.plugin_name, self.calls = name, calls

    def wrap_step(self, step, call):
        if "log" not in step.options:
            return None

        def logged(data, ctx):
            self.calls.append(f"{self.plugin_name} begins")
            output = call(data, ctx)
            self.calls.append(f"{self.plugin_name} ends")
            return output

        return logged


def plan_of(made):
    run = Run(made)
    run.session.close()
    return run.session.plan


def test_policies_are_composed_in_the_order_of_the_stack():
    """The first plugin is the outermost."""
    calls = []

    class First(Logs):
        before = ("*",)

    plugins = [Claims(log=bool), Logs("a", calls), Logs("b", calls), First("c", calls)]
    result = experiment(*plugins, options={"log": True}).run()
    assert calls == ["c begins", "a begins", "b begins", "b ends", "a ends", "c ends"]
    assert result.metrics.baseline.metrics == {"seen": [1]}


def test_a_step_that_no_policy_wants_costs_nothing():
    """The plan has no policy for it."""
    calls = []

    @pipeline_step(log=True)
    def loud(data):
        return data

    @pipeline_step()
    def quiet(data):
        return data

    made = Experiment(lambda ctx: 1, [loud, quiet], [Claims(log=bool), Logs("a", calls)], autoload=False)
    assert [(planned.name, planned.policy is None) for planned in plan_of(made).steps] == [
        ("loud", False),
        ("quiet", True),
    ]


def test_without_policies_there_is_none():
    """A stack without such plugins costs nothing at all."""
    assert [planned.policy for planned in plan_of(experiment()).steps] == [None]


@pytest.mark.parametrize(
    ("answer", "found"), [(3, "int 3"), ("call", "str 'call'"), (NotImplemented, "NotImplementedType NotImplemented")]
)
def test_what_is_no_callable_is_refused(answer, found):
    """With plugin, hook and step."""

    class Odd(BasePlugin):
        def wrap_step(self, step, call):
            return answer

    assert refused(Odd(), error=HookError) == (
        f"hook 'wrap_step' of plugin 'odd' raised TypeError: it must return a callable or None, found {found} "
        "[experiment 'trial', step 'work', plugin 'odd', hook 'wrap_step']"
    )


def test_a_policy_may_call_as_often_as_it_likes():
    """Only what the last successful attempt recorded counts."""
    tries = []

    class Again(BasePlugin):
        def wrap_step(self, call):
            def twice(data, ctx):
                try:
                    return call(data, ctx)
                except ValueError:
                    return call(data, ctx)

            return twice

    @pipeline_step()
    def moody(data, ctx):
        tries.append(ctx.attempt)
        ctx.metrics.add("tries", ctx.attempt)
        if len(tries) == 1:
            raise ValueError
        return data

    result = experiment(Again(), step=moody).run()
    assert tries == [1, 2]
    assert result.metrics.baseline.metrics == {"tries": [2]}


def test_what_a_policy_raises_is_the_error_of_the_step():
    """With the policy's exception as its cause."""

    class Never(BasePlugin):
        def wrap_step(self, step, call):
            def never(data, ctx):
                raise RuntimeError(f"{step.name} may not run")

            return never

    error = experiment(Never()).run().errors["baseline_rep_0"]
    assert isinstance(error, StepError)
    assert str(error) == (
        "step 'work' failed: RuntimeError: work may not run [experiment 'trial', replicate 0, condition 'baseline', "
        "step 'work']"
    )
    assert repr(error.__cause__) == "RuntimeError('work may not run')"


def test_options_without_a_plugin_that_reads_them_are_still_checked():
    """Claiming is enough; a policy is the plugin's own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert experiment(Claims(size=int), options={"size": 3}).run().errors == {}

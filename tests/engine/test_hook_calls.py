"""The compiled calls of hooks: which arguments, in which order, and what happens when one raises."""

from __future__ import annotations

import inspect
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core import BasePlugin, HookError, hookimpl
from crystallize_core.engine.hooks import HookCalls
from crystallize_core.hookspecs import ANSWERING, HOOKS, UNWINDING
from crystallize_core.stack.attached import ActivePlugin, Stack

CALLED = [hook for hook in HOOKS if hook not in ANSWERING]


def stack_of(**plugins):
    return Stack([ActivePlugin(name, plugin, "argument", f"x-{name}", "1.0") for name, plugin in plugins.items()])


def calls_of(**plugins):
    return HookCalls(stack_of(**plugins))


def recording(calls, name, hook, *, essential=True, fails=None, **options):
    """A plugin that implements one hook with all its arguments."""
    arguments = ", ".join(inspect.signature(HOOKS[hook]).parameters)

    def happen(**given):
        calls.append(name)
        if fails is not None:
            raise fails

    scope = {"happen": happen}
    exec(f"def {hook}(self{', ' if arguments else ''}{arguments}): happen()", scope)
    kind = type("Recording", (), {hook: hookimpl(**options)(scope[hook])})
    plugin = kind()
    plugin.essential = essential
    return plugin


def arguments_of(hook):
    return tuple(f"<{name}>" for name in inspect.signature(HOOKS[hook]).parameters)


# Arguments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_nothing_implements_is_none(hook):
    """Then nothing is called at all."""
    calls = calls_of(a=BasePlugin())
    assert getattr(calls, hook) is None
    assert calls.has(hook) is False


def test_hooks_that_take_no_part_are_none():
    """`only` names those that do."""

    class Both(BasePlugin):
        def init_hook(self): ...

        def before_run(self): ...

    calls = HookCalls(stack_of(a=Both()), only=frozenset({"init_hook"}))
    assert calls.init_hook is not None
    assert calls.before_run is None


NAMES = ("experiment", "step", "data", "ctx")
KINDS = ("plain", "default", "keyword", "keyword default", "own", "own keyword")


@st.composite
def signatures(draw):
    """The parameters of an `after_step`: any of its arguments in any order, and some of its own with defaults."""
    names = draw(st.lists(st.sampled_from([*NAMES, "own", "mine"]), unique=True))
    kinds = {}
    for name in names:
        own = name not in NAMES
        kinds[name] = draw(st.sampled_from(["default", "keyword default"] if own else ["plain", "default", "keyword"]))
    plain = [n for n in names if kinds[n] == "plain"]
    default = [n for n in names if kinds[n] == "default"]
    keyword = [n for n in names if kinds[n].startswith("keyword")]
    parts = [*plain, *(f"{n}='default'" for n in default)]
    if keyword:
        parts += ["*", *(n if kinds[n] == "keyword" else f"{n}='default'" for n in keyword)]
    return names, ", ".join(parts)


@given(signatures())
def test_every_argument_arrives_under_its_name(signature):
    """Whatever the order of the parameters, by position or by name; defaults of its own stay."""
    names, parameters = signature
    got = {}
    scope = {"got": got}
    shown = ", ".join(f"{name}={name}" for name in names)
    exec(f"def after_step({parameters}): got.update(dict({shown}))", scope)

    class Plugin:
        after_step = staticmethod(hookimpl(scope["after_step"]))

    calls = calls_of(a=Plugin())
    calls.after_step("<experiment>", "<step>", "<data>", "<ctx>")
    assert got == {name: f"<{name}>" if name in NAMES else "default" for name in names}


@pytest.mark.parametrize("hook", CALLED)
def test_every_hook_is_called_with_the_arguments_of_its_specification(hook):
    """In their order, by position."""
    got = []
    names = list(inspect.signature(HOOKS[hook]).parameters)
    scope = {"got": got}
    exec(f"def {hook}(self, {', '.join(names)}): got.append(({', '.join(names)},))", scope)
    calls = calls_of(a=type("Plugin", (BasePlugin,), {hook: scope[hook]})())
    getattr(calls, hook)(*arguments_of(hook))
    assert got == [arguments_of(hook)]


# Order --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", CALLED)
def test_plugins_are_called_in_the_order_of_the_stack(hook):
    """The hooks at the end of something unwind."""
    calls = []
    getattr(calls_of(**{name: recording(calls, name, hook) for name in "cab"}), hook)(*arguments_of(hook))
    assert calls == (["b", "a", "c"] if hook in UNWINDING else ["c", "a", "b"])


@pytest.mark.parametrize("hook", CALLED)
def test_a_plugin_can_ask_to_be_called_first_or_last(hook):
    """For one hook, whatever its place in the stack; among its like the stack decides."""
    calls = []
    options = {
        "a": {"trylast": True},
        "b": {},
        "c": {"tryfirst": True},
        "d": {"trylast": True},
        "e": {"tryfirst": True},
    }
    plugins = {name: recording(calls, name, hook, **given) for name, given in options.items()}
    getattr(calls_of(**plugins), hook)(*arguments_of(hook))
    assert calls == (["e", "c", "b", "d", "a"] if hook in UNWINDING else ["c", "e", "b", "a", "d"])


def test_the_first_answer_counts():
    """None and NotImplemented are no answers; nobody behind the answer is asked."""
    asked = []

    class Answering(BasePlugin):
        def __init__(self, answer):
            self.answer = answer

        def should_stop(self, outcomes):
            asked.append(self.answer)
            return self.answer

    plugins = {"a": Answering(None), "b": Answering(NotImplemented), "c": Answering(False), "d": Answering(True)}
    found = calls_of(**plugins).first("should_stop", "<experiment>", ())
    assert (found[0].name, found[1]) == ("c", False)
    assert asked == [None, NotImplemented, False]


def test_without_an_answer_there_is_none():
    """Whoever asks decides what that means."""
    assert calls_of(a=BasePlugin()).first("should_stop", "<experiment>", ()) is None


# Failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", CALLED)
@pytest.mark.parametrize("at", range(3))
def test_a_failing_essential_plugin_costs_no_other_a_call(hook, at):
    """The others are called all the same, and then the failure is raised."""
    calls = []
    plugins = {
        name: recording(calls, name, hook, fails=OSError("disk") if number == at else None)
        for number, name in enumerate("abc")
    }
    with pytest.raises(HookError) as caught:
        getattr(calls_of(**plugins), hook)(*arguments_of(hook))
    assert sorted(calls) == ["a", "b", "c"]
    name = "abc"[at]
    assert caught.value.message == f"hook {hook!r} of plugin {name!r} raised OSError: disk"
    assert (caught.value.distribution, caught.value.plugin, caught.value.hook) == (f"x-{name}", name, hook)
    assert repr(caught.value.__cause__) == "OSError('disk')"


def test_several_failures_are_raised_as_the_first_with_notes():
    """None is lost."""
    plugins = {name: recording([], name, "before_run", fails=OSError(name)) for name in "abc"}
    with pytest.raises(HookError) as caught:
        calls_of(**plugins).before_run("<experiment>", "<run>")
    assert str(caught.value) == (
        "hook 'before_run' of plugin 'a' raised OSError: a [distribution 'x-a', plugin 'a', hook 'before_run']"
    )
    assert caught.value.__notes__ == [
        "and: hook 'before_run' of plugin 'b' raised OSError: b [distribution 'x-b', plugin 'b', hook 'before_run']",
        "and: hook 'before_run' of plugin 'c' raised OSError: c [distribution 'x-c', plugin 'c', hook 'before_run']",
    ]


@pytest.mark.parametrize("hook", CALLED)
@pytest.mark.parametrize("at", range(3))
def test_a_failing_observer_is_switched_off_and_noted(hook, at):
    """No other plugin misses a call, then or later, and the observer gets none any more."""
    calls = []
    plugins = {
        name: recording(calls, name, hook, essential=number != at, fails=OSError("disk") if number == at else None)
        for number, name in enumerate("abc")
    }
    hooks = calls_of(**plugins)
    getattr(hooks, hook)(*arguments_of(hook))
    assert sorted(calls) == ["a", "b", "c"]
    calls.clear()
    getattr(hooks, hook)(*arguments_of(hook))
    name = "abc"[at]
    assert sorted(calls) == sorted({"a", "b", "c"} - {name})
    notes = hooks.take_notes()
    assert [(note.kind, note.plugin, note.text) for note in notes] == [
        (
            "switched-off",
            name,
            f"plugin {name!r} (x-{name}) was switched off for the rest of the run: its hook {hook!r} raised OSError: disk",
        )
    ]
    assert hooks.take_notes() == []


@pytest.mark.parametrize("failing", CALLED)
def test_a_switched_off_observer_loses_all_its_hooks(failing):
    """Where it was alone, nothing is called any more."""
    calls = []
    plugin = type("Observer", (), {hook: vars(type(recording(calls, hook, hook)))[hook] for hook in CALLED})()
    plugin.essential = False
    broken = recording(calls, "broken", failing, fails=OSError("disk"))
    setattr(type(plugin), failing, vars(type(broken))[failing])
    hooks = calls_of(a=plugin)
    getattr(hooks, failing)(*arguments_of(failing))
    assert [hook for hook in CALLED if getattr(hooks, hook) is not None] == []


def test_an_observer_that_exits_is_switched_off_too():
    """`sys.exit` in a plugin does not end the program."""
    hooks = calls_of(a=recording([], "a", "before_run", essential=False, fails=SystemExit(3)))
    hooks.before_run("<experiment>", "<run>")
    assert [note.plugin for note in hooks.take_notes()] == ["a"]


def test_an_observer_that_raises_a_hook_error_is_an_observer():
    """A plugin may run an experiment of its own, and that may fail."""
    inner = HookError("hook 'before_run' of plugin 'other' raised OSError: disk", plugin="other")
    hooks = calls_of(a=recording([], "a", "before_run", essential=False, fails=inner))
    hooks.before_run("<experiment>", "<run>")
    assert [note.plugin for note in hooks.take_notes()] == ["a"]


def test_ctrl_c_is_not_a_failure_of_the_plugin():
    """It goes through, whoever is at work."""
    hooks = calls_of(a=recording([], "a", "before_run", essential=False, fails=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        hooks.before_run("<experiment>", "<run>")
    assert hooks.take_notes() == []


def test_an_observer_that_fails_in_several_threads_at_once_is_noted_once():
    """Threads that are in the middle of the same call do not add to it."""
    together = threading.Barrier(4)

    class Observer(BasePlugin):
        essential = False

        def before_step(self, ctx):
            together.wait()
            raise OSError("disk")

    hooks = calls_of(a=Observer())
    call = hooks.before_step
    threads = [threading.Thread(target=call, args=("<experiment>", "<step>", "<ctx>")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [note.plugin for note in hooks.take_notes()] == ["a"]


@pytest.mark.parametrize("hook", ["step_options", "describe_run", "cache_dependencies"])
def test_an_answer_that_is_no_mapping_is_a_failure_of_the_plugin(hook):
    """The message says what the hook is to return."""
    plugin = type("Odd", (BasePlugin,), {hook: lambda self: ["a"]})()
    with pytest.raises(HookError) as caught:
        list(calls_of(a=plugin).collect(hook, *arguments_of(hook)))
    assert caught.value.message == (
        f"hook {hook!r} of plugin 'a' raised TypeError: it must return a mapping or None, found list ['a']"
    )


def test_answers_are_collected_from_everybody_in_spite_of_failures():
    """What was raised comes back beside them."""

    class Describing(BasePlugin):
        def __init__(self, answer):
            self.answer = answer

        def describe_run(self):
            return 1 / self.answer and {"answer": self.answer}

    plugins = {"a": Describing(1), "b": Describing(0), "c": Describing(2)}
    found, errors = calls_of(**plugins).answers("describe_run", "<experiment>")
    assert [(plugin.name, answer) for plugin, answer in found] == [("a", {"answer": 1}), ("c", {"answer": 2})]
    assert [error.message for error in errors] == [
        "hook 'describe_run' of plugin 'b' raised ZeroDivisionError: division by zero"
    ]


# Wrappers -----------------------------------------------------------------------------------------------


def around(calls, name, hook, *, essential=True, before=None, after=None):
    """A plugin with a wrapper of one hook that may raise before or after the others."""

    class Around:
        @hookimpl(wrapper=True, specname=hook)
        def call_it_what_you_like(self):
            calls.append(f"{name} begins")
            if before is not None:
                raise before
            yield
            if after is not None:
                raise after
            calls.append(f"{name} ends")

    plugin = Around()
    plugin.essential = essential
    return plugin


@pytest.mark.parametrize("hook", CALLED)
def test_wrappers_go_around_the_others(hook):
    """The first of the stack is the outermost."""
    calls = []
    plugins = {
        "a": around(calls, "a", hook),
        "b": recording(calls, "b", hook),
        "c": around(calls, "c", hook),
        "d": recording(calls, "d", hook),
    }
    getattr(calls_of(**plugins), hook)(*arguments_of(hook))
    inner = ["d", "b"] if hook in UNWINDING else ["b", "d"]
    assert calls == ["a begins", "c begins", *inner, "c ends", "a ends"]


def test_a_wrapper_without_anything_to_wrap_is_called():
    """Its own work may be all that is wanted."""
    calls = []
    calls_of(a=around(calls, "a", "before_run")).before_run("<experiment>", "<run>")
    assert calls == ["a begins", "a ends"]


def test_a_wrapper_sees_the_failure_of_an_essential_plugin():
    """And passes it on, if it does nothing about it."""
    seen = []

    class Around:
        @hookimpl(wrapper=True)
        def before_run(self):
            try:
                yield
            except HookError as error:
                seen.append(error.message)
                raise

    plugins = {"a": Around(), "b": recording([], "b", "before_run", fails=OSError("disk"))}
    with pytest.raises(HookError) as caught:
        calls_of(**plugins).before_run("<experiment>", "<run>")
    assert seen == [caught.value.message] == ["hook 'before_run' of plugin 'b' raised OSError: disk"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("essential", [True, False])
def test_a_failing_wrapper_costs_no_other_plugin_a_call(when, essential):
    """It is treated like any other implementation that fails."""
    calls = []
    plugins = {
        "a": around(calls, "a", "before_run", essential=essential, **{when: OSError("disk")}),
        "b": recording(calls, "b", "before_run"),
        "c": around(calls, "c", "before_run"),
    }
    hooks = calls_of(**plugins)
    if essential:
        with pytest.raises(HookError) as caught:
            hooks.before_run("<experiment>", "<run>")
        assert caught.value.address == {"distribution": "x-a", "plugin": "a", "hook": "before_run"}
        assert hooks.take_notes() == []
    else:
        hooks.before_run("<experiment>", "<run>")
        assert [note.plugin for note in hooks.take_notes()] == ["a"]
    assert calls == ["a begins", "c begins", "b", "c ends"]
    calls.clear()
    if not essential:
        hooks.before_run("<experiment>", "<run>")
        assert calls == ["c begins", "b", "c ends"]


def test_plain_implementations_keep_their_isolation_inside_a_wrapper():
    """A failing observer is switched off there as well."""
    calls = []
    plugins = {
        "a": recording(calls, "a", "after_run", essential=False, fails=OSError("disk")),
        "b": around(calls, "b", "after_run"),
        "c": recording(calls, "c", "after_run"),
    }
    hooks = calls_of(**plugins)
    hooks.after_run("<experiment>", "<result>")
    hooks.after_run("<experiment>", "<result>")
    assert calls == ["b begins", "c", "a", "b ends", "b begins", "c", "b ends"]
    assert [note.plugin for note in hooks.take_notes()] == ["a"]

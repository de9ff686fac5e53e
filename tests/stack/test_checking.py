"""Whether an object is a plugin, and what is said when it is almost one."""

from __future__ import annotations

import inspect
import types

import attrs
import pytest

from crystallize_core import BasePlugin, PluginError, hookimpl
from crystallize_core.hookspecs import ANSWERING, HOOKS
from crystallize_core.stack.checking import hooks_of, is_executor, plugin_name


def refused(plugin):
    with pytest.raises(PluginError) as caught:
        hooks_of(plugin, "p")
    assert caught.value.plugin == "p"
    return caught.value.message


def listed(*problems):
    return "plugin 'p' cannot be used:" + "".join(f"\n  {problem}" for problem in problems)


def test_only_overridden_methods_of_a_base_plugin_are_hooks():
    """Whatever is not overridden is not there, and costs nothing."""

    class Counting(BasePlugin):
        def after_step(self, data): ...

        def before_run(self, run): ...

        def helper(self): ...

    assert list(hooks_of(Counting(), "p")) == ["before_run", "after_step"]


def test_a_base_plugin_without_hooks_is_a_plugin():
    """It may be there for its options."""
    assert hooks_of(BasePlugin(), "p") == {}


def test_a_base_plugin_inherits_the_hooks_of_its_bases():
    """A plugin can be derived from another one, and switch a hook of it off."""

    class Base(BasePlugin):
        def before_run(self, run): ...

        def after_run(self, result): ...

    class Derived(Base):
        after_run = None

    assert list(hooks_of(Derived(), "p")) == ["before_run"]


def test_an_object_with_marked_methods_is_a_plugin():
    """No base class is needed."""

    class Plain:
        @hookimpl
        def before_run(self, run): ...

        @hookimpl(specname="after_run", tryfirst=True)
        def finish(self, result): ...

        def after_step(self, data): ...

    plugin = Plain()
    found = hooks_of(plugin, "p")
    assert {hook: function for hook, (function, _) in found.items()} == {
        "before_run": plugin.before_run,
        "after_run": plugin.finish,
    }
    assert found["after_run"][1]["tryfirst"] is True


def test_a_module_of_marked_functions_is_a_plugin():
    """Functions of the module take the arguments that they need."""
    module = types.ModuleType("my_hooks")

    @hookimpl
    def after_step(step, data): ...

    def before_run(run): ...

    module.after_step, module.before_run = after_step, before_run
    assert {hook: function for hook, (function, _) in hooks_of(module, "p").items()} == {"after_step": after_step}


def test_static_and_class_methods_can_be_marked():
    """The mark is found behind them."""

    class Plain:
        @staticmethod
        @hookimpl
        def before_run(run): ...

        @classmethod
        @hookimpl
        def after_run(cls, result): ...

    assert list(hooks_of(Plain(), "p")) == ["before_run", "after_run"]


def test_properties_of_strangers_are_not_run():
    """Looking for hooks executes nothing of the plugin."""

    class Lazy:
        @property
        def connection(self):
            raise AssertionError

        def __getattr__(self, name):
            raise AssertionError(name)

        @hookimpl
        def before_run(self, run): ...

    assert list(hooks_of(Lazy(), "p")) == ["before_run"]


def test_a_class_in_place_of_an_instance_is_recognised():
    """The message shows what was probably meant."""

    class Audit(BasePlugin):
        pass

    assert refused(Audit) == "plugin 'p' is a class; have you forgotten the parentheses? Audit()"


def test_an_object_without_hooks_is_refused():
    """It would do nothing, and nobody would know."""
    assert refused(object()) == listed("it implements no hook; mark functions with @hookimpl or subclass BasePlugin")


def test_a_misspelt_method_of_a_base_plugin_is_refused():
    """It would never be called."""

    class Odd(BasePlugin):
        def before_stp(self, step, ctx): ...

        def on_evnt(self, event): ...

    assert refused(Odd()) == listed(
        "method 'before_stp' of Odd looks like the hook 'before_step'; did you mean 'before_step'? (a helper of that name "
        "starts with an underscore)",
        "method 'on_evnt' of Odd looks like the hook 'on_event'; did you mean 'on_event'? (a helper of that name starts "
        "with an underscore)",
    )


def test_helpers_of_a_base_plugin_have_any_other_name():
    """Only what looks like a hook is taken for one."""

    class Fine(BasePlugin):
        def _before_stp(self): ...

        def step(self): ...

        def run_all(self): ...

        def replicate(self): ...

    assert hooks_of(Fine(), "p") == {}


def test_an_unknown_marked_hook_is_refused_with_a_suggestion():
    """A mark says that it is meant as a hook."""

    class Plain:
        @hookimpl
        def before_stepp(self, step): ...

    assert refused(Plain()) == listed("unknown hook 'before_stepp'; did you mean 'before_step'?")


def test_an_unknown_marked_hook_that_is_like_none_is_refused_with_the_list():
    """Nothing is guessed that is far away."""

    class Plain:
        @hookimpl
        def pytest_configure(self): ...

    names = ", ".join(repr(name) for name in sorted(HOOKS)[:12])
    assert refused(Plain()) == listed(f"unknown hook 'pytest_configure'; the hooks are: {names}, ….")


def test_an_unknown_argument_is_refused_with_suggestion_and_signature():
    """The signature shows what there is."""

    class Odd(BasePlugin):
        def after_step(self, result): ...

        def before_step(self, contex): ...

    assert refused(Odd()) == listed(
        "hook 'before_step' has no argument 'contex'; did you mean 'ctx'? The hook is before_step(experiment, "
        "step, ctx)",
        "hook 'after_step' has no argument 'result'; its arguments are: 'ctx', 'data', 'experiment', 'step'. The hook is "
        "after_step(experiment, step, data, ctx)",
    )


def test_an_async_hook_is_refused_by_name():
    """Hooks are called, not awaited."""

    class Odd(BasePlugin):
        async def after_run(self, result): ...

        async def on_event(self, event):
            yield

    assert refused(Odd()) == listed(
        "hook 'after_run' is `async def`; hooks are plain functions",
        "hook 'on_event' is `async def`; hooks are plain functions",
    )


def test_catch_all_arguments_are_refused():
    """Otherwise pluggy would leave them empty without a word."""

    class Odd(BasePlugin):
        def before_step(self, *args): ...

        def step_options(self, **kwargs): ...

    assert refused(Odd()) == listed(
        "hook 'before_step' takes *args; name the arguments that it needs: experiment, step, ctx",
        "hook 'step_options' takes **kwargs; name the arguments that it needs: none",
    )


def test_arguments_of_its_own_with_defaults_are_allowed():
    """They keep their defaults."""

    class Fine(BasePlugin):
        def before_step(self, step, ctx, verbose=False, *, prefix="> "): ...

    assert list(hooks_of(Fine(), "p")) == ["before_step"]


@pytest.mark.parametrize("hook", sorted(ANSWERING))
def test_a_hook_that_answers_cannot_be_a_wrapper(hook):
    """What it would do to the answers of others has no meaning here."""
    plugin = types.SimpleNamespace()
    plugin.__dict__[hook] = hookimpl(wrapper=True, specname=hook)(lambda: (yield))
    assert refused(plugin) == listed(
        f"hook {hook!r} cannot be a wrapper, because it returns something; only the others can"
    )


def test_the_old_kind_of_wrapper_is_refused():
    """There is one way to write it."""

    class Old:
        @hookimpl(hookwrapper=True)
        def before_run(self, run):
            yield

    assert refused(Old()) == listed("hook 'before_run' is marked hookwrapper=True; write it as wrapper=True")


def test_everything_that_is_wrong_is_listed_at_once():
    """One round of corrections is enough."""

    class Odd(BasePlugin):
        def before_stp(self): ...

        async def before_run(self, runn): ...

        def after_step(self, dta): ...

    assert refused(Odd()) == listed(
        "method 'before_stp' of Odd looks like the hook 'before_step'; did you mean 'before_step'? (a helper of that name "
        "starts with an underscore)",
        "hook 'before_run' is `async def`; hooks are plain functions",
        "hook 'after_step' has no argument 'dta'; did you mean 'data'? The hook is after_step(experiment, step, data, ctx)",
    )


@pytest.mark.parametrize("hook", HOOKS)
def test_the_base_plugin_has_every_hook_with_its_arguments(hook):
    """The class and the specifications say the same."""
    specified = list(inspect.signature(HOOKS[hook]).parameters)
    assert list(inspect.signature(getattr(BasePlugin, hook)).parameters) == ["self", *specified]


def test_an_executor_is_what_runs_replicates():
    """Overriding or marking the hook makes one."""

    class Loop(BasePlugin):
        def run_experiment_loop(self, replicate_fn):
            return []

    class Marked:
        @hookimpl(specname="run_experiment_loop")
        def loop(self, replicate_fn):
            return []

    assert [is_executor(plugin) for plugin in (Loop(), Marked(), BasePlugin(), object())] == [True, True, False, False]


def test_a_plugin_is_named_by_itself_or_after_its_class():
    """The ending Plugin says nothing."""

    class SlowLogPlugin(BasePlugin):
        pass

    class Plugin(BasePlugin):
        pass

    @attrs.define
    class Own(BasePlugin):
        plugin_name = "mine"

    module = types.ModuleType("pack.my_hooks")
    assert [plugin_name(p) for p in (SlowLogPlugin(), Plugin(), Own(), module)] == [
        ("slow_log", False),
        ("plugin", False),
        ("mine", True),
        ("my_hooks", False),
    ]

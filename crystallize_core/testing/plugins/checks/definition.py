"""What a plugin is made of: its hooks and what it says of itself."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from crystallize_core.errors import PluginError
from crystallize_core.hookspecs import ANSWERING, HOOKS
from crystallize_core.stack.checking import hooks_of, plugin_name
from crystallize_core.stack.declared import options_of
from crystallize_core.testing.plugins.check import check, fail_where
from crystallize_core.testing.plugins.process import PARTS
from crystallize_core.testing.plugins.subject import Subject


@check
def it_can_be_made(subject: Subject) -> None:
    """It can be imported and made, with the options that it is given."""
    subject.make()


@check
def hooks_take_declared_arguments_only(subject: Subject) -> None:
    """Every hook exists and takes arguments that its specification has."""
    try:
        hooks_of(subject.sample, subject.name)
    except PluginError as error:
        raise AssertionError(error.message) from error


@check
def it_implements_a_hook(subject: Subject) -> None:
    """It implements at least one hook; one with none does nothing, mostly because of a missing decorator."""
    if not subject.hooks:
        named = ", ".join(HOOKS)
        raise AssertionError(f"plugin {subject.name!r} implements no hook; the hooks are {named}")


@check
def no_hook_is_async(subject: Subject) -> None:
    """Hooks are plain functions, and none returns something that has to be awaited."""
    problems = [
        f"hook {hook!r} is `async def`; hooks are plain functions"
        for hook, function in subject.hook_functions.items()
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    ]
    fail_where(problems)
    for call in subject.watched_run():
        if inspect.isawaitable(call.answer):
            if inspect.iscoroutine(call.answer):
                call.answer.close()
            problems.append(f"hook {call.hook!r} returned {type(call.answer).__qualname__}, which nobody awaits")
    fail_where(problems, "do the work in the hook, and wait in a thread of your own where that must be")


@check
def hooks_return_what_is_specified(subject: Subject) -> None:
    """A hook that nobody wants an answer of returns none; a generator without `wrapper=True` would never run."""
    problems = [
        f"hook {call.hook!r} returned {type(call.answer).__qualname__}, and its answer is not wanted"
        for call in subject.watched_run()
        if call.hook not in ANSWERING and call.answer is not None
    ]
    fail_where(problems, "return nothing; what is to be kept goes into the context, the outcome or the result")


@check
def hooks_do_not_fail_by_themselves(subject: Subject) -> None:
    """No hook raises in a run whose steps succeed, fail, are left out and are cached."""
    fail_where(
        [
            f"hook {call.hook!r} raised {type(call.error).__qualname__}: {call.error}"
            for call in subject.watched_run()
            if call.error is not None
        ]
    )


@check
def it_says_what_it_is(subject: Subject) -> None:
    """`essential`, `before`, `after` and `changes_process` are of the types that the stack reads."""
    plugin, problems = subject.sample, []
    if not isinstance(getattr(plugin, "essential", True), bool):
        problems.append(f"essential must be True or False, found {plugin.essential!r}")
    for word in ("before", "after", "changes_process"):
        found = getattr(plugin, word, ())
        if callable(found) or found is None:
            continue  # something else of that name, such as a function of a module
        if isinstance(found, str) or not all(isinstance(name, str) for name in found):
            problems.append(f"{word} must be a tuple of names, found {found!r}; write ({found!r},)")
    unknown = subject.changes_process - set(PARTS)
    if unknown:
        problems.append(f"changes_process has {', '.join(sorted(unknown))}; it may have {', '.join(PARTS)}")
    if subject.changes_process and not subject.essential:
        problems.append("an observer (essential = False) changes nothing; changes_process is for essential plugins")
    fail_where(problems)


@check
def its_name_is_always_the_same(subject: Subject) -> None:
    """Two of it have one name, and it is that of the entry point, so that one made in Python replaces the installed one."""
    names = {plugin_name(subject.make())[0], plugin_name(subject.make())[0]}
    if len(names) > 1:
        raise AssertionError(f"two plugins of one class have the names {', '.join(sorted(names))}")
    found, own = plugin_name(subject.sample)
    if own and subject.entry_point is not None and found != subject.entry_point:
        raise AssertionError(
            f"plugin_name is {found!r}, and the entry point is {subject.entry_point!r}; name both the same"
        )


@check
def each_is_a_new_one(subject: Subject) -> None:
    """`make` gives a new plugin at each call, so that stacks do not share one."""
    subject.needs_class()
    if subject.make() is subject.make():
        raise AssertionError("make() gave the same object twice; make a new one at each call")


@check
def it_can_be_made_where_it_is_merely_installed(subject: Subject) -> None:
    """Without a configuration, every installed plugin is made by `autoload()` or without arguments."""
    subject.needs_class()
    subject.needs_others_executor()
    kind = type(subject.sample)
    made = kind.autoload() if hasattr(kind, "autoload") else kind()
    is_one = isinstance(made, kind)
    fail_where([] if is_one else [f"autoload() gave {type(made).__qualname__}, and not {kind.__qualname__}"])
    hooks_of(made, subject.name)


@check
def step_options_have_types(subject: Subject) -> None:
    """`step_options` returns names with types or checks, and the same ones whenever it is asked."""
    subject.needs_hook("step_options")
    function, _ = subject.hooks["step_options"]
    first, again = function(), function()
    found = f"step_options returned {type(first).__qualname__}; it must be a mapping of names to types"
    fail_where([] if isinstance(first, Mapping) else [found])
    wrong = [name for name in first if not isinstance(name, str) or not name.isidentifier()]
    fail_where([f"step option {name!r} cannot be a keyword of a step" for name in wrong])
    if list(first) != list(again):
        raise AssertionError(f"step_options named {', '.join(first)} and then {', '.join(again)}")


@check
def its_options_have_types(subject: Subject) -> None:
    """Every option has an annotation that can be resolved, so that a wrong value in a configuration is refused."""
    subject.needs_class()
    kind = type(subject.sample)
    bare = [name for name, option in options_of(kind).items() if str(option.type) == "typing.Any"]
    fail_where([f"option {name!r} of {kind.__qualname__} has no type, or one that cannot be resolved" for name in bare])

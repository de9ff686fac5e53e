"""On the way to a worker: what a plugin is after it was pickled."""

from __future__ import annotations

import importlib
import inspect
import pickle
import sys
from typing import Any

from crystallize_core.errors import CrystallizeError, describe
from crystallize_core.stack.checking import hooks_of
from crystallize_core.stack.options import values_of
from crystallize_core.testing.plugins.check import DoesNotApply, check, fail_where
from crystallize_core.testing.plugins.subject import Subject


def sent(subject: Subject) -> Any:
    """The plugin after it was pickled and read back."""
    subject.needs_class()
    try:
        return pickle.loads(pickle.dumps(subject.make()))  # noqa: S301 - what was pickled a moment ago
    except Exception as error:
        message = f"the plugin cannot be sent to a worker: {describe(error)}; leave out what belongs to a process in __reduce__"
        raise AssertionError(message) from error


@check
def it_can_be_pickled(subject: Subject) -> None:
    """The plugin can be sent to a worker with the standard pickle, before any run and after one."""
    sent(subject)
    plugin = subject.make()
    subject.experiment(plugin).run()
    try:
        pickle.dumps(plugin)
    except Exception as error:
        raise AssertionError(f"the plugin cannot be sent any more after a run: {describe(error)}") from error


@check
def a_pickled_one_has_the_same_options(subject: Subject) -> None:
    """Class, options and hooks are the same after it was pickled and read back."""
    before, after = subject.make(), sent(subject)
    assert type(after) is type(before), f"{type(before).__qualname__} became {type(after).__qualname__}"
    here, there = values_of(before), values_of(after)
    changed = [name for name in here if repr(here[name]) != repr(there.get(name))]
    fail_where([f"option {name!r} was {here[name]!r} and is {there.get(name)!r} after pickling" for name in changed])
    lost = sorted(set(hooks_of(before, subject.name)) ^ set(hooks_of(after, subject.name)))
    fail_where([f"hook {hook!r} is there only before or only after pickling" for hook in lost])


@check
def a_pickled_one_works(subject: Subject) -> None:
    """An experiment with the plugin that was pickled has the digest of one with the original."""
    expected = subject.experiment(subject.make()).run()
    found = subject.experiment(sent(subject)).run()
    fail_where([str(error) for error in found.errors.values()])
    if found.digest != expected.digest:
        raise AssertionError(
            f"the digest with the pickled plugin is {found.digest}, with the original {expected.digest}"
        )


@check
def it_can_be_imported_in_another_process(subject: Subject) -> None:
    """Its class stands at the top of a module, where any process finds it."""
    subject.needs_class()
    kind = type(subject.sample)
    if kind.__module__ == "__main__":
        raise DoesNotApply("the class is in a script, which is sent by value where cloudpickle is installed")
    found: Any = sys.modules.get(kind.__module__)
    for part in kind.__qualname__.split("."):
        found = None if found is None else getattr(found, part, None)
    if found is not kind:
        raise AssertionError(
            f"{kind.__module__}.{kind.__qualname__} is not what that name means; define it at the top of a module"
        )


@check
def its_exceptions_keep_their_address(subject: Subject) -> None:
    """Exceptions of its package keep their message, and errors of the tree their address, when they are sent on."""
    module = subject.sample.__name__ if subject.is_module else type(subject.sample).__module__
    kinds = _exceptions_of(module)
    if not kinds:
        raise DoesNotApply("its package defines no exception")
    fail_where([problem for kind in kinds for problem in _lost(kind)])


def _exceptions_of(module: str) -> list[type[Exception]]:
    """Those that its package defines, as far as it has been imported."""
    importlib.import_module(module)
    package = module.partition(".")[0]
    loaded = {name: found for name, found in sys.modules.items() if name == module or name.startswith(f"{package}.")}
    return [
        value
        for name, found in loaded.items()
        for value in vars(found).values()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == name
    ]


def _lost(kind: type[Exception]) -> list[str]:
    ours = issubclass(kind, CrystallizeError)
    try:
        error = kind("a message", plugin="it", step="this one") if ours else kind("a message")  # type: ignore[call-arg]
    except TypeError:  # it takes something else; nobody knows what
        return []
    try:
        there = pickle.loads(pickle.dumps(error))  # noqa: S301 - what was pickled a moment ago
    except Exception as problem:  # noqa: BLE001 - that is the finding
        return [f"{kind.__qualname__} cannot be sent from a worker: {describe(problem)}"]
    if str(there) != str(error):
        return [f"{kind.__qualname__} says {str(there)!r} after it was sent, and {str(error)!r} before"]
    return []

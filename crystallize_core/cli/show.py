"""Everything that there is to know about one plugin: `crystallize plugins show`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import attrs

from crystallize_core.cli.catalog import Found, Here, reason_of
from crystallize_core.cli.docstrings import described_names, summary_of
from crystallize_core.cli.metadata import location_of, metadata_of
from crystallize_core.cli.reasons import why_there
from crystallize_core.errors import ConfigurationError, PluginError, did_you_mean, safe_str
from crystallize_core.plugin import BasePlugin
from crystallize_core.stack.contract import contract_of
from crystallize_core.stack.declared import FACTORY, MASK, REQUIRED, Option, options_of
from crystallize_core.stack.meaning import meaning
from crystallize_core.stack.option_types import type_name
from crystallize_core.stack.options import values_of

__all__ = ["Hook", "Shown", "ShownOption", "show"]

REQUIRED_TEXT = "required"


@attrs.frozen
class Hook:
    """A hook of a plugin: when it is called, and in which process."""

    name: str
    summary: str
    process: str


@attrs.frozen
class ShownOption:
    """An option of a plugin, as text.

    Attributes:
        name, type: What it is called and of which type it is.
        default: Its default; `required` where it has none.
        help: What its field or the docstring of the class says.
        value: The value that is in effect here; None where the plugin is not active.
        origin: Where that comes from; None as above.

    """

    name: str
    type: str
    default: str
    help: str
    value: str | None = None
    origin: str | None = None


@attrs.frozen
class Shown:
    """One plugin.

    Attributes:
        name, kind, distribution, version, origin, status, reason: As in the list of all.
        location: The folder of the distribution, or the file.
        description, homepage: What the distribution says of itself.
        summary: The first line of the docstring.
        essential: Whether a failure of it is one of the run; None where the plugin cannot be looked at.
        contract: The version of the hooks that it was written for; None where it cannot be looked at.
        before, after: Names that it comes before or after.
        place: Its number in the stack, from 1; None where it is not in it.
        why: The reasons for that place.
        hooks: What it implements.
        step_options: The step options that it claims, with their types.
        options: What can be configured.

    """

    name: str
    kind: str
    distribution: str | None
    version: str | None
    origin: str
    location: str | None
    description: str | None
    homepage: str | None
    summary: str
    status: str
    reason: str | None
    essential: bool | None
    contract: str | None
    before: tuple[str, ...]
    after: tuple[str, ...]
    place: int | None
    why: tuple[str, ...]
    hooks: tuple[Hook, ...]
    step_options: Mapping[str, str]
    options: tuple[ShownOption, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return attrs.asdict(self)


def show(name: str) -> list[Shown]:
    """The plugins of that name: one, or several where distributions ship the same name.

    Raises:
        ConfigurationError: There is none.

    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is skipped says so itself
        here = Here.found(name)
        everything = here.everything()
        found = [_with_class(one) for one in everything if one.entry.name == name]
        if not found:
            known = {one.entry.name for one in everything}
            message = f"there is no plugin {name!r}; {did_you_mean(name, known, listing='installed')}"
            raise ConfigurationError(message)
        return [_shown(here, one) for one in found]


def _shown(here: Here, found: Found) -> Shown:
    entry, loaded = found.entry, found.loaded if found.plugin is None else found.plugin.plugin
    described = metadata_of(found.installed)
    place, why = _place(here, found)
    return Shown(
        name=entry.name,
        kind=entry.kind,
        distribution=entry.distribution,
        version=entry.version,
        origin=entry.origin,
        location=location_of(found.installed) if found.installed is not None else entry.origin,
        description=described.get("Summary"),
        homepage=described.get("Home-page"),
        summary="" if loaded is None else summary_of(loaded),
        status=entry.status,
        reason=entry.reason,
        essential=None if loaded is None else getattr(loaded, "essential", True) is not False,
        contract=None if loaded is None else _contract(loaded),
        before=_names(loaded, "before"),
        after=_names(loaded, "after"),
        place=place,
        why=why,
        hooks=tuple(_hook(hook) for hook in entry.hooks),
        step_options=_step_options(found),
        options=tuple(_options(here, found)),
    )


def _with_class(found: Found) -> Found:
    """With the class of an instance that the stack has under a name of its own, for its docstring and its options."""
    if found.loaded is not None or found.plugin is None or isinstance(found.plugin.plugin, ModuleType):
        return found
    return attrs.evolve(found, loaded=type(found.plugin.plugin))


def _names(loaded: Any, word: str) -> tuple[str, ...]:
    """What a plugin says in `before` or `after`."""
    said = getattr(loaded, word, ())
    if isinstance(said, str):
        return (said,)
    return tuple(map(str, said)) if isinstance(said, (list, tuple)) else ()


def _contract(loaded: Any) -> str:
    try:
        return contract_of(loaded)
    except PluginError as error:
        return error.message


def _hook(name: str) -> Hook:
    found = meaning(name)
    return Hook(name, found.summary, found.process)


def _place(here: Here, found: Found) -> tuple[int | None, tuple[str, ...]]:
    if here.stack is None or found.plugin is None:
        return None, ()
    reasons = why_there(here, here.stack)
    return here.order.index(found.entry.name) + 1, tuple(reasons[found.entry.name])


# Options --------------------------------------------------------------------------------------------


def _options(here: Here, found: Found) -> list[ShownOption]:
    """The options of a class; what is an object or a module already has none to configure."""
    kind = found.loaded
    if found.plugin is not None and isinstance(found.plugin.plugin, BasePlugin):  # also an object of a local file
        kind = type(found.plugin.plugin)
    if not isinstance(kind, type):
        return []
    helps = described_names(kind)
    values = {} if found.plugin is None else values_of(found.plugin.plugin)
    shown = []
    for option in options_of(kind).values():
        default, value = _default(option), _text(repr, values[option.name]) if option.name in values else None
        origin = (
            None
            if value is None
            else _origin(here, found.entry.name, option.name, is_default=_is_default(option, value))
        )
        help_text = option.help or helps.get(option.name, "")
        shown.append(ShownOption(option.name, _text(type_name, option.type), default, help_text, value, origin))
    return shown


def _origin(here: Here, plugin: str, option: str, *, is_default: bool) -> str:
    """Who said the value that is in effect."""
    trace = here.config.trace if here.stack is None or here.stack.config is None else here.stack.config.trace
    said = [trace.told(key)[-1].origin for key in trace.below("options", plugin, option) if trace.told(key)]
    if not said:
        return "default" if is_default else "the plugin"
    lines = [f"{origin}, line {origin.line}" if origin.line is not None else str(origin) for origin in said]
    return " and ".join(dict.fromkeys(lines))


def _default(option: Option) -> str:
    default = option.default
    if default is REQUIRED:
        return REQUIRED_TEXT
    if option.secret and default is not None:
        return MASK
    if isinstance(default, FACTORY):
        return f"{getattr(default.factory, '__name__', 'made')}()"  # type: ignore[attr-defined]  # attrs.Factory
    return _text(repr, default)


def _is_default(option: Option, value: str) -> bool:
    """Whether a value that nobody has said is the default, and not what the plugin chose by itself; secrets are not told apart."""
    default = option.default
    if isinstance(default, FACTORY) and not default.takes_self:  # type: ignore[attr-defined]  # attrs.Factory
        return value == _text(lambda factory: repr(factory()), default.factory)  # type: ignore[attr-defined]  # as above
    return option.secret or value == _default(option)


def _text(write: Any, value: Any) -> str:
    """Text for something of a stranger, whose own text may fail."""
    try:
        return str(write(value))
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return safe_str(value)


# Step options ---------------------------------------------------------------------------------------


def _step_options(found: Found) -> dict[str, str]:
    """What it claims; where it is not active it is made without options to be asked."""
    if "step_options" not in found.entry.hooks:
        return {}
    try:
        plugin = found.plugin.plugin if found.plugin is not None else _made(found.loaded)
        claimed = dict(plugin.step_options() or {})
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code may raise anything
        return {"?": f"it cannot say: {reason_of(error)}"}
    return {name: _checked_as(expected) for name, expected in claimed.items()}


def _made(loaded: Any) -> Any:
    if not isinstance(loaded, type):
        return loaded
    return loaded.autoload() if hasattr(loaded, "autoload") else loaded()


def _checked_as(expected: Any) -> str:
    """A type, or what the docstring of the function that checks it says."""
    if inspect.isfunction(expected) or inspect.ismethod(expected):
        return summary_of(expected) or f"checked by {expected.__name__}"
    return _text(type_name, expected)

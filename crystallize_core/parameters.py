"""`context(...)`: the parameters that the steps of a pipeline are given by name.

A `Context` is what a user makes and changes before a run; what a step sees of it during a run is a
`RunContext`, which reads through the step's own view, so that a cached step depends on what it read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.errors import ContextKeyError, ContextMutationError, DefinitionError, did_you_mean
from crystallize_core.state import CONDITION_KEY, REPLICATE_KEY, SEED_USED_KEY

if TYPE_CHECKING:
    from crystallize_core.context import FrozenContext

__all__ = ["Context", "RunContext", "context", "is_secret", "masked", "shown"]

_SECRET: Final = re.compile(
    r"(?:^|[_\W])(?:api_?key|access_?key|private_?key|secret|passwords?|passwd|pwd|token|credentials?|auth)(?:$|[_\W\d])",
    re.IGNORECASE,
)
MASK: Final = "***"
_OF_THE_RUN: Final = frozenset({CONDITION_KEY, REPLICATE_KEY, SEED_USED_KEY})
SHOWN: Final = 80


def is_secret(name: str) -> bool:
    """Whether a value of this name is never shown or stored, such as `api_key` or `db_password`."""
    return _SECRET.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)) is not None


def masked(name: str, value: Any) -> Any:
    """The value without secrets: those that its name says, and those in the mappings and lists that it is made of."""
    try:
        return MASK if is_secret(name) else _masked(value)
    except RecursionError:  # it contains itself
        return MASK


def _masked(value: Any) -> Any:
    if type(value) is dict:
        return {
            key: MASK if isinstance(key, str) and is_secret(key) else _masked(inner) for key, inner in value.items()
        }
    return type(value)(map(_masked, value)) if type(value) in (list, tuple) else value


def shown(name: str, value: Any) -> str:
    """A value in a line of text: short, and without secrets."""
    if is_secret(name):
        return MASK
    try:
        text = repr(masked(name, value))
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        text = f"<{type(value).__qualname__}>"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


class Context(Mapping[str, Any]):
    """Parameters by name: `ctx.learning_rate`, `ctx["learning_rate"]`, `ctx.get("learning_rate", 0.1)`.

    Args:
        values: The first parameters; the mapping itself is copied and never changed.
        parent: Where names are looked up that are not here.

    """

    def __init__(self, values: Mapping[str, Any] | None = None, *, parent: Context | None = None) -> None:
        self.__dict__["_own"] = _checked(values or {})
        self.__dict__["_parent"] = parent

    def __getitem__(self, name: str) -> Any:
        if name in self._own:
            return self._own[name]
        if self._parent is not None and name in self._parent:
            return self._parent[name]
        message = f"the context has no {name!r}; {did_you_mean(str(name), self, listing='it has')}"
        raise ContextKeyError(message)

    def __iter__(self) -> Iterator[str]:
        inherited = () if self._parent is None else self._parent
        return iter(dict.fromkeys([*inherited, *self._own]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._own or (self._parent is not None and name in self._parent)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_own" not in self.__dict__:  # asked by copy and pickle before it is filled
            raise AttributeError(name)
        try:
            return self[name]
        except ContextKeyError as error:
            raise AttributeError(error.message) from None

    def __setattr__(self, name: str, value: Any) -> None:
        message = f"a context is not assigned to (context.{name} = ...); write context.update({name}=...)"
        raise ContextMutationError(message)

    def update(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Set parameters, new ones and such as are there."""
        self._own.update(_checked({**(values or {}), **more}))

    def inherit(self, **over: Any) -> Context:
        """A context that has everything of this one, also what is set later, with some values of its own."""
        return Context(over, parent=self)

    def to_dict(self) -> dict[str, Any]:
        """The parameters as a new dictionary."""
        return {name: self[name] for name in self}

    def __reduce__(self) -> tuple[Any, ...]:
        return Context, (self.to_dict(),)

    def __repr__(self) -> str:
        return f"context({', '.join(f'{name}={shown(name, self[name])}' for name in self)})"


class RunContext(Context):
    """What a step sees of the parameters while it runs; it cannot be changed.

    What the run itself knows (`context["replicate"]`) is there for who asks for it, but is none of the parameters.
    """

    def __init__(self, ctx: FrozenContext) -> None:
        self.__dict__.update(_own={}, _parent=None, _ctx=ctx)

    def __getitem__(self, name: str) -> Any:
        return self._ctx[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._ctx if name not in _OF_THE_RUN)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._ctx

    def get(self, name: str, default: Any = None) -> Any:
        """The parameter, or `default`."""
        return self._ctx.get(name, default)

    def update(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Refused: all steps of a run see the same parameters.

        Raises:
            ContextMutationError: Always.

        """
        names = ", ".join(map(repr, {**(values or {}), **more})) or "nothing"
        message = f"a step cannot change the context (it sets {names}); return the value, or add a new key: ctx.add"
        raise ContextMutationError(message, step=self._ctx.step_name)

    def inherit(self, **over: Any) -> Context:
        """A context of the step's own that has everything of this one."""
        return Context({**self.to_dict(), **over})


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        message = f"the parameters of a context must be a mapping, found {type(values).__qualname__} {values!r}"
        raise DefinitionError(message)
    wrong = [name for name in values if type(name) is not str or not name]
    if wrong:
        message = f"the names of context parameters must be non-empty text, found {', '.join(map(repr, wrong))}"
        raise DefinitionError(message)
    return dict(values)


def context(values: Mapping[str, Any] | None = None, /, **parameters: Any) -> Context:
    """The parameters of a pipeline: `Pipeline("training", context=context(learning_rate=0.1))`.

    Args:
        values: Parameters as a mapping, for names that are no identifiers.
        **parameters: Parameters by name.

    """
    return Context({**(values or {}), **parameters})

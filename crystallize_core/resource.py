"""Resources: what cannot be copied or sent, made once per worker by a factory in the context."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.errors import DefinitionError
from crystallize_core.pickling import by_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ResourceFactory", "resource_factory"]

# Resources belong to a thread: connections and sessions are rarely safe to share.
_made = threading.local()
MOST_KEPT: Final = 8
"""Resources of one factory that a thread keeps, where they differ by what the factory read from the context."""


class ResourceFactory:
    """A context value that stands for what its function makes; see `resource_factory`."""

    def __init__(self, function: Callable[[Any], Any], key: str) -> None:
        self.function = function
        self.key = key

    def __call__(self, ctx: Any) -> Any:
        """The resource of this thread for what its function reads from `ctx`, made at the first call."""
        resources: dict[str, list[tuple[Mapping[str, Any], Any]]] = _made.__dict__.setdefault("resources", {})
        kept = resources.setdefault(self.key, [])
        for reads, resource in kept:
            if all(_is_same(ctx._peek(key), value) for key, value in reads.items()):  # noqa: SLF001 - as below
                return resource
        view = ctx._fresh_view()  # noqa: SLF001 - a resource and the context it is made of are one room
        resource = self.function(view)
        kept.append((view._reads_so_far(), resource))  # noqa: SLF001 - as above
        del kept[:-MOST_KEPT]
        return resource

    def __repr__(self) -> str:
        return f"resource_factory({self.key})"


def _is_same(one: Any, other: Any) -> bool:
    """Whether two context values are certainly the same."""
    if one is other:
        return True
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # noqa: BLE001 - arrays and foreign types answer as they like; made again, it is right
        return False


def resource_factory(function: Callable[[Any], Any], *, key: str | None = None) -> ResourceFactory:
    """A context value that is made where it is used: a connection, a model, a client.

    Args:
        function: Called with the context, once per thread of each worker, when a step first asks for it, and again
            where context values that it read have changed, so that each treatment gets its own.
        key: Resources with the same key are one. Default: the module and name of a function that can be imported;
            for any other function (a lambda, a closure) each call makes a resource of its own.

    """
    if not callable(function):
        message = f"resource_factory needs a function of the context, found {type(function).__qualname__}"
        raise DefinitionError(message)
    if key is None:
        key = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', type(function).__qualname__)}"
        if by_reference(function) is None:
            key += f" {secrets.token_hex(8)}"  # names like `<lambda>` say nothing about what is made
    return ResourceFactory(function, key)

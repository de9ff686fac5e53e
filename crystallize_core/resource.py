"""Resources: what cannot be copied or sent, made once per worker by a factory in the context."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any

from crystallize_core.errors import DefinitionError
from crystallize_core.pickling import by_reference

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ResourceFactory", "resource_factory"]

# One resource per thread and factory: connections and sessions are rarely safe to share.
_made = threading.local()


class ResourceFactory:
    """A context value that stands for what its function makes; see `resource_factory`."""

    def __init__(self, function: Callable[[Any], Any], key: str) -> None:
        self.function = function
        self.key = key

    def __call__(self, ctx: Any) -> Any:
        """The resource of this thread, made with `ctx` at the first call."""
        resources: dict[str, Any] = _made.__dict__.setdefault("resources", {})
        if self.key not in resources:
            resources[self.key] = self.function(ctx)
        return resources[self.key]

    def __repr__(self) -> str:
        return f"resource_factory({self.key})"


def resource_factory(function: Callable[[Any], Any], *, key: str | None = None) -> ResourceFactory:
    """A context value that is made where it is used: a connection, a model, a client.

    Args:
        function: Called with the context, once per thread of each worker, when a step first asks for it.
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

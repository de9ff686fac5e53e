"""What shipped stacks, the project, the environment and the command line say together about a stack.

The weakest first: the stacks that a project extends, its file, the profile, the environment, the command line. What is
passed in Python counts most, and is not looked at here. Options that come as text join later, when their class is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from crystallize_core.errors import did_you_mean
from crystallize_core.stack import discovery
from crystallize_core.stack.allowing import Shelf
from crystallize_core.stack.config import Environment, StackConfig, names_in, parse_config
from crystallize_core.stack.discovery import Installed
from crystallize_core.stack.origins import Origin, Trace

__all__ = ["effective", "owners"]


def owners(candidates: list[Installed] | None) -> str | None:
    """The distributions that ship something, with their versions."""
    return " and ".join(f"{item.distribution} {item.version}" for item in candidates) if candidates else None


def effective(
    config: StackConfig, environment: Environment, told: Mapping[str, str], shelf: Shelf, problems: list[str]
) -> StackConfig:
    """The configuration under everything that counts more, and over the stacks that it extends.

    Args:
        config: What the project says.
        environment: What the environment says.
        told: What the command line sets besides options.
        shelf: What is installed.
        problems: Gets what is wrong with the stacks that are extended.

    """
    extended = _Extending(shelf, problems).extended(config)
    trace = extended.trace
    plugins, executor, disable = extended.plugins, extended.executor, list(extended.disable)
    if environment.plugins is not None:
        plugins = environment.plugins
        trace.replace(("plugins",), list(plugins), _variable("PLUGINS"))
    if environment.executor is not None:
        executor = environment.executor
        trace.replace(("executor",), executor, _variable("EXECUTOR"))
    if environment.disable:
        disable += environment.disable
        trace.add(("disable",), list(environment.disable), _variable("DISABLE"))
    if "plugins" in told:
        plugins = names_in(told["plugins"])
        trace.replace(("plugins",), list(plugins), Origin("command line", "-o plugins"))
    if "executor" in told:
        executor = told["executor"] or None
        trace.replace(("executor",), executor, Origin("command line", "-o executor"))
    if "disable" in told:
        disable += names_in(told["disable"])
        trace.add(("disable",), list(names_in(told["disable"])), Origin("command line", "-o disable"))
    return attrs.evolve(extended, plugins=plugins, executor=executor, disable=tuple(dict.fromkeys(disable)))


def _variable(name: str) -> Origin:
    return Origin("environment", f"environment variable CRYSTALLIZE_{name}")


@attrs.frozen
class _Extending:
    shelf: Shelf
    problems: list[str]

    def extended(self, config: StackConfig, above: tuple[str, ...] = ()) -> StackConfig:
        """The configuration with the stacks that it extends put under it, and those that they extend."""
        layers = [self._shipped(name, config, above) for name in config.extends]
        layers.append(config)
        options: dict[str, dict[str, Any]] = {}
        trace = Trace()
        for layer in layers:
            trace = layer.trace.over(trace)
            for plugin, values in layer.options.items():
                options[plugin] = {**options.get(plugin, {}), **values}
        lists = [layer.plugins for layer in layers if layer.plugins is not None]
        return attrs.evolve(
            config,
            plugins=_unless_twice(lists),
            disable=tuple(dict.fromkeys(name for layer in layers for name in layer.disable)),
            options=options,
            executor=next((layer.executor for layer in reversed(layers) if layer.executor is not None), None),
            trace=trace,
        )

    def _shipped(self, name: str, config: StackConfig, above: tuple[str, ...]) -> StackConfig:
        """The stack of that name that a distribution ships."""
        shipped, forbidden = self.shelf.allowed(discovery.STACKS), self.shelf.forbidden(discovery.STACKS)
        if name in above:
            self.problems.append(f"extends: stack {name!r} extends itself: {' -> '.join((*above, name))}")
        elif name in forbidden:
            self.problems.append(f"extends: {self.shelf.allowance.refusal(f'stack {name!r}', forbidden[name])}")
        elif name not in shipped:
            self.problems.append(
                f"extends: there is no stack {name!r}; {did_you_mean(name, shipped, listing='installed')}"
            )
        elif len(shipped[name]) > 1:
            self.problems.append(f"extends: stack {name!r} is shipped by {owners(shipped[name])}; uninstall one")
        else:
            item = shipped[name][0]
            base = parse_config(item.load(), f"stack {name!r} of {item.distribution} {item.version}", config.folder)
            return self.extended(base, (*above, name))
        return StackConfig(folder=config.folder)


def _unless_twice(lists: list[tuple[str, ...]]) -> tuple[str, ...] | None:
    """All names; what one list repeats of another is meant once, what a list itself repeats is left to be refused."""
    if len(lists) < 2:  # noqa: PLR2004 - nothing to put together
        return lists[0] if lists else None
    return tuple(dict.fromkeys(name for names in lists for name in names))

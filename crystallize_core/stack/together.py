"""Putting plugins together to a stack, as far as they can be."""

from __future__ import annotations

from collections.abc import Sequence

from crystallize_core.errors import PluginOrderError
from crystallize_core.stack.attached import ActivePlugin, Skipped, Stack
from crystallize_core.stack.config import StackConfig

__all__ = ["put_together"]


def put_together(
    plugins: Sequence[ActivePlugin], skipped: list[Skipped], config: StackConfig, *, strict: bool
) -> Stack:
    """The stack; plugins that are merely installed and contradict each other are added to those that are skipped.

    Raises:
        PluginOrderError: Plugins that somebody asked for contradict each other, or `strict` is on.

    """
    try:
        return Stack(plugins, skipped, config.disable, config)
    except PluginOrderError as error:
        wrong = {p.name: p for p in plugins if p.name in error.names and p.origin == "entry point"}
        if strict or config.plugins is not None or not wrong:
            raise
        for name, plugin in wrong.items():
            skipped.append(Skipped(name, f"{plugin.distribution} {plugin.version}", error.message, error))
        left = [plugin for plugin in plugins if plugin.name not in wrong]
        return put_together(left, skipped, config, strict=strict)

"""What `crystallize plugins show` and `explain` print for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystallize_core.cli.reasons import Explanation, Standing
    from crystallize_core.cli.show import Shown, ShownOption

__all__ = ["text_of", "text_of_order"]


def text_of(shown: Shown) -> str:
    """One plugin as text."""
    parts = [_head(shown), _hooks(shown), _step_options(shown), _options(shown)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _head(shown: Shown) -> list[str]:
    what = {None: "", True: ", essential", False: ", an observer"}[shown.essential]
    lines = [f"{shown.name}: {shown.kind}{what}"]
    lines += [f"  {shown.summary}"] if shown.summary else []
    owner = f"{shown.distribution} {shown.version}" if shown.distribution is not None else None
    rows = {
        "distribution": owner,
        "described as": shown.description,
        "homepage": shown.homepage,
        "origin": shown.origin,
        "location": shown.location if shown.location != shown.origin else None,
        "contract": shown.contract,
        "comes before": ", ".join(shown.before),
        "comes after": ", ".join(shown.after),
        "status": shown.status,
        "reason": shown.reason,
        "place": None if shown.place is None else str(shown.place),
    }
    lines += [f"  {word:<13} {value}" for word, value in rows.items() if value]
    return [*lines, *(f"  {'':<13} {reason}" for reason in shown.why)]


def _hooks(shown: Shown) -> list[str]:
    rows = [f"  {hook.name} ({hook.process}): {hook.summary}" for hook in shown.hooks]
    return ["hooks", *rows] if rows else []


def _step_options(shown: Shown) -> list[str]:
    rows = [f"  {name}: {kind}" for name, kind in shown.step_options.items()]
    return ["step options", *rows] if rows else []


def _options(shown: Shown) -> list[str]:
    return ["options", *(line for option in shown.options for line in _option(option))] if shown.options else []


def _option(option: ShownOption) -> list[str]:
    default = option.default if option.default == "required" else f"default {option.default}"
    lines = [f"  {option.name}: {option.type}, {default}"]
    lines += [f"    {option.help}"] if option.help else []
    return lines + ([f"    now {option.value}, from {option.origin}"] if option.value is not None else [])


def text_of_order(found: Explanation) -> str:
    """An order with its reasons as text."""
    hook = found.hook
    title = ["the stack"] if hook is None else [f"{hook.name}({', '.join(hook.arguments)})", f"  {hook.summary}"]
    title += [] if hook is None else [f"  {hook.turns}"]
    order = [
        line for number, one in enumerate(found.order, 1) for line in _standing(number, one, in_stack=hook is None)
    ]
    left_out = [
        f"  {s.plugin} ({s.distribution or 'local'}): {s.status}" + (f", {s.reason}" if s.reason else "")
        for s in found.skipped
    ]
    parts = [
        title,
        order or ["nothing is called" if hook is not None else "no plugin is active"],
        ["not called" if hook is not None else "left out", *left_out] if left_out else [],
        [f"configuration: {found.configuration or 'none, every installed plugin is active'}"],
        [f"error: {found.error}"] if found.error else [],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _standing(number: int, standing: Standing, *, in_stack: bool) -> list[str]:
    words = [] if in_stack else [f"number {standing.place} of the stack"]
    words += ["observer"] if not standing.essential else []
    words += ["around the others"] if standing.wraps else []
    owner = ", ".join([standing.distribution or "local", *words])
    return [f"{number}. {standing.plugin} ({owner})", *(f"   {reason}" for reason in standing.reasons)]

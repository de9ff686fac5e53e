"""The reference of the hooks, from their specifications."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from texts import Docstring

from crystallize_core.deprecation import deprecations_of
from crystallize_core.hookspecs import ANSWERING, CONTRACT, HOOKS
from crystallize_core.stack.meaning import Meaning, meaning

__all__ = ["EXAMPLES", "anchor", "failures", "known_contracts", "reference", "signature"]

HERE: Final = Path(__file__).resolve().parent
EXAMPLES: Final = HERE.parent / "examples" / "hooks"

_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "For the whole run": (
        "init_hook", "before_run", "run_experiment_loop", "load_replicate", "replicate_done", "should_stop", "on_event",
        "describe_run", "after_run",
    ),
    "For a cell": ("before_replicate", "after_replicate"),
    "For a step": (
        "before_step", "after_step", "step_failed", "step_skipped", "step_options", "wrap_step", "cache_dependencies",
        "cache_store", "store_asset",
    ),
}  # fmt: skip
"""The order of the page; hooks that stand in no group come last."""

_PROCESSES: Final = {
    "coordinator": "the coordinator",
    "worker": "the worker",
    "every process": "every process: the coordinator and each worker",
}
_OBSERVER: Final = (
    "the plugin is switched off in this process for the rest of the run, a note in the result says so, and all goes on"
)


def reference() -> str:
    """All of it, as Markdown."""
    grouped = {hook for hooks in _GROUPS.values() for hook in hooks}
    groups = {**_GROUPS, "Others": tuple(hook for hook in HOOKS if hook not in grouped)}
    parts = [_index(groups)]
    for title, hooks in groups.items():
        if hooks:
            parts += [f"## {title}", *(_section(meaning(hook)) for hook in hooks)]
    return "\n\n".join(parts)


def signature(hook: str) -> str:
    """The hook with its arguments."""
    return f"{hook}({', '.join(meaning(hook).arguments)})"


def anchor(hook: str) -> str:
    """What the heading of a hook is linked by."""
    return signature(hook).replace(", ", "-").replace("(", "").replace(")", "")


def failures(found: Meaning) -> tuple[str, str]:
    """What becomes of a failure, of an essential plugin and of an observer."""
    if found.name == "init_hook":
        return "the experiment is not made; `HookError`", _OBSERVER
    if found.process == "every process":
        return "nothing runs; `HookError`", _OBSERVER
    if found.process == "worker":
        return "the cell fails with a `HookError`, and the other cells go on", _OBSERVER
    return "the run ends with a `HookError`, whose `result` is what there is so far", _OBSERVER


def known_contracts() -> dict[str, str]:
    """Hooks and arguments, `hook` and `hook.argument`, with the contract that they came with.

    Raises:
        SystemExit: The specifications lack something that is promised.

    """
    recorded: dict[str, str] = json.loads((HERE / "contracts.json").read_text(encoding="utf-8"))
    here = [name for hook in HOOKS for name in (hook, *(f"{hook}.{argument}" for argument in meaning(hook).arguments))]
    major = CONTRACT.partition(".")[0]
    gone = [name for name, since in recorded.items() if since.partition(".")[0] == major and name not in here]
    if gone:
        message = (
            f"contract {major} promises what hookspecs.py has not: {', '.join(gone)}; raise CONTRACT to the next major"
        )
        raise SystemExit(message)
    return {name: recorded.get(name, CONTRACT) for name in here}


def _index(groups: dict[str, tuple[str, ...]]) -> str:
    rows = ["| hook | process | kind | |", "|---|---|---|---|"]
    for hook in (hook for hooks in groups.values() for hook in hooks):
        found = meaning(hook)
        summary = found.summary.removesuffix(".").removesuffix(":")
        rows.append(f"| [`{hook}`](#{anchor(hook)}) | {found.process} | {_kind(found)} | {summary} |")
    return "\n".join(["## All hooks", "", *rows])


def _kind(found: Meaning) -> str:
    return "unwinding" if found.unwinds else found.kind


def _section(found: Meaning) -> str:
    said = Docstring.of(HOOKS[found.name])
    parts = [f"### `{signature(found.name)}`", said.summary]
    parts += ["\n".join(_facts(found, said))]
    if found.arguments:
        parts.append("\n".join(_arguments(found, said)))
    parts += [*said.paragraphs, f"```python\n{_example(found.name)}```"]
    return "\n\n".join(parts)


def _facts(found: Meaning, said: Docstring) -> list[str]:
    essential, observer = failures(found)
    answers = found.name in ANSWERING
    wrapper = "no, because it returns something" if answers else "yes, `@hookimpl(wrapper=True)`"
    return [
        "| | |",
        "|---|---|",
        f"| process | {_PROCESSES[found.process]} |",
        f"| kind | {_kind(found)}: {found.turns} |",
        f"| returns | {said.returns or 'nothing'} |",
        f"| may be a wrapper | {wrapper} |",
        f"| fails, `essential` | {essential} |",
        f"| fails, observer | {observer} |",
        f"| since contract | {known_contracts()[found.name]} |",
        *(f"| deprecated | {text} |" for text in _deprecations(found.name)),
    ]


def _deprecations(hook: str) -> list[str]:
    return [
        f"{'the hook' if gone.argument is None else f'`{gone.argument}`'} since contract {gone.since}, "
        f"gone in {gone.removal}; use `{gone.replacement}`"
        for gone in deprecations_of(HOOKS[hook])
    ]


def _arguments(found: Meaning, said: Docstring) -> list[str]:
    missing = [name for name in found.arguments if name not in said.arguments]
    if missing:
        message = f"hookspecs.py does not say what {', '.join(missing)} of {found.name} is; write it below `Args:`"
        raise SystemExit(message)
    since, own = known_contracts(), known_contracts()[found.name]
    rows = []
    for name in found.arguments:
        added = since[f"{found.name}.{name}"]
        rows.append(f"| `{name}` | {said.arguments[name]}{'' if added == own else f' Since contract {added}.'} |")
    return ["| argument | |", "|---|---|", *rows]


def _example(hook: str) -> str:
    file = EXAMPLES / f"{hook}.py"
    if not file.is_file():
        message = f"there is no example of {hook}; write one of about ten lines into {file}"
        raise SystemExit(message)
    return file.read_text(encoding="utf-8")

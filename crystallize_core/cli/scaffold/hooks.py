"""The code of hooks: signatures from the specifications, bodies from templates."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterable, Sequence
from typing import Final

from crystallize_core import hookspecs
from crystallize_core.cli.scaffold.templates import filled, has_template
from crystallize_core.errors import did_you_mean
from crystallize_core.hookspecs import HOOKS

__all__ = [
    "DEFAULT",
    "chosen_hooks",
    "imports_of",
    "method_of",
    "problems_of",
    "summary_of",
    "test_imports_of",
    "test_of",
]

DEFAULT: Final = ("before_replicate", "after_step", "after_run", "describe_run")
"""What a new plugin has where nobody says: something in the workers, something in the coordinator, something for the record."""
_WIDTH: Final = 120
_BRINGS: Final = {"wrap_step": ("step_options",)}
"""Hooks that are of no use without others."""
_ANY: Final = "any_hook"
_USED_BY_TESTS: Final = {"store_asset": "Asset", "wrap_step": "pipeline_step"}


def problems_of(hooks: Sequence[str]) -> list[str]:
    """What is wrong with the names of hooks."""
    known = [name for name in HOOKS if name != "run_experiment_loop"]
    unknown = [name for name in hooks if name not in HOOKS]
    found = [f"--hooks: there is no hook {n!r}; {did_you_mean(n, known, listing='the hooks are')}" for n in unknown]
    if "run_experiment_loop" in hooks:
        found.append("--hooks: 'run_experiment_loop' is what an executor has; use --executor")
    return found


def chosen_hooks(names: Sequence[str]) -> list[str]:
    """The hooks with those that they bring, in the order of the specifications."""
    wanted = {*names, *(other for name in names for other in _BRINGS.get(name, ()))}
    return [hook for hook in HOOKS if hook in wanted]


def method_of(hook: str, /, **words: str) -> str:
    """A hook as a method: the signature of its specification, the first line of its docstring, a useful body."""
    body = filled(f"hooks/{hook}" if has_template(f"hooks/{hook}") else f"hooks/{_ANY}", hook=hook, **words)
    lines = [
        *_signature(hook),
        f'    """{summary_of(hook)}"""',
        *(f"    {line}" if line else "" for line in body.splitlines()),
    ]
    return "\n".join(f"    {line}" if line else "" for line in lines)


def summary_of(hook: str) -> str:
    """The first line of what the specification says."""
    return (inspect.getdoc(HOOKS[hook]) or "").partition("\n")[0]


def _signature(hook: str) -> list[str]:
    specified = inspect.signature(HOOKS[hook])
    parameters = ["self", *(f"{p.name}: {p.annotation}" for p in specified.parameters.values())]
    line = f"def {hook}({', '.join(parameters)}) -> {specified.return_annotation}:"
    if len(line) + 4 <= _WIDTH:
        return [line]
    joined = f"    {', '.join(parameters)}"
    inside = [joined] if len(joined) + 4 <= _WIDTH else [f"    {parameter}," for parameter in parameters]
    return [f"def {hook}(", *inside, f") -> {specified.return_annotation}:"]


def test_of(hook: str, /, **words: str) -> str:
    """A test of what the body does; empty for a body that only counts."""
    name = f"hooks/test_{hook}"
    return filled(name, hook=hook, **words) if has_template(name) else ""


def test_imports_of(hooks: Iterable[str]) -> str:
    """The import line that these tests need besides."""
    used = sorted({_USED_BY_TESTS[hook] for hook in hooks if hook in _USED_BY_TESTS})
    return f"from crystallize_core import {', '.join(used)}\n" if used else ""


def imports_of(hooks: Iterable[str]) -> str:
    """The import lines that the annotations of these hooks need, as the specifications have them; empty if none."""
    words = {word for hook in hooks for word in _words_in(hook)}
    used = {module: sorted(words & names) for module, names in _imported().items()}
    lines = [f"    from {module} import {', '.join(names)}" for module, names in sorted(used.items()) if names]
    standard = [line for line in lines if not line.startswith("    from crystallize_core")]
    ours = [line for line in lines if line not in standard]
    sections = ["\n".join(section) for section in (standard, ours) if section]
    return "\nif TYPE_CHECKING:\n" + "\n\n".join(sections) + "\n" if sections else ""


def _words_in(hook: str) -> set[str]:
    specified = inspect.signature(HOOKS[hook])
    texts = [str(p.annotation) for p in specified.parameters.values()] + [str(specified.return_annotation)]
    return {node.id for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


@functools.cache
def _imported() -> dict[str, set[str]]:
    """What `crystallize_core.hookspecs` imports for annotations only, by module."""
    tree = ast.parse(inspect.getsource(hookspecs))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    lines = [line for block in blocks for line in block.body if isinstance(line, ast.ImportFrom)]
    return {str(line.module): {alias.name for alias in line.names} for line in lines}

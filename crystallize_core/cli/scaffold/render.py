"""From names and choices to the files of a distribution, and to a folder that is there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from crystallize_core.cli.scaffold import hooks as code
from crystallize_core.cli.scaffold.names import Names
from crystallize_core.cli.scaffold.templates import filled, has_template
from crystallize_core.hookspecs import CONTRACT

__all__ = ["Plan", "files_of", "write_whole"]

_KINDS: Final = {"plugin": "plugins", "executor": "executors", "step": "steps"}
_COMMON: Final = {
    "common/pyproject": "pyproject.toml",
    "common/tox": "tox.ini",
    "common/license": "LICENSE",
    "common/changelog": "CHANGELOG.md",
    "common/gitignore": ".gitignore",
    "common/conftest": "tests/conftest.py",
    "common/test_readme": "tests/test_readme.py",
}


@attrs.frozen
class Plan:
    """What is to be written.

    Args:
        names: The names.
        kind: `plugin`, `executor` or `step`.
        hooks: The hooks of a plugin.
        observer: Whether the plugin only looks on.

    """

    names: Names
    kind: str = "plugin"
    hooks: Sequence[str] = code.DEFAULT
    observer: bool = False

    @property
    def words(self) -> dict[str, str]:
        """What stands in templates for the names of this one."""
        names, ending = self.names, {"plugin": "Plugin", "executor": "Execution", "step": ""}[self.kind]
        attribute = names.plugin if self.kind == "step" else names.stem + ending
        return {
            "distribution": names.distribution,
            "package": names.package,
            "name": names.plugin,
            "attribute": attribute,
            "group": f"crystallize.{_KINDS[self.kind]}",
            "contract": CONTRACT,
            "kind": self.kind,
        }


def files_of(plan: Plan) -> dict[str, str]:
    """Every file of the distribution: its path below the folder, and its text."""
    words = plan.words
    found = {path: filled(template, **words) for template, path in _COMMON.items()}
    found[f"src/{words['package']}/py.typed"] = ""
    if plan.kind == "plugin":
        found |= _of_a_plugin(plan, words)
    else:
        found[f"src/{words['package']}/__init__.py"] = filled(f"{plan.kind}/package", **words)
        found[f"tests/test_{words['package']}.py"] = filled(f"{plan.kind}/tests", **words)
        found["README.md"] = filled(f"{plan.kind}/readme", **words)
    if has_template(f"{plan.kind}/conformance"):
        found["tests/test_conformance.py"] = filled(f"{plan.kind}/conformance", **words)
    return found


def _of_a_plugin(plan: Plan, words: Mapping[str, str]) -> dict[str, str]:
    wanted = code.chosen_hooks(plan.hooks)
    imports = code.imports_of(wanted)
    parts = {
        "checking": "TYPE_CHECKING, " if imports else "",
        "imports": imports,
        "more": _joined(wanted, "more", words),
        "fields": _joined(wanted, "field", words),
        "methods": "\n\n".join(code.method_of(hook, **words) for hook in wanted),
        "essential": filled("plugin/observer", **words) if plan.observer else "",
        "role": "An observer: it looks on and changes no result."
        if plan.observer
        else "An essential plugin: where a hook fails, so does the cell or the run.",
    }
    tests = "".join(f"\n\n{text}" for hook in wanted if (text := code.test_of(hook, **words)))
    rows = "\n".join(f"| `{hook}` | {code.summary_of(hook)} |" for hook in wanted)
    return {
        f"src/{words['package']}/__init__.py": filled("plugin/package", **words, **parts),
        f"tests/test_{words['package']}.py": filled("plugin/tests", **words, uses=code.test_imports_of(wanted)) + tests,
        "README.md": filled("plugin/readme", **words, rows=rows, role=parts["role"]),
    }


def _joined(hooks: Sequence[str], what: str, words: Mapping[str, str]) -> str:
    names = [f"hooks/{what}_{hook}" for hook in hooks]
    return "".join(filled(name, **words) for name in names if has_template(name))


def write_whole(files: Mapping[str, str], folder: Path) -> None:
    """Write a folder that is there with all its files, or not at all.

    Args:
        files: Texts by path.
        folder: The folder; it is not there yet, or empty.

    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.writing")
    try:
        for path, text in files.items():
            file = temporary / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

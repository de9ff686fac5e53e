from __future__ import annotations

import importlib
import sys
import textwrap

import pytest


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write a project of small modules into a new folder, import it afresh, and evaluate a name in it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loaded: set[str] = set()
    count = 0

    def evaluate(expression="step.step", **modules):
        nonlocal count
        count += 1
        folder = tmp_path / f"project{count}"
        for name, source in modules.items():
            file = folder / (name.replace("__", "/", 1) + ".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(source))
            loaded.add(name.partition("__")[0])
        for name in [name for name in sys.modules if name.partition(".")[0] in loaded]:
            del sys.modules[name]
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        return eval(expression, {name: importlib.import_module(name) for name in modules if "__" not in name})

    yield evaluate
    for name in [name for name in sys.modules if name.partition(".")[0] in loaded]:
        del sys.modules[name]

"""The kit for authors of plugins: a pytest plugin that a test suite switches on by its name.

    pytest_plugins = ["crystallize_core.testing"]

in the `conftest.py` beside the tests, for the fixtures; and `PluginConformance` and `ExecutorConformance`, the tests that
every plugin and every executor has to pass, which need no such line. `ablate` needs no pytest at all. Everything is in
the file of what it is about, and listed here.

Names are imported when they are first used: worker processes import the steps of the kit, and have no use for pytest.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crystallize_core.testing.ablation import Ablation, ablate
    from crystallize_core.testing.clocks import fake_clock
    from crystallize_core.testing.executors.conformance import ExecutorConformance
    from crystallize_core.testing.fixtures import captured_events, isolated_stack, tiny_experiment
    from crystallize_core.testing.plugins.conformance import PluginConformance

__all__ = [
    "Ablation",
    "ExecutorConformance",
    "PluginConformance",
    "ablate",
    "captured_events",
    "fake_clock",
    "isolated_stack",
    "tiny_experiment",
]

_HOMES: Final = {
    "Ablation": "ablation",
    "ExecutorConformance": "executors.conformance",
    "PluginConformance": "plugins.conformance",
    "ablate": "ablation",
    "captured_events": "fixtures",
    "fake_clock": "clocks",
    "isolated_stack": "fixtures",
    "tiny_experiment": "fixtures",
}
_WITHOUT_PYTEST: Final = frozenset({"Ablation", "ablate"})
_WITH_ASSERTIONS = f"{__name__}.executors.checks"
"""Where the `assert`s are that are to say what they have found."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    if name not in _WITHOUT_PYTEST and importlib.util.find_spec("pytest") is None:
        message = f"{name} of crystallize_core.testing is for pytest, which is not installed: pip install pytest"
        raise ModuleNotFoundError(message, name="pytest")
    if name == "ExecutorConformance" and _WITH_ASSERTIONS not in sys.modules:
        import pytest  # noqa: PLC0415 - workers do without

        pytest.register_assert_rewrite(_WITH_ASSERTIONS)
    found = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

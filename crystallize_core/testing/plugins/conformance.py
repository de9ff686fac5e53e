"""`PluginConformance`: every check as a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from crystallize_core.testing.isolation import isolated
from crystallize_core.testing.plugins.check import Check, DoesNotApply
from crystallize_core.testing.plugins.checks import ALL
from crystallize_core.testing.plugins.subject import Subject

__all__ = ["PluginConformance"]


class PluginConformance:
    """Tests for a plugin: subclass it in a test module, and say how the plugin is made.

    Example:
        class TestMine(PluginConformance):
            def make(self):
                return MyPlugin(size=3)

    There is a test for each promise that follows from the contract; those that have nothing to look at are skipped with
    the reason. Each runs in an empty folder, with a home of its own and with no installed plugin. The class of the plugin
    has to be at the top of a module, where a worker finds it.

    Attributes:
        folders: Where the plugin writes besides the folders that its options name, relative to the current folder.
        entry_point: The name of its entry point; None does not compare it with the name of the plugin.

    """

    __test__: ClassVar[bool] = False  # there is nothing to test here; in what is derived from it elsewhere there is

    folders: ClassVar[Sequence[str]] = ()
    entry_point: ClassVar[str | None] = None
    _subjects: ClassVar[list[Subject]] = []  # one, made when it is first asked for

    def __init_subclass__(cls, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if "__test__" not in cls.__dict__:
            cls.__test__ = True
        cls._subjects = []

    def make(self) -> Any:
        """The plugin under test: a new and equal one at each call."""
        message = f"{type(self).__qualname__} must say what it tests: def make(self): return ..."
        raise NotImplementedError(message)

    @pytest.fixture(autouse=True)
    def _apart(self, tmp_path: Path) -> Iterator[None]:
        """Nothing that is installed or configured on this machine takes part, and nothing is written beside the tests."""
        with isolated(tmp_path / "isolated"):
            yield

    def _run(self, wanted: Check) -> None:
        if not self._subjects:
            self._subjects.append(Subject(self.make, self.folders, self.entry_point))
        try:
            wanted.function(self._subjects[0])
        except DoesNotApply as reason:
            pytest.skip(str(reason))


def _test_of(wanted: Check) -> Callable[[PluginConformance], None]:
    def test(self: PluginConformance) -> None:
        self._run(wanted)

    test.__doc__ = wanted.promise
    test.__name__ = f"test_{wanted.name}"
    test.__qualname__ = f"PluginConformance.{test.__name__}"
    return test


for _check in ALL:
    setattr(PluginConformance, f"test_{_check.name}", _test_of(_check))

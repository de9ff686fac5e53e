"""The fixtures for tests of plugins: a stack in isolation, a tiny experiment, captured events."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest

from crystallize_core.experiment import Experiment
from crystallize_core.stack.attached import Stack
from crystallize_core.stack.config import StackConfig, find_config
from crystallize_core.stack.resolve import resolve
from crystallize_core.testing.events import CapturedEvents
from crystallize_core.testing.isolation import Place, isolated
from crystallize_core.testing.tiny import make_tiny

__all__ = ["IsolatedStack", "TinyExperiment", "captured_events", "isolated_stack", "tiny_experiment"]


@attrs.frozen
class IsolatedStack:
    """A project in which exactly those plugins take part that the test names.

    Attributes:
        place: The folders: `place.folder` (the current one), `place.home`, `place.cache`, `place.temporary`.

    """

    place: Place
    _monkeypatch: pytest.MonkeyPatch = attrs.field(repr=False)

    @property
    def folder(self) -> Path:
        """The folder of the project, which is the current one."""
        return self.place.folder

    def configure(self, text: str) -> StackConfig:
        """Write `crystallize.toml`, which then counts, with what it names of the installed plugins.

        Raises:
            ConfigurationError: It is wrong.
            ValueError: It does not say `plugins = [...]`, so that all that is installed would take part.

        """
        (self.folder / "crystallize.toml").write_text(text, encoding="utf-8")
        config = find_config(self.folder)
        if config.plugins is None and not config.extends:
            message = "without plugins = [...] in the configuration, every installed plugin would take part; name some"
            raise ValueError(message)
        self._monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "1")
        return config

    def resolve(self, *plugins: Any, executor: Any = None) -> Stack:
        """The stack of these plugins and of what `configure` has named."""
        return resolve(plugins, executor=executor)


@pytest.fixture
def isolated_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IsolatedStack]:
    """A project of its own: no installed plugin, no variable `CRYSTALLIZE_*` and no configuration of this machine counts.

    The current folder, the home and the cache are new and empty, and everything is put back after the test.
    """
    with isolated(tmp_path / "isolated") as place:
        yield IsolatedStack(place, monkeypatch)


class TinyExperiment(Protocol):
    """Makes an experiment of milliseconds; `crystallize_core.testing.tiny.make_tiny` describes the arguments."""

    def __call__(self, plugins: Sequence[Any] = (), **options: Any) -> Experiment:
        """The experiment."""


@pytest.fixture
def tiny_experiment(isolated_stack: IsolatedStack) -> TinyExperiment:  # noqa: ARG001 - it is to run apart from the machine
    """A factory of experiments with two treatments, three replicates, a random step and a metric, in isolation."""
    made: TinyExperiment = functools.partial(make_tiny)
    return made


@pytest.fixture
def captured_events() -> CapturedEvents:
    """A plugin that writes down every event of the runs that it takes part in: `plugins=[captured_events]`."""
    return CapturedEvents()

"""What happened in a run, written down by a plugin that hears every event."""

from __future__ import annotations

from typing import Any, ClassVar

from crystallize_core.context import Event
from crystallize_core.plugin import BasePlugin

__all__ = ["CapturedEvents"]


class CapturedEvents(BasePlugin):
    """Hears every event, in the order of arrival in the coordinator.

    Attributes:
        events: The events.

    """

    plugin_name: ClassVar[str | None] = "captured_events"
    essential: ClassVar[bool] = False

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __reduce__(self) -> Any:
        return type(self), ()  # a copy in a worker hears nothing

    def on_event(self, experiment: Any, event: Event) -> None:  # noqa: ARG002 - as specified
        """Write it down."""
        self.events.append(event)

    @property
    def names(self) -> list[str]:
        """The names of the events, in order."""
        return [event.name for event in self.events]

    @property
    def addresses(self) -> list[tuple[str, int | None, str | None, str | None]]:
        """Name, replicate, condition and step of each event."""
        return [(event.name, event.replicate, event.condition, event.step) for event in self.events]

    def of_name(self, name: str) -> list[Event]:
        """The events of that name."""
        return [event for event in self.events if event.name == name]

    def clear(self) -> None:
        """Forget them."""
        self.events.clear()

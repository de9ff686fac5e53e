"""One thing that the doctor found, and what it is about."""

from __future__ import annotations

from typing import Any

import attrs

from crystallize_core.cli.doctor.codes import CODES, Code

__all__ = ["Finding", "Subject"]


@attrs.frozen
class Subject:
    """What is examined in one process: a distribution with its entry points, or a local file.

    Attributes:
        distribution, version: The distribution; None for a local file.
        entries: Group, name and value of each entry point; of a local file, `local`, its name and its path.

    """

    distribution: str | None
    version: str | None
    entries: tuple[tuple[str, str, str], ...]

    @property
    def title(self) -> str:
        """Words for messages."""
        if self.distribution is not None:
            return f"{self.distribution} {self.version}"
        return self.entries[0][2]


@attrs.frozen
class Finding:
    """One thing that is wrong.

    Attributes:
        code: Its code.
        message: What was found, and where.
        plugin: The name of the plugin, where it is about one.
        distribution: Its distribution with the version, or the local file; None where it is about the project.

    """

    code: str
    message: str
    plugin: str | None = None
    distribution: str | None = None

    @property
    def kind(self) -> Code:
        """What the code means."""
        return CODES[self.code]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with what the code means."""
        return {
            "code": self.code,
            "name": self.kind.name,
            "severity": self.kind.severity,
            "plugin": self.plugin,
            "distribution": self.distribution,
            "message": self.message,
            "remedy": self.kind.remedy,
        }

    def __str__(self) -> str:
        of = [f"plugin {self.plugin!r}"] if self.plugin else []
        of += [self.distribution] if self.distribution else []
        where = " of ".join(of)
        head = f"{self.kind.severity} {self.code} {self.kind.name}: "
        return f"{head}{where + ': ' if where else ''}{self.message}\n  {self.kind.remedy}"

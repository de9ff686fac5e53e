"""The checks, by what they are about; importing this registers all of them in order."""

from __future__ import annotations

import importlib
from typing import Final

from crystallize_core.testing.plugins.check import CHECKS, Check

__all__ = ["ALL"]

for _name in ("definition", "options", "travel", "process", "results", "hardship", "sharing", "leaving"):
    importlib.import_module(f"{__name__}.{_name}")

ALL: Final[tuple[Check, ...]] = tuple(CHECKS.values())
"""All of them, in the order in which they make sense to a reader."""

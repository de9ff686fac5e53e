"""Logging for Crystallize: lines for people or for machines, each with the address of where it was written."""

from __future__ import annotations

from crystallize_logging._plugin import LoggingPlugin

__all__ = ["LoggingPlugin"]

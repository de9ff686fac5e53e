"""Seeds for Crystallize: the same numbers for every run, whatever the executor and the order of completion."""

from __future__ import annotations

from crystallize_seeding._globals import default_seed_function
from crystallize_seeding._plugin import SeedPlugin

__all__ = ["SeedPlugin", "default_seed_function"]

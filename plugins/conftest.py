"""What the tests of all plugins share: the settings of hypothesis, the same as for the tests of the core."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
# For the environments that repeat what another one tests at length: with another Python, pluggy, or more installed.
settings.register_profile(
    "quick", settings.get_profile("ci"), max_examples=20, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))

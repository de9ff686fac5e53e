"""What all tests of the core share: a guard on what is tested, and the settings of hypothesis."""

from __future__ import annotations

import importlib.util
import os
import signal
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CHECKOUT = Path(__file__).resolve().parent.parent

# No deadline: how long one example takes says more about the machine than about the code.
settings.register_profile("default", deadline=None)
# The same examples on every run, so that a red build is red again.
settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
# For the environments that repeat what another one tests at length: with another Python, pluggy, or more installed.
settings.register_profile(
    "quick", settings.get_profile("ci"), max_examples=20, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
# A job in the background of a shell ignores Ctrl-C, and so would the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))


def _location() -> Path | None:
    spec = importlib.util.find_spec("crystallize_core")
    return Path(spec.origin).resolve().parent if spec is not None and spec.origin is not None else None


def pytest_report_header() -> str:
    return f"crystallize_core: {_location()}, pluggy {version('pluggy')}"


def pytest_sessionstart() -> None:
    """Stop at once where tox wants a wheel tested, or a version of pluggy, and something else would be."""
    location = _location()
    if os.environ.get("CRYSTALLIZE_TEST_INSTALLED") == "1" and (
        location is None or location == CHECKOUT / "crystallize_core"
    ):
        pytest.exit(
            f"these tests are to run against an installed crystallize_core, but found {location}; "
            "is PYTHONSAFEPATH=1 set, and the wheel installed?",
            returncode=4,
        )
    wanted = os.environ.get("CRYSTALLIZE_TEST_PLUGGY")
    if wanted is not None and not version("pluggy").startswith(f"{wanted}."):
        pytest.exit(f"this environment is to test pluggy {wanted}, but has {version('pluggy')}", returncode=4)

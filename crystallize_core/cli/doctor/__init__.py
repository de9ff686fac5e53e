"""`crystallize plugins doctor`: what is wrong with what is installed, found without being taken down by it."""

from __future__ import annotations

from crystallize_core.cli.doctor.codes import CODES, Code
from crystallize_core.cli.doctor.examine import Diagnosis, doctor
from crystallize_core.cli.doctor.finding import Finding, Subject

__all__ = ["CODES", "Code", "Diagnosis", "Finding", "Subject", "doctor"]

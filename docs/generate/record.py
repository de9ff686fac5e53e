"""Run the conformance kits of a distribution and record what came of each: `python docs/generate/record.py NAME...`.

A kit takes from seconds to minutes, so that the catalog shows what was recorded last. That it still holds is what the
tests of each distribution say, which run the same kits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["FILE", "conformance_tests", "kit_of", "read_report", "recorded", "run_kits"]

HERE: Final = Path(__file__).resolve().parent
CHECKOUT: Final = HERE.parent.parent
FILE: Final = HERE / "conformance.json"


def main(names: Iterable[str]) -> int:
    """Record these distributions, and keep what there is of the others; gives back the exit code."""
    found = {}
    for name in names:
        folder = next((f for f in CHECKOUT.glob(f"*/{name}") if f.parent.name in {"plugins", "contrib"}), None)
        if folder is None or not conformance_tests(folder):
            print(f"{name} has no tests/*conformance.py in plugins/ or contrib/")
            return 2
        found[name] = run_kits(folder)
    known = recorded() | found  # read again, because another one may have been recorded in the meantime
    FILE.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")
    failed = [test for results in found.values() for result in results for test in result["failed"]]
    print(f"written to {FILE}; run: python docs/generate catalog")
    return int(bool(failed))


def recorded() -> dict[str, list[dict[str, Any]]]:
    """What was recorded of each distribution."""
    found: dict[str, list[dict[str, Any]]] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def conformance_tests(folder: Path) -> list[Path]:
    """The files that derive from the kits."""
    return sorted(folder.glob("tests/test_*conformance.py"))


def run_kits(folder: Path) -> list[dict[str, Any]]:
    """Run them with pytest in this environment."""
    with tempfile.TemporaryDirectory(prefix="crystallize-record-") as scratch:
        report = Path(scratch, "report.xml")
        tests = [str(file) for file in conformance_tests(folder)]
        options = ["-c", str(CHECKOUT / "pyproject.toml"), "--rootdir", str(CHECKOUT), "-m", "not slow", "-q"]
        command = [
            sys.executable,
            "-m",
            "pytest",
            *options,
            f"--junitxml={report}",
            "-o",
            f"cache_dir={scratch}",
            *tests,
        ]
        subprocess.run(command, cwd=scratch, check=False, env={**os.environ, "CI": "1"})  # noqa: S603 - our own tests
        return read_report(report, folder)


def read_report(report: Path, folder: Path) -> list[dict[str, Any]]:
    """What came of each test class, from the report that pytest writes."""
    found: dict[str, dict[str, Any]] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by our own pytest
        module, _, cls = case.get("classname", "").rpartition(".")
        if not cls.startswith("Test"):
            continue
        file = f"{folder.parent.name}/{folder.name}/tests/{module.rpartition('.')[2]}.py"
        test = f"{file}::{cls}"
        entry = found.setdefault(test, {"test": test, "passed": [], "failed": [], "skipped": {}})
        name = case.get("name", "")
        reason = case.find("skipped")
        if reason is not None:
            entry["skipped"].setdefault(" ".join(reason.get("message", "").split()), []).append(name)
        else:
            entry["failed" if case.find("failure") is not None or case.find("error") is not None else "passed"].append(
                name
            )
    return [{"test": entry["test"], "kit": kit_of(entry), **entry} for entry in found.values()]


def kit_of(entry: Mapping[str, Any]) -> str:
    """The kit that a test class derives from, by the names of its tests."""
    from crystallize_core.testing import PluginConformance  # noqa: PLC0415 - imports pytest

    names = {
        name.partition("[")[0]
        for name in (*entry["passed"], *entry["failed"], *(n for names in entry["skipped"].values() for n in names))
    }
    return "PluginConformance" if names <= set(dir(PluginConformance)) else "ExecutorConformance"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

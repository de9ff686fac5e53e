"""Eight processes on one folder of the cache: no error, no wrong value, no entry lost that was reported stored.

Each process runs pipelines whose answers it can compute by itself, while others invalidate, evict and damage what
is there. Entries that nobody spoils belong to steps of their own; each process notes those that its runs have stored,
and any other process that runs the same must find them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ecosystem, pytest.mark.timeout(600)]

PROCESSES = 8

# What every process does. `kept` is touched by nobody; `spoilt` is invalidated, evicted and damaged all the time.
WORK = '''
import json, os, random, sys, time, warnings
from pathlib import Path

from crystallize_core import Pipeline, step

warnings.simplefilter("error")
number, seconds, folder = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
here, notes = folder / "kept", folder / "notes"
chosen = random.Random(number)


@step(outputs=["rows"])
def rows(context, ctx):
    """Which parameters it reads depends on what it reads: one input, many sets of names."""
    names = ["a", "b", "c"]
    found = [context["first"]]
    for at, name in enumerate(names):
        if context["first"] >> at & 1:
            found.append(context[name])
    ctx.record("sum", sum(found), {"first": context["first"]})
    ctx.artifacts.add("rows.txt", repr(found).encode())
    return found


@step(outputs=["total"])
def total(rows, ctx):
    ctx.emit("summed")
    return sum(rows), None


@step(cache="input_hash", outputs=["big"])
def big(rows):
    return bytes(rows) * 1000


STEPS = [rows, total, big]


def parameters():
    return {"first": chosen.randrange(8), **{name: chosen.randrange(2) for name in "abc"}}


def expected(given):
    found = [given["first"]] + [given[name] for at, name in enumerate("abc") if given["first"] >> at & 1]
    outputs = {"rows": found, "total": (sum(found), None), "big": bytes(found) * 1000}
    return outputs, [("rows.txt", repr(found).encode())], {"sum": [sum(found)]}


def ran(place, given, **options):
    result = Pipeline(STEPS, name="study", cache_dir=folder / place, checkpoint=False, **options).run(context=given)
    result.raise_for_status()
    artifacts = [(made.name, made.read()) for made in result.record.artifacts]
    found = dict(result.outputs), artifacts, result.metrics
    assert found == expected(given), (given, found)
    assert result.step_results["total"].events == ("summed",)
    return [name for name, one in result.step_results.items() if one.state != "cached"]


def keep():
    """Run, and note that what it came to is stored, for all to find."""
    given = parameters()
    ran("kept", given)
    text = json.dumps(given)
    note = notes / f"{abs(hash(text))}-{number}"
    note.with_suffix(".part").write_text(text)
    note.with_suffix(".part").replace(note.with_suffix(".json"))
    counts["kept"] += 1


def find():
    """What somebody has noted as stored is found."""
    noted = [path for path in notes.glob("*.json")]
    if noted:
        given = json.loads(chosen.choice(noted).read_text())
        again = ran("kept", given)
        assert not again, f"lost: {again} for {given}"
        counts["found"] += 1


def spoilt():
    options = {"cache_max_bytes": 20_000} if chosen.random() < 0.3 else {}
    again = ran("spoilt", parameters(), **options)
    counts["missed" if again else "hit"] += 1


def invalidate():
    pipeline = Pipeline(STEPS, name="study", cache_dir=folder / "spoilt", checkpoint=False)
    pipeline.invalidate_cache(chosen.choice([None, "rows", "total"]))
    counts["invalidated"] += 1


def damage():
    # Not `rglob`, which fails where another process removes a folder meanwhile.
    files = [Path(at, name) for at, _, names in os.walk(folder / "spoilt") for name in names]
    if files:
        path = chosen.choice(files)
        try:
            content = path.read_bytes()
            kind = chosen.randrange(4)
            if kind == 0:
                path.unlink()
            else:
                at = chosen.randrange(len(content) + 1)
                path.write_bytes([content[:at], content + b"more", content[:at] + b"?" + content[at + 1 :]][kind - 1])
        except FileNotFoundError:
            pass  # another process was faster
        counts["damaged"] += 1


counts = dict.fromkeys(["kept", "found", "hit", "missed", "invalidated", "damaged"], 0)
end = time.monotonic() + seconds
work = [keep, find, find, spoilt, spoilt, spoilt, invalidate, damage]
while time.monotonic() < end or not all(counts.values()):
    chosen.choice(work)()
print(json.dumps(counts))
'''


def work(folder: Path, seconds: float) -> dict[str, int]:
    """Let the processes work; what all of them did."""
    script = folder / "work.py"
    script.write_text(WORK)
    (folder / "notes").mkdir()
    environment = {**os.environ, "XDG_CONFIG_HOME": str(folder / "home"), "CRYSTALLIZE_AUTOLOAD": "0"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(number), str(seconds), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=folder,
        )
        for number in range(PROCESSES)
    ]
    ended: list[tuple[Any, str, str]] = [(p, *p.communicate(timeout=seconds + 120)) for p in processes]
    assert [error for _, _, error in ended] == [""] * PROCESSES
    counts = [json.loads(output) for _, output, _ in ended]
    return {name: sum(count[name] for count in counts) for name in counts[0]}


def check(counts: dict[str, int]) -> None:
    """Each process did each kind of work at least once."""
    assert min(counts.values()) >= PROCESSES, counts


def test_eight_processes_share_a_folder(tmp_path):
    check(work(tmp_path, 2.0))


@pytest.mark.slow
def test_eight_processes_share_a_folder_for_a_minute(tmp_path):
    check(work(tmp_path, 60.0))

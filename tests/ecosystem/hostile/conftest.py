"""A machine on which hostile distributions are installed, and what is the same on it whatever they do."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from importlib_metadata import distributions

SERVER = Path(__file__).with_name("server.py")
STUDY = """
from crystallize_core import Asset, Experiment, Treatment, pipeline_step


@pipeline_step(cacheable=True)
def first(data, ctx):
    ctx.emit("working")
    return [x * ctx.get("factor", 1) for x in data]


@pipeline_step()
def second(data, ctx):
    return Asset(data), {"total": sum(data)}


@pipeline_step(condition=lambda: False)
def third(data):
    return data


@pipeline_step()
def broken(data, ctx):
    if ctx.get("broken", default=False):
        raise ValueError("no")
    return data


experiment = Experiment(
    datasource=lambda ctx: [1, 2, ctx["replicate"]],
    pipeline=[first, second, broken, third],
    treatments=[Treatment("double", {"factor": 2})],
    name="study",
    initial_ctx={"broken": False},
    replicates=3,
)
"""
WITNESS = """
import atexit
import inspect
import os
from pathlib import Path

from crystallize_core import BasePlugin
from crystallize_core.hookspecs import HOOKS

CALLS = []


def writing(name):
    names = ", ".join(inspect.signature(HOOKS[name]).parameters)
    scope = {"note": lambda: CALLS.append(name)}
    exec(f"def {name}(self{', ' if names else ''}{names}): note()", scope)
    return scope[name]


@atexit.register
def keep():
    Path(os.environ["WITNESS"]).write_text("\\n".join(CALLS))


Plugin = type("Plugin", (BasePlugin,), {n: writing(n) for n in HOOKS if n != "run_experiment_loop"})
Plugin.__module__ = __name__
"""
HEAD = "import os\nimport sys\n\nfrom crystallize_core import BasePlugin, hookimpl\n"


@attrs.frozen
class Done:
    """What a command came to.

    Attributes:
        code: Its exit code.
        out, err: What it wrote.
        calls: The hooks of the innocent plugin that were called, in their order.

    """

    code: int
    out: str
    err: str
    calls: tuple[str, ...]

    @property
    def result(self) -> dict[str, Any]:
        """The result, as JSON has it."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def said(self, text: str) -> int:
        """How often something was said, on standard error, in the errors of the result or in its notes."""
        everywhere = self.err
        if self.out.startswith("{"):
            run = self.result.get("run") or {}
            everywhere += "\n".join([note["text"] for note in run.get("notes", ())])
            everywhere += "\n".join(_texts(self.result.get("errors")))
        return everywhere.count(text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (Mapping, list)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


@attrs.frozen
class Machine:
    """A folder of distributions, one of which is innocent, and a project to work in."""

    folder: Path
    server: Any

    @property
    def site(self) -> Path:
        """Where distributions are."""
        return self.folder / "site"

    @property
    def work(self) -> Path:
        """Where commands run."""
        return self.folder / "work"

    def prepare(self) -> None:
        """Make the folders, the study and the innocent plugin."""
        self.site.mkdir()
        self.work.mkdir()
        (self.work / "study.py").write_text(STUDY, encoding="utf-8")
        self.plugin(WITNESS, name="witness")

    def module(self, name: str, code: str) -> None:
        """Write an importable module."""
        (self.site / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")

    def distribution(
        self, name: str, entry_points: str | bytes, *, metadata: str | bytes | None = "", version: str = "1.0"
    ) -> Path:
        """Write what a package manager leaves behind: `METADATA` with these lines more, or these bytes, or without."""
        info = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        text = entry_points if isinstance(entry_points, bytes) else textwrap.dedent(entry_points).encode()
        (info / "entry_points.txt").write_bytes(text)
        (info / "RECORD").write_text("")
        if isinstance(metadata, str):
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}".encode()
        if metadata is not None:
            (info / "METADATA").write_bytes(metadata)
        return info

    def plugin(self, code: str, *, metadata: str | bytes | None = "", name: str = "hostile") -> None:
        """Write the distribution `x-<name>` with one module and one plugin."""
        self.module(f"x_{name}", HEAD + textwrap.dedent(code))
        self.distribution(f"x-{name}", f"[crystallize.plugins]\n{name} = x_{name}:Plugin\n", metadata=metadata)

    def __call__(self, *arguments: str, seconds: float = 30, fresh: bool = True, **environment: str) -> Done:
        """Run the command in a process of its own; with an empty cache, unless it is to be as it was left."""
        names = ("out", "err", "calls")
        for path in [self.folder / name for name in names]:
            path.unlink(missing_ok=True)
        if fresh:
            for path in sorted((self.work / ".cache").rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        call = {
            "args": arguments,
            "folder": str(self.work),
            "path": [str(self.site)],
            "environment": {"WITNESS": str(self.folder / "calls"), **environment},
            "seconds": seconds,
            **{name: str(self.folder / name) for name in ("out", "err")},
        }
        self.server.stdin.write(json.dumps(call) + "\n")
        self.server.stdin.flush()
        code = int(self.server.stdout.readline())
        out, err, calls = [
            path.read_text(encoding="utf-8") if path.exists() else "" for path in (self.folder / n for n in names)
        ]
        return Done(code, out, err, tuple(calls.split()))

    def run(self, *arguments: str, **more: Any) -> Done:
        """Run the study and get its result as JSON."""
        return self("run", "study.py", "--json", *arguments, **more)

    def listed(self, name: str = "hostile", **more: Any) -> list[tuple[str, str | None, Sequence[str]]]:
        """Status, reason and hooks of what `plugins list` says of this name."""
        done = self("plugins", "list", "--json", **more)
        assert done.code == 0
        return [(e["status"], e["reason"], e["hooks"]) for e in done.result["plugins"] if e["name"] == name]


@pytest.fixture(scope="session")
def hidden(tmp_path_factory) -> str:
    """A search path for Python on which the real plugins are hidden behind empty distributions of their names."""
    folder = tmp_path_factory.mktemp("hidden")
    for found in list(distributions()):
        if any(point.group.startswith("crystallize.") for point in found.entry_points):
            name = found.metadata["Name"]
            info = folder / f"{name.replace('-', '_')}-0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n")
    known = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(folder), *([known] if known else [])])


@pytest.fixture(scope="session")
def server(hidden) -> Iterator[Any]:
    """The process that others are forked of."""
    if not hasattr(os, "fork"):
        pytest.skip("processes are made by fork")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CRYSTALLIZE_")}
    environment["PYTHONPATH"] = hidden
    with subprocess.Popen(
        [sys.executable, str(SERVER)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()
        process.wait(60)


@pytest.fixture
def machine(tmp_path, server) -> Machine:
    """A machine with the innocent plugin `witness` and a study."""
    made = Machine(tmp_path, server)
    made.prepare()
    return made


@pytest.fixture(scope="session")
def clean_of(tmp_path_factory, server):
    """What the study comes to with these arguments where nothing hostile is installed."""
    made = Machine(tmp_path_factory.mktemp("clean"), server)
    made.prepare()

    @functools.cache
    def clean_of(*arguments: str) -> Done:
        return made.run(*arguments)

    return clean_of


@pytest.fixture
def clean(clean_of) -> Done:
    """What the study comes to where nothing hostile is installed."""
    done: Done = clean_of()
    assert (done.code, done.err) == (0, "")
    return done

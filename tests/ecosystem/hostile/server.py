"""Runs the command `crystallize` in processes that are forked of this one, which has the core imported already.

Each line of standard input is one call, as JSON: `args`, `folder` (to work in), `path` (folders of distributions),
`environment`, `out` and `err` (files), `seconds`. Each line of standard output is its exit code.
A process that takes longer than `seconds` gets Ctrl-C, and is killed a while later.
"""

import importlib
import json
import os
import signal
import sys
import threading
import warnings

import importlib_metadata

import crystallize_core
from crystallize_core import cli

for name in crystallize_core.__all__:
    getattr(crystallize_core, name)
MODULES = ("messages", "output", "settings", "target", "catalog")
for name in MODULES:
    importlib.import_module(f"crystallize_core.cli.{name}")
list(importlib_metadata.entry_points(group="crystallize.plugins"))


def prepared(call):
    """Become the process that was asked for."""
    os.setsid()
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, call["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, call["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        os.dup2(os.open(name, flags, 0o600), number)
    os.chdir(call["folder"])
    os.environ.update(call["environment"], PYTHONPATH=os.pathsep.join([*call["path"], os.environ["PYTHONPATH"]]))
    sys.path[:0] = call["path"]
    warnings.resetwarnings()
    warnings.simplefilter("default")
    importlib.invalidate_caches()


def watched(child, seconds):
    """The exit code of a process, negative for a signal."""
    done = threading.Event()

    def watch():
        if not done.wait(seconds):
            os.kill(child, signal.SIGINT)
        if not done.wait(20):
            os.killpg(child, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    _, status = os.waitpid(child, 0)
    done.set()
    return os.waitstatus_to_exitcode(status)


def serve():
    for line in sys.stdin:
        call = json.loads(line)
        child = os.fork()
        if child == 0:
            prepared(call)
            return call["args"]
        print(watched(child, call["seconds"]), flush=True)
    return None


asked = serve()
if asked is not None:
    sys.argv = ["crystallize", *asked]
    cli.main(prog_name="crystallize")

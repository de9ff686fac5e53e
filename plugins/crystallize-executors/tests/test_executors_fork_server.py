"""The server that workers are copied from: workers are as if they were started now, and it is in nobody's way."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from crystallize_core import Experiment, pipeline_step
from crystallize_core.errors import WorkerError
from crystallize_executors import ProcessExecution, parallel_map

pytestmark = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="this system cannot copy processes"
)


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    """No other plugin that may be installed takes part, and nothing is written beside the tests."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


def seen(look, *, replicates=2, **options):
    """What `look` finds in workers, one value for each replicate."""

    @pipeline_step()
    def looks(data, ctx):
        return data, {"seen": look()}

    options = {"max_workers": 2, "start_method": "forkserver", **options}
    result = Experiment(lambda ctx: 0, [looks], [ProcessExecution(**options)], replicates=replicates).run()
    assert result.errors == {}
    return result.metrics.baseline.metrics["seen"]


def is_alive(process):
    """Whether it runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def soon(holds, seconds=20.0):
    """Whether it holds within so many seconds."""
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return holds()


# One server, new workers ---------------------------------------------------------------------------------


def test_runs_that_follow_have_the_same_server_and_other_workers():
    """Nothing that a run did to its workers is there in the next."""
    (first,) = set(seen(os.getppid))
    (second,) = set(seen(os.getppid))
    assert first == second != os.getpid()
    assert not set(seen(os.getpid)) & set(seen(os.getpid))


def test_a_call_of_parallel_map_uses_it_too():
    """Its workers are processes like those of an experiment."""
    (server,) = set(seen(os.getppid))
    assert parallel_map(lambda _: os.getppid(), range(2), num_workers=2, backend="process") == [server, server]


def test_what_a_user_imported_is_imported_anew_in_each_run(monkeypatch, tmp_path):
    """A module that was edited, and loaded again here, is the new one in the workers of the next run."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "edited_between_runs.py"
    path.write_text("def look():\n    return 'before'\n")
    module = importlib.import_module("edited_between_runs")
    assert seen(module.look) == ["before"] * 2
    path.write_text("def look():\n    return 'and after'\n")
    importlib.reload(module)
    assert seen(module.look) == ["and after"] * 2


def test_global_random_numbers_are_not_the_same_in_two_workers():
    """Copies of one process would draw the same numbers, if they were not seeded anew."""
    before = random.getstate()

    @pipeline_step()
    def draws(data, ctx):
        return data, {"drawn": random.random(), "by": os.getpid()}

    metrics = Experiment(lambda ctx: 0, [draws], [ProcessExecution(max_workers=2)], replicates=40).run().metrics
    by_worker = dict(zip(metrics.baseline.metrics["by"], metrics.baseline.metrics["drawn"], strict=True))
    assert len(set(by_worker.values())) == len(by_worker)
    assert random.getstate() == before


# As if they were started now -----------------------------------------------------------------------------


def test_workers_have_the_environment_of_now(monkeypatch):
    """A variable that was set, changed or taken away between two runs."""
    monkeypatch.setenv("SET_BEFORE", "1")
    monkeypatch.setenv("TAKEN_AWAY", "1")

    def look():
        return os.environ.get("SET_BEFORE"), os.environ.get("TAKEN_AWAY"), os.environ.get("SET_LATER")

    assert seen(look) == [("1", "1", None)] * 2
    monkeypatch.setenv("SET_BEFORE", "2")
    monkeypatch.delenv("TAKEN_AWAY")
    monkeypatch.setenv("SET_LATER", "3")
    assert seen(look) == [("2", None, "3")] * 2


def test_workers_have_the_folder_and_the_path_of_now(monkeypatch, tmp_path):
    """These they are told, by the same server."""

    def look():
        return str(Path.cwd()), "/nowhere" in sys.path, sys.argv[-1], os.getppid()

    ((*before, server),) = set(seen(look))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    monkeypatch.syspath_prepend("/nowhere")
    monkeypatch.setattr(sys, "argv", ["program", "argument"])
    ((*after, server_of_after),) = set(seen(look))
    assert before == [str(tmp_path), False, before[2]]
    assert after == [str(tmp_path / "other"), True, "argument"]
    assert server == server_of_after


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_what_is_no_text_on_the_path_is_passed_over(monkeypatch, tmp_path, start_method):
    """As in an import; whoever puts a `Path` there notices nothing. Also by the server, if it is started then."""
    monkeypatch.setenv("ANOTHER_SERVER", start_method)
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path / "nowhere"])
    assert seen(lambda: "runs", start_method=start_method) == ["runs"] * 2


@contextlib.contextmanager
def changed_umask():
    before = os.umask(0o027)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def changed_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0 if soft else min(4096, hard) if hard >= 0 else 4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@contextlib.contextmanager
def changed_cores():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def changed_signal():
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, before)


CHANGES = {
    "umask": (changed_umask, lambda: [os.umask(0), os.umask(0o022)][0]),
    "limit": (changed_limit, lambda: resource.getrlimit(resource.RLIMIT_CORE)),
    "cores": (changed_cores, lambda: sorted(os.sched_getaffinity(0))),
    "ignored signal": (changed_signal, lambda: signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN),
}


@pytest.mark.skipif(sys.platform != "linux", reason="Linux can tell all of it")
@pytest.mark.parametrize("what", CHANGES)
def test_workers_have_what_a_process_takes_over_from_the_one_that_starts_it(what):
    """What was changed here between two runs is changed in the workers of the second."""
    change, look = CHANGES[what]
    before = seen(look, replicates=1)
    with change():
        here = [look()]
        if what == "umask":
            os.umask(0o027)  # looking has set another one
            here = [0o027]
        assert seen(look, replicates=1) == here
    if what != "cores" or len(os.sched_getaffinity(0)) > 1:
        assert here != before
    assert seen(look, replicates=1) == before


SCRIPT = """
import os, sys
from crystallize_core import Experiment, pipeline_step
from crystallize_executors import ProcessExecution

@pipeline_step()
def speaks(data, ctx):
    os.write(1, b"said\\n")
    print("printed", flush=True)
    return data

def run():
    Experiment(lambda ctx: 0, [speaks], [ProcessExecution(max_workers=1)], replicates=1).run()
"""


def python(text, tmp_path, **options):
    """Run a script in a group of processes of its own."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT + text)
    environment = {**os.environ, "CRYSTALLIZE_AUTOLOAD": "0"}
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
        **options,
    )


def test_workers_print_to_where_this_process_prints_now(tmp_path):
    """Also after its output was led elsewhere, as a daemon or a scheduler does."""
    text = """
run()
os.dup2(os.open("elsewhere", os.O_WRONLY | os.O_CREAT), 1)
run()
"""
    process = python(text, tmp_path)
    assert process.communicate(timeout=60) == ("said\nprinted\n", "")
    assert (tmp_path / "elsewhere").read_text() == "said\nprinted\n"


def test_what_is_typed_is_left_to_the_script(tmp_path):
    """Neither the server nor a worker reads a line of it."""
    process = python("run()\nprint(sys.stdin.readline().strip(), 'was typed')\n", tmp_path)
    out, err = process.communicate("something\n", timeout=60)
    assert (out.splitlines()[-1], err) == ("something was typed", "")


def test_handlers_for_the_end_of_a_process_are_called_in_workers(tmp_path):
    """As in any interpreter: a library may still have something to write."""

    def look():
        import atexit

        atexit.register((tmp_path / "ended").touch)

    seen(look, replicates=1)
    assert (tmp_path / "ended").exists()


def test_the_start_method_of_this_process_is_left_to_be_chosen(tmp_path):
    """A script may still choose it after a run."""
    process = python("run()\nimport multiprocessing\nmultiprocessing.set_start_method('spawn')\n", tmp_path)
    assert process.communicate(timeout=60) == ("said\nprinted\n", "")
    assert process.returncode == 0


# Somebody ends it, or it cannot start --------------------------------------------------------------------


def test_a_server_that_was_ended_between_runs_is_started_again():
    """Nobody notices."""
    (server,) = set(seen(os.getppid))
    os.kill(server, signal.SIGKILL)
    (other,) = set(seen(os.getppid))
    assert other != server


def test_a_server_that_is_ended_while_it_has_workers_costs_no_replicate(tmp_path):
    """Its workers are replaced by those of another one, and what they had is run again."""
    killed = tmp_path / "killed"

    @pipeline_step()
    def kills(data, ctx):
        if ctx["replicate"] == 5 and not killed.exists():
            killed.touch()
            os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.01)
        return data, {"number": ctx["replicate"], "server": os.getppid()}

    result = Experiment(lambda ctx: 0, [kills], [ProcessExecution(max_workers=2)], replicates=40).run()
    assert (result.errors, result.metrics.baseline.metrics["number"]) == ({}, list(range(40)))
    assert killed.exists()
    assert multiprocessing.active_children() == []


def test_a_server_that_cannot_start_is_reported(tmp_path):
    """With its exit code, where to look, and what does without it."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    multiprocessing.set_executable(str(broken))
    try:
        with pytest.raises(WorkerError) as caught:
            seen(os.getpid)
    finally:
        multiprocessing.set_executable(sys.executable)
    assert str(caught.value).startswith(
        "the server process that workers are copied from ended while it started (exit code 7); what it wrote to stderr says "
        """why; start_method="spawn" does without it ["""
    )


def test_a_run_goes_on_with_its_server_when_another_run_needs_a_new_one(monkeypatch, tmp_path):
    """The first was started with another environment; it stays until its workers have ended."""
    (tmp_path / "started").mkdir()

    def waits():
        (tmp_path / "started" / str(os.getpid())).touch()
        while not (tmp_path / "go on").exists():
            time.sleep(0.01)
        return os.environ["WHICH"], os.getppid()

    found = []
    monkeypatch.setenv("WHICH", "first")
    first = threading.Thread(target=lambda: found.extend(seen(waits)))
    first.start()
    assert soon(lambda: len(list((tmp_path / "started").iterdir())) == 2)
    monkeypatch.setenv("WHICH", "second")
    ((which, server),) = set(seen(lambda: (os.environ["WHICH"], os.getppid())))
    (tmp_path / "go on").touch()
    first.join(60)
    ((which_of_first, server_of_first),) = set(found)
    assert (which, which_of_first) == ("second", "first")
    assert server != server_of_first
    assert soon(lambda: not is_alive(server_of_first))


def test_a_copy_of_this_process_has_a_server_of_its_own():
    """After a fork, the server is that of the parent, which alone may talk to it."""
    (ours,) = set(seen(os.getppid))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            (theirs,) = set(seen(os.getppid))
            os.write(writer, str(theirs).encode())
            code = 0
        importlib.import_module("crystallize_executors.fork_server").server.stop()
        os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as file:
        theirs = int(file.read())
    assert os.waitpid(child, 0)[1] == 0
    assert set(seen(os.getppid)) == {ours}
    assert theirs != ours
    assert soon(lambda: not is_alive(theirs))


# Nothing stays behind ------------------------------------------------------------------------------------


def of_the_session(leader):
    """The processes of a session that run; sorted."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, _, rest = path.read_text().partition(" (")
            state, _, _, session, *_ = rest.rpartition(")")[2].split()
            if int(session) == leader and state != "Z":
                found.append(int(number))
    return sorted(found)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux lists processes in files")
@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)", "sys.exit(0)"])
def test_the_server_ends_with_the_program(end, tmp_path):
    """However that ends."""
    process = python(f"run()\nrun()\n{end}\n", tmp_path)
    assert process.communicate(timeout=60) == ("said\nprinted\n" * 2, "")
    assert soon(lambda: of_the_session(process.pid) == [])


@pytest.mark.skipif(sys.platform != "linux", reason="Linux lists processes in files")
def test_there_is_one_server_however_often_the_environment_changes(tmp_path):
    """Those that do not fit any more end."""
    text = """
for number in range(4):
    os.environ["NUMBER"] = str(number)
    run()
sys.stdout.flush()
sys.stdin.readline()
"""
    process = python(text, tmp_path)
    for _ in range(8):
        process.stdout.readline()
    assert soon(
        lambda: len(of_the_session(process.pid)) == 3
    )  # the program, its server, the tracker of multiprocessing
    assert process.communicate("\n", timeout=60) == ("", "")
    assert soon(lambda: of_the_session(process.pid) == [])


# What it has imported ------------------------------------------------------------------------------------


def test_workers_find_imported_what_each_of_them_needs():
    """So that they begin in some milliseconds; nothing of the core is left for them to import."""

    def look():
        return sorted(name for name in sys.modules if name.startswith("crystallize_"))

    text = (
        "import importlib, sys\n"
        "from crystallize_executors.fork_server_main import PRELOADED\n"
        "for name in PRELOADED: importlib.import_module(name)\n"
        "print(*sorted(name for name in sys.modules if name.startswith('crystallize_')))\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    (found,) = {tuple(names) for names in seen(look)}
    assert set(found) - set(done.stdout.split()) == set()

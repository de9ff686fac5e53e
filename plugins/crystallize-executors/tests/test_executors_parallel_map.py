"""`parallel_map`: order, errors, what is left behind, and how many are at work where calls are nested."""

from __future__ import annotations

import contextvars
import functools
import itertools
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystallize_core import Experiment, pipeline_step
from crystallize_core.errors import NotSendableError, RemoteError, WorkerError
from crystallize_executors import (
    AsyncExecution,
    ItemError,
    ProcessExecution,
    SerialExecution,
    ThreadExecution,
    parallel_map,
)
from crystallize_executors.options import worker_count

BACKENDS = ["thread", "process"]


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    """No other plugin that may be installed takes part, and nothing is written beside the tests."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.delenv("CRYSTALLIZE_WORKERS", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """After a call its processes and threads are gone."""
    before = threading.enumerate()  # a thread that sleeps past its limit cannot be ended: earlier tests may leave some
    yield
    assert multiprocessing.active_children() == []
    new = [thread.name for thread in threading.enumerate() if thread not in before]
    assert [name for name in new if name.startswith("parallel-map")] == []


# --- results


@given(st.lists(st.integers()), st.one_of(st.none(), st.integers(1, 6)), st.booleans())
def test_results_are_in_the_order_of_the_items(items, count, as_generator):
    """Whatever the number of threads, and whether or not the length is known."""
    given_items = iter(items) if as_generator else items
    assert parallel_map(lambda item: -item, given_items, count) == [-item for item in items]


@settings(max_examples=5, deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=60), st.booleans())
def test_results_of_processes_are_in_the_order_of_the_items(items, as_generator):
    """The same with processes."""
    given_items = iter(items) if as_generator else items
    assert parallel_map(lambda item: item[::-1], given_items, 2, "process") == [item[::-1] for item in items]


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 4))
def test_the_first_error_is_that_of_a_loop(fails, count):
    """By the order of the input, whichever thread met one first; collected, each is in its place."""

    def func(item):
        index, failing = item
        if failing:
            raise LookupError(index)
        return index

    items = list(enumerate(fails))
    if any(fails):
        with pytest.raises(LookupError) as caught:
            parallel_map(func, items, count)
        assert caught.value.args == (fails.index(True),)
    found = parallel_map(func, items, count, errors="collect")
    assert [one.index if isinstance(one, ItemError) else one for one in found] == list(range(len(fails)))
    assert [isinstance(one, ItemError) for one in found] == fails


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("empty", [[], (), {}, iter([]), range(0)], ids=["list", "tuple", "dict", "iterator", "range"])
def test_no_items_are_no_results_and_no_workers(backend, empty, monkeypatch):
    """Nothing is started, not even for a function that cannot be sent."""
    monkeypatch.setattr(threading.Thread, "start", None)
    assert parallel_map(threading.Lock().__enter__, empty, 4, backend) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_iterable_will_do(backend):
    """As for the builtin `map`, the old protocol of sequences included."""

    class Old:
        def __getitem__(self, index):
            if index == 3:
                raise IndexError
            return index

    for items, expected in [("ab", ["a", "b"]), ({1: 2}, [1]), ({5}, [5]), (Old(), [0, 1, 2]), (map(abs, [-1]), [1])]:
        assert parallel_map(lambda item: item, items, 2, backend) == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_generators_are_read_in_this_thread_and_not_far_ahead(backend):
    """What reads a file or a database may belong to the thread that opened it."""
    readers = set()

    def numbers():
        for number in range(200):
            readers.add(threading.get_ident())
            yield number

    assert parallel_map(str, numbers(), 3, backend) == [str(number) for number in range(200)]
    assert readers == {threading.get_ident()}


def test_threads_are_given_two_items_each_in_advance():
    """So that an endless stream of large items fits into memory."""
    finished = []
    most = 0

    def numbers():
        nonlocal most
        for taken in range(300):
            most = max(most, taken - len(finished))
            yield taken

    parallel_map(finished.append, numbers(), 3)
    assert most <= 6


@pytest.mark.parametrize("backend", BACKENDS)
def test_large_items_and_results_pass(backend):
    """Much more than fits into a pipe, in both directions."""
    found = parallel_map(lambda item: item + item, (bytes([n]) * 10_000_000 for n in range(4)), 2, backend)
    assert [(one[0], len(one)) for one in found] == [(n, 20_000_000) for n in range(4)]


def test_threads_see_the_context_variables_of_the_caller_and_nothing_of_each_other():
    """Each item has a copy of its own."""
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(7)

    def func(item):
        before = variable.get()
        variable.set(item)
        return before

    for count in (1, 2):
        assert parallel_map(func, range(20), count) == [7] * 20
    assert variable.get() == 7


# --- errors


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_keeps_its_type_and_cause_and_gets_a_note(backend):
    """Also one whose `__init__` pickle could not call."""

    class Custom(Exception):
        def __init__(self, code, extra):
            super().__init__(f"code {code}")
            self.extra = extra

    def func(item):
        if item == "c" * 100:
            try:
                raise KeyError("inner")
            except KeyError as error:
                raise Custom(3, [4]) from error
        return item

    with pytest.raises(Custom) as caught:
        parallel_map(func, ["a", "b", "c" * 100, "d"], 2, backend)
    error = caught.value
    assert (str(error), error.args, error.extra) == ("code 3", ("code 3",), [4])
    assert repr(error.__cause__) == "KeyError('inner')"
    note = error.__notes__[-1]
    assert note.startswith("parallel_map(func): raised for item 2: 'ccc")
    assert len(note) < 140


def test_the_traceback_of_a_worker_process_is_in_a_note():
    """The line that failed can be found."""

    def func(item):
        return 1 // item

    with pytest.raises(ZeroDivisionError) as caught:
        parallel_map(func, [1, 0], 2, "process")
    assert "return 1 // item" in caught.value.__notes__[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_error_counts_even_if_a_later_item_fails_earlier(backend, tmp_path):
    """Item 0 only fails when item 1 has."""
    marker = tmp_path / "one"

    def func(item):
        if item == 1:
            marker.touch()
            raise LookupError(1)
        while item == 0 and not marker.exists():
            pass
        raise ValueError(item)

    with pytest.raises(ValueError) as caught:
        parallel_map(func, itertools.count(), 2, backend)
    assert caught.value.args == (0,)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [ValueError, SystemExit, MemoryError])
def test_an_error_ends_an_endless_input(backend, kind):
    """No further items are started, or this would not end."""

    def func(item):
        if item == 50:
            raise kind("fifty")

    with pytest.raises(kind, match="fifty"):
        parallel_map(func, itertools.count(), 2, backend)


def test_processes_that_run_later_items_are_ended():
    """Item 1 would hang for ever."""

    def func(item):
        if item:
            threading.Event().wait()
        raise ValueError(item)

    with pytest.raises(ValueError):
        parallel_map(func, range(2), 2, "process")


@pytest.mark.parametrize("backend", BACKENDS)
def test_errors_of_the_iterable_come_after_those_of_its_items(backend):
    """As in a loop; collecting is about items, so the input may not fail."""

    def items():
        yield from (1, 0)
        raise RuntimeError("no more")

    with pytest.raises(ZeroDivisionError):
        parallel_map(lambda item: 1 // item, items(), 2, backend)
    with pytest.raises(RuntimeError, match="no more") as caught:
        parallel_map(lambda item: 1 // item, items(), 2, backend, errors="collect")
    assert caught.value.__notes__[-1].endswith("the iterable of the items raised this in place of item 2")


@pytest.mark.parametrize("backend", BACKENDS)
def test_collected_errors_are_in_place(backend):
    """All others have their results; what is no `Exception` ends the call all the same."""
    found = parallel_map(lambda item: 6 // item, [1, 0, 2, 0, 3], 2, backend, errors="collect")
    assert [found[0], found[2], found[4]] == [6, 3, 2]
    assert [(one.index, type(one.error)) for one in (found[1], found[3])] == [
        (1, ZeroDivisionError),
        (3, ZeroDivisionError),
    ]
    with pytest.raises(SystemExit):
        parallel_map(sys.exit, [1], 2, backend, errors="collect")


@pytest.mark.parametrize("backend", BACKENDS)
def test_items_and_errors_that_cannot_be_shown_do_no_harm(backend):
    """A `__repr__` and a `__str__` that raise."""

    class Shy:
        def __repr__(self):
            raise RuntimeError

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    def func(item):
        raise Mute(item)

    with pytest.raises((Mute, RemoteError)) as caught:
        parallel_map(func, [Shy()], 2, backend)
    assert "raised for item 0: <" in caught.value.__notes__[-1]


# --- worker processes


@pytest.mark.parametrize("errors", ["raise", "collect"])
@pytest.mark.parametrize(("death", "words"), [("exit", "exit code 3"), ("kill", "SIGKILL")])
def test_an_item_that_ends_its_process_is_named(errors, death, words):
    """It fails alone; the others of its worker are called again."""

    def func(item):
        if item in {13, 30}:
            os.kill(os.getpid(), signal.SIGKILL) if death == "kill" else os._exit(3)
        return item

    text = f"the worker process that ran item 13 of func died with {words}; the item: 13"
    if errors == "raise":
        with pytest.raises(WorkerError) as caught:
            parallel_map(func, range(40), 2, "process")
        assert str(caught.value) == text
        return
    found = parallel_map(func, range(40), 2, "process", errors="collect")
    assert [one for one in found if not isinstance(one, ItemError)] == [n for n in range(40) if n not in {13, 30}]
    assert [one.index for one in found if isinstance(one, ItemError)] == [13, 30]
    assert str(found[13].error) == text


def test_workers_that_die_while_they_start_end_the_call(monkeypatch):
    """A broken interpreter is reported after a few attempts."""
    monkeypatch.setattr("crystallize_executors.pool.serve", os._exit)
    with pytest.raises(WorkerError, match="worker processes end while they start"):
        parallel_map(abs, [1, 2], 2, "process")


def test_a_function_that_workers_cannot_import_is_refused_with_the_reason(tmp_path, monkeypatch):
    """The module is there for the coordinator only."""
    (tmp_path / "map_only_here.py").write_text("def func(item):\n    return item\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import map_only_here

    (tmp_path / "map_only_here.py").unlink()
    with pytest.raises(WorkerError, match=r"could not load func: ModuleNotFoundError: .*map_only_here") as caught:
        parallel_map(map_only_here.func, [1], 2, "process")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_function_that_cannot_be_sent_names_the_part_to_blame():
    """Not only that some lock cannot be pickled, but which."""
    lock = threading.Lock()

    def inner(item, box=None):
        with lock:
            return item

    for func, part in [
        (inner, "the variable 'lock' of the function around it"),
        (lambda item: lock, "the variable 'lock' of the function around it"),
        (functools.partial(max, lock), "the bound argument 0"),
        (functools.partial(max, key=lock), "the bound argument 'key'"),
    ]:
        with pytest.raises(NotSendableError) as caught:
            parallel_map(func, [1], 2, "process")
        assert f"\n  {part}: TypeError: cannot pickle '_thread.lock' object\n" in str(caught.value)
        assert isinstance(caught.value.__cause__, TypeError)


def test_items_and_results_that_cannot_be_sent_fail_alone():
    """Each is named, with the reason."""

    class Stuck:
        def __setstate__(self, state):
            raise RuntimeError("not here")

    def func(item):
        if item == 2:
            return threading.Lock()
        stuck = Stuck()
        stuck.value = item
        return stuck if item == 3 else item

    found = parallel_map(func, [0, threading.Lock(), 2, 3, 4], 2, "process", errors="collect")
    assert (found[0], found[4]) == (0, 4)
    texts = [str(one.error) for one in found[1:4]]
    assert texts[0].startswith("item 1 of func cannot be sent to another process: <unlocked _thread.lock")
    assert texts[1].startswith("the result of func, of type lock, cannot be sent back from its worker process")
    assert texts[2] == "the result of item 3 of func cannot be read from its worker process: RuntimeError: not here"
    assert {type(one.error) for one in found[1:4]} == {NotSendableError}


def test_a_daemon_process_is_told_to_use_threads(monkeypatch):
    """The workers of `multiprocessing.Pool` may have no children."""
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with pytest.raises(WorkerError, match='use backend="thread"'):
        parallel_map(abs, [1], 2, "process")


SCRIPT = """
import os, sys, threading
from crystallize_executors import parallel_map

class Point:
    def __init__(self, x):
        self.x = x

class Odd(Exception):
    pass

def double(point):
    if point.x == 9:
        raise Odd(9)
    return Point(2 * point.x)

found = parallel_map(double, map(Point, range(5)), 2, "process")
print([point.x for point in found], {type(point) is Point for point in found})
try:
    parallel_map(double, [Point(9)], 2, "process")
except Odd as error:
    print(repr(error))
"""


@pytest.mark.parametrize("how", ["script", "-c", "stdin"])
def test_code_that_is_typed_anywhere_runs_in_workers(how, tmp_path):
    """A script without a guard, `python -c` and an interactive session; its classes come back as themselves."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = {"script": [str(script)], "-c": ["-c", SCRIPT], "stdin": ["-"]}[how]
    done = subprocess.run(
        [sys.executable, *command], input=SCRIPT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("[0, 2, 4, 6, 8] {True}\nOdd(9)\n", "")


# --- arguments


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "text"),
    [
        ((3, [1]), {}, TypeError, "func must be callable; found int"),
        (([1], abs), {}, TypeError, "func must be callable; found list; the function comes first, then the items"),
        ((abs, 3), {}, TypeError, "items must be an iterable; found int"),
        ((abs, [1], 0), {}, ValueError, "num_workers must be an int of at least 1, or None to choose by the machine; "),
        ((abs, [1], True), {}, ValueError, "found True"),
        ((abs, [1]), {"max_workers": "2"}, ValueError, "max_workers must be an int of at least 1, or None"),
        ((abs, [1], 2), {"max_workers": 3}, ValueError, "found num_workers=2 and max_workers=3"),
        ((abs, [1], 2, "fork"), {}, ValueError, "backend must be 'thread' or 'process'; found 'fork'"),
        ((abs, [1]), {"backend": []}, ValueError, "backend must be 'thread' or 'process'; found []"),
        ((abs, [1]), {"errors": "ignore"}, ValueError, "errors must be 'raise' or 'collect'; found 'ignore'"),
    ],
)
def test_wrong_arguments_are_refused_in_words(arguments, options, kind, text):
    """The message says what is expected and what was found."""
    with pytest.raises(kind) as caught:
        parallel_map(*arguments, **options)
    assert text in str(caught.value)


def test_max_workers_is_another_name():
    """Both may be given if they agree."""
    barrier = threading.Barrier(2)
    for options in ({"max_workers": 2}, {"num_workers": 2}, {"num_workers": 2, "max_workers": 2}):
        assert len(parallel_map(lambda _: barrier.wait(30), range(2), **options)) == 2


def test_asynchronous_functions_and_inputs_are_refused():
    """The message says what to do instead; a coroutine is not left unawaited."""

    async def fetch(item):
        return item

    class Fetcher:
        async def __call__(self, item):
            return item

    async def stream():
        yield 1

    for func in (fetch, functools.partial(fetch), Fetcher()):
        with pytest.raises(TypeError, match=r"is asynchronous: await asyncio.gather\(...\) in an async step"):
            parallel_map(func, [1])
    with pytest.raises(TypeError, match="this one returned a coroutine"):
        parallel_map(lambda item: fetch(-item), [1])
    with pytest.raises(TypeError, match="collect an asynchronous iterable first"):
        parallel_map(abs, stream())


def test_a_wrong_budget_in_the_environment_is_refused(monkeypatch):
    """It is named, and not taken for no budget."""
    monkeypatch.setenv("CRYSTALLIZE_WORKERS", "many")
    with pytest.raises(ValueError, match="CRYSTALLIZE_WORKERS must be an int of at least 1; found 'many'"):
        parallel_map(abs, [1])


def test_an_item_error_can_be_pickled():
    """It is a result like any other."""
    again = pickle.loads(pickle.dumps(ItemError(3, ValueError("x"))))
    assert (again.index, repr(again.error)) == (3, "ValueError('x')")


# --- nesting


def run(step, executor, replicates=4):
    experiment = Experiment(
        datasource=lambda ctx: ctx["replicate"], pipeline=[step], replicates=replicates, plugins=[executor]
    )
    result = experiment.run()
    assert result.errors == {}
    return result


def living(folder):
    """A function that notes in a folder how many of its kind are at work, in whatever process."""

    def live(_):
        marker = folder / f"live-{os.getpid()}-{threading.get_ident()}"
        marker.touch()
        try:
            return len(list(folder.glob("live-*")))
        finally:
            marker.unlink()

    return live


EXECUTORS = {"thread": ThreadExecution(max_workers=2), "process": ProcessExecution(max_workers=2)}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["thread", "process"])
def test_steps_share_the_machine_with_the_other_workers(name, backend, tmp_path, monkeypatch):
    """Two workers on a machine of four have two each inside, however many they ask for."""
    monkeypatch.setenv("CRYSTALLIZE_WORKERS", "4")
    live = living(tmp_path)

    @pipeline_step()
    def nested(data, ctx):
        where = parallel_map(lambda _: (os.getpid(), threading.get_ident()), range(50), 16, backend)
        return data, {"inside": len(set(where)), "most": max(parallel_map(live, range(50), 16, backend))}

    metrics = run(nested, EXECUTORS[name]).metrics.baseline.metrics
    assert max(metrics["inside"]) <= 2
    assert max(metrics["most"]) <= 4


@pytest.mark.parametrize("name", ["thread", "process"])
def test_a_share_of_two_is_really_two(name, monkeypatch):
    """Both meet at a barrier, or this would not end."""
    monkeypatch.setenv("CRYSTALLIZE_WORKERS", "4")

    @pipeline_step()
    def nested(data, ctx):
        barrier = threading.Barrier(2)
        return data, {"met": len(parallel_map(lambda _: barrier.wait(30), range(2)))}

    assert run(nested, EXECUTORS[name]).metrics.baseline.metrics["met"] == [2] * 4


@pytest.mark.parametrize("name", ["thread", "process"])
def test_where_nothing_is_left_the_calls_run_in_the_thread_of_the_step(name, monkeypatch):
    """Deeper and deeper, without a thread more and without a deadlock."""
    monkeypatch.setenv("CRYSTALLIZE_WORKERS", "2")

    @pipeline_step()
    def nested(data, ctx):
        def deep(level):
            if level:
                return {ident for found in parallel_map(deep, [level - 1] * 3, 8) for ident in found}
            return {threading.get_ident()}

        return data, {"here": deep(4) == {threading.get_ident()}}

    assert run(nested, EXECUTORS[name]).metrics.baseline.metrics["here"] == [True] * 4


@pytest.mark.parametrize("backend", BACKENDS)
def test_maps_inside_maps_share_as_well(backend, monkeypatch, tmp_path):
    """Three times two of seven are six; at the third level one is left."""
    monkeypatch.setenv("CRYSTALLIZE_WORKERS", "7")
    live = living(tmp_path)

    def inner(_):
        found = parallel_map(lambda _: threading.get_ident(), range(20), 16)
        return len(set(found)), parallel_map(lambda _: parallel_map(live, range(5), 16), range(5), 16)

    found = parallel_map(inner, range(6), 3, backend)
    assert max(count for count, _ in found) <= 2
    assert max(n for _, lists in found for counts in lists for n in counts) <= 6


@pytest.mark.parametrize("backend", BACKENDS)
def test_executors_inside_take_their_share(backend, monkeypatch):
    """They ask for the same budget where nobody says how many."""
    monkeypatch.setenv("CRYSTALLIZE_WORKERS", "4")
    assert parallel_map(lambda _: worker_count(None, 100), range(4), 2, backend) == [2] * 4
    assert parallel_map(lambda _: worker_count(9, 100), range(4), 2, backend) == [9] * 4


def test_outside_of_workers_the_wanted_number_holds():
    """Who waits for a network may use more threads than there are cores."""
    barrier = threading.Barrier(24)
    assert len(parallel_map(lambda _: barrier.wait(30), range(24), 24)) == 24


def test_functions_may_run_an_event_loop_even_inside_an_async_step(monkeypatch):
    """One worker is then a thread, because a loop runs in this one already."""
    monkeypatch.setenv("CRYSTALLIZE_WORKERS", "1")

    @pipeline_step()
    async def nested(data, ctx):
        import asyncio

        async def fetch(item):
            return item

        return data, {"sum": sum(parallel_map(lambda item: asyncio.run(fetch(item)), range(4)))}

    assert run(nested, SerialExecution()).metrics.baseline.metrics["sum"] == [6] * 4


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_digest_does_not_depend_on_who_runs_the_step(backend):
    """Nor does the result, errors included."""

    @pipeline_step()
    def mapped(data, ctx):
        found = parallel_map(lambda item: 100 // (item - 3), range(data, data + 6), 2, backend, errors="collect")
        return found, {"found": [one if type(one) is int else repr(one.error) for one in found]}

    executors = [SerialExecution(), AsyncExecution(), ThreadExecution(max_workers=2), ProcessExecution(max_workers=2)]
    results = [run(mapped, executor, 3) for executor in executors]
    assert len({result.digest for result in results}) == 1
    assert "ZeroDivisionError" in str(results[0].metrics.baseline.metrics["found"][0])


# --- Ctrl-C

INTERRUPTED = """
import os, sys, threading
from crystallize_executors import parallel_map

def hang(item):
    os.write(1, b"%d\\n" % os.getpid())
    threading.Event().wait()

try:
    {call}
except KeyboardInterrupt:
    print("interrupted")
"""
CALLS = {
    "thread": "parallel_map(hang, range(9), 2)",
    "inline": "parallel_map(hang, range(9), 1)",
    "process": 'parallel_map(hang, range(9), 2, "process")',
    "process in process": 'parallel_map(lambda _: parallel_map(hang, range(9), 1, "process"), range(9), 2, "process")',
    "process in thread": 'parallel_map(lambda _: parallel_map(hang, range(9), 1, "process"), range(9), 2)',
}


def is_alive(pid):
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(os.name != "posix", reason="sends signals to a group of processes")
@pytest.mark.parametrize("how", ["Ctrl-C", "kill"])
@pytest.mark.parametrize("name", CALLS)
def test_nothing_outlives_an_interrupted_call(name, how, tmp_path):
    """Every process of the call holds the pipe to us, so its end is the end of the last of them."""
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED.format(call=CALLS[name]))
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CRYSTALLIZE_WORKERS": "4"},
        start_new_session=True,
    )
    try:
        running = {int(process.stdout.readline()) for _ in range(1 if name == "inline" else 2)}
        if how == "kill":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)  # a test that fails leaves nothing behind either
        process.communicate()
        raise
    assert [pid for pid in running if is_alive(pid)] == []
    if how == "Ctrl-C":
        assert (out, err, process.returncode) == ("interrupted\n", "", 0)

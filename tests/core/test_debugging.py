"""`run(debug=True)`: what it says of each step, what it keeps to itself, and the debugger on a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from crystallize_core import Pipeline, step


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache and a home of its own for each test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


@step(outputs=["rows"])
def load(n=3):
    return list(range(n))


@step(outputs=["model"])
def train(rows, learning_rate):
    return sum(rows) * learning_rate


@step(outputs=["report"], cache=False)
def report(model, title):
    return f"{title}: {model}"


def told(capsys: pytest.CaptureFixture[str], *steps: Any, **given: Any) -> list[str]:
    """The lines that a run for debugging says, without durations."""
    options = {name: given.pop(name) for name in list(given) if name in ("enable_cache", "checkpoint")}
    again = given.pop("rerun", None)
    pipeline = Pipeline(list(steps), name="study", **options)
    capsys.readouterr()
    if again is None:
        pipeline.run(debug=True, **given)
    else:
        pipeline.rerun(*again, debug=True)
    out, err = capsys.readouterr()
    assert out == ""
    return re.sub(r"in \d+\.\d+ s", "in 0 s", err).splitlines()


def cache_line(capsys: pytest.CaptureFixture[str], one: Any, **given: Any) -> str:
    """What a run says of the cache of its last step."""
    return [line for line in told(capsys, one, **given) if line.startswith("  cache: ")][-1].removeprefix("  cache: ")


GIVEN = {"inputs": {"title": "R"}, "context": {"learning_rate": 2}}


def test_each_step_says_what_it_got_from_where_what_the_cache_knew_and_what_it_made(capsys):
    assert told(capsys, load, train, report, **GIVEN) == [
        "step load: ok in 0 s",
        "  n ← default = 3",
        "  cache: a miss: it has not run before",
        "  returns [0, 1, 2]",
        "step train: ok in 0 s",
        "  rows ← output 'rows' of 'load' = [0, 1, 2]",
        "  learning_rate ← context = 2",
        "  cache: a miss: it has not run before",
        "  returns 6",
        "step report: ok in 0 s",
        "  model ← output 'model' of 'train' = 6",
        "  title ← input = 'R'",
        "  cache: not asked: it is not to be cached",
        "  returns 'R: 6'",
    ]


def test_nothing_is_said_unless_asked(capsys):
    Pipeline([load, train, report], name="study").run(**GIVEN)
    assert capsys.readouterr() == ("", "")


def test_a_hit_and_a_miss_say_why(capsys):
    told(capsys, load, train, report, **GIVEN)
    lines = told(capsys, load, train, report, inputs={"title": "R"}, context={"learning_rate": 3})
    assert [line for line in lines if "cache" in line] == [
        "step load: cached in 0 s",
        "  cache: a hit: nothing that it depends on has changed",
        "  cache: a miss: changed since it ran last: context 'learning_rate': 2 -> 3",
        "  cache: not asked: it is not to be cached",
    ]


SOURCE = """
    LIMIT = {limit}
    def helper(x):
        return min(x, LIMIT) {more}
    def study(rows, factor={factor}):
        return helper(rows[0]) * factor
"""


def study(limit: int = 9, more: str = "", factor: int = 1, **options: Any) -> Any:
    module: dict[str, Any] = {"__name__": "prep"}
    exec(textwrap.dedent(SOURCE.format(limit=limit, more=more, factor=factor)), module)
    return step(**{"outputs": ["made"], **options})(module["study"])


ROWS = {"inputs": {"rows": [5]}}


@pytest.mark.parametrize(
    ("changed", "given", "words"),
    [
        ({"limit": 4}, ROWS, "constant `LIMIT` in `prep.py`"),
        ({"factor": 2}, ROWS, "default of `factor`"),
        ({"more": "+ 1"}, ROWS, "helper `helper` in `prep.py`"),
        ({"outputs": ["other"]}, ROWS, "its bound parameters, outputs or code"),
        ({}, {"inputs": {"rows": [6]}}, "input 'rows'"),
        ({}, {**ROWS, "context": {"factor": 2}}, "context 'factor': not set -> 2"),
        ({"limit": 3}, {"inputs": {"rows": [6]}}, "constant `LIMIT` in `prep.py`, input 'rows'"),
    ],
)
def test_a_miss_names_what_changed_since_the_step_ran_last(changed, given, words, capsys):
    assert cache_line(capsys, study(), **ROWS) == "a miss: it has not run before"
    assert cache_line(capsys, study(**changed), **given) == f"a miss: changed since it ran last: {words}"
    assert cache_line(capsys, study(**changed), **given) == "a hit: nothing that it depends on has changed"


def test_with_a_strategy_of_its_own_a_step_says_what_that_looks_at(capsys):
    by_input = study(cache="input_hash")
    cache_line(capsys, by_input, **ROWS)
    assert cache_line(capsys, study(limit=1, cache="input_hash"), **ROWS).startswith("a hit: ")
    assert cache_line(capsys, by_input, inputs={"rows": [7]}) == "a miss: changed since it ran last: input 'rows'"
    own = study(cache=lambda step, inputs, context: "key", name="own")
    assert [cache_line(capsys, own, **ROWS) for _ in range(2)] == [
        "a miss: no entry has the key of its own function",
        "a hit: nothing that it depends on has changed",
    ]


def test_an_entry_that_is_gone_is_said_to_be_gone(capsys):
    cache_line(capsys, study(), **ROWS)
    Pipeline([study()], name="study").invalidate_cache()
    assert cache_line(capsys, study(), **ROWS) == (
        "a miss: nothing has changed, but its entry is not there, too old, or cannot be read"
    )


def test_a_cache_that_is_switched_off_is_said_to_be_off(capsys):
    off = {"enable_cache": False}
    assert cache_line(capsys, study(), **off, **ROWS) == "not asked: the cache is switched off"
    assert not [line for line in told(capsys, study(), **off, checkpoint=False, **ROWS) if "cache" in line]


def test_a_resumed_run_says_what_changed_since_the_earlier_one(capsys):
    off = {"enable_cache": False}
    told(capsys, study(), **off, **ROWS)
    assert cache_line(capsys, study(), resume=True, **off, **ROWS) == "a hit: nothing that it depends on has changed"
    changed = cache_line(capsys, study(limit=1), resume=True, **off, **ROWS)
    assert changed == "a miss: changed since it ran last: constant `LIMIT` in `prep.py`"


def test_a_step_that_was_to_run_again_says_so(capsys):
    first = Pipeline([load], name="study").run()
    lines = told(capsys, load, rerun=(first.run_id, "load"))
    assert lines == [
        "step load: ok in 0 s",
        "  n ← default = 3",
        "  cache: not asked: it was to run again",
        "  returns [0, 1, 2]",
    ]


def test_long_values_are_cut_and_odd_ones_do_no_harm(capsys):
    class Odd:
        def __repr__(self) -> str:
            raise ValueError("unprintable")

    @step(outputs=["long"], cache=False)
    def make():
        return "x" * 500

    @step(outputs=["odd"], cache=False)
    def odd(long):
        return Odd()

    lines = told(capsys, make, odd, checkpoint=False)
    short = "'" + "x" * 78 + "…"
    assert [line for line in lines if not line.startswith("step")] == [
        f"  returns {short}",
        f"  long ← output 'long' of 'make' = {short}",
        "  returns <test_long_values_are_cut_and_odd_ones_do_no_harm.<locals>.Odd>",
    ]


def test_secrets_are_masked_wherever_they_come_from_and_go_to(capsys):
    @step(outputs=["token"], cache=False)
    def log_in(api_key):
        return f"{api_key}!"

    @step(inputs=["auth/token"], outputs=["size"], cache=False)
    def use(given, token):
        return len(given) + len(token)

    given = {"inputs": {"auth/token": "s3cret"}, "context": {"api_key": "s3cret"}}
    lines = told(capsys, log_in, use, checkpoint=False, **given)
    assert [line for line in lines if not line.startswith("step")] == [
        "  api_key ← context = ***",
        "  returns ***",
        "  given ← input 'auth/token' = ***",
        "  token ← output 'token' of 'log_in' = ***",
        "  returns 13",
    ]


def test_failed_skipped_and_not_run_steps_say_why(capsys):
    @step(outputs=["a"], cache=False)
    def broken(n=1):
        raise ValueError("no such thing")

    @step(outputs=["b"], cache=False)
    def needs(a):
        return a

    @step(outputs=["c"], cache=False, condition=lambda: False)
    def skipped(n=2):
        return n

    assert told(capsys, broken, needs, skipped, checkpoint=False) == [
        "step broken: failed in 0 s",
        "  n ← default = 1",
        "  ValueError: no such thing",
        "step needs: not run in 0 s",
        "  a ← output 'a' of 'broken'",
        "  it needs output 'a' of 'broken', which failed",
        "step skipped: skipped in 0 s",
        "  n ← context",
        "  condition '<lambda>' is False",
    ]


def test_what_a_step_changes_in_its_hands_is_told_as_it_was_given(capsys):
    @step(outputs=["first"], cache=False)
    def first(rows):
        rows.clear()
        return 1

    lines = told(capsys, first, checkpoint=False, inputs={"rows": [1, 2]})
    assert lines == ["step first: ok in 0 s", "  rows ← input = [1, 2]", "  returns 1"]


# The debugger -------------------------------------------------------------------------------------

FAILING = """
    from crystallize_core import Pipeline, step

    @step(outputs=["rows"])
    def load():
        return [1, 2]

    @step(outputs=["made"])
    def broken(rows):
        secret_of_this_frame = 41
        raise ValueError("no such thing")

    if __name__ == "__main__":
        result = Pipeline([load, broken], name="study").run(debug=True)
        print("ended", result.state)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "failing.py"
    path.write_text(textwrap.dedent(FAILING))
    return path


def test_on_a_terminal_the_debugger_opens_where_the_step_raised(script):
    pty = pytest.importorskip("pty")
    main, terminal = pty.openpty()
    streams = {"stdin": terminal, "stdout": terminal, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, str(script)], **streams) as process:
        os.close(terminal)
        os.write(main, b"p secret_of_this_frame + 1\nq\n")
        seen = b""
        try:
            while piece := os.read(main, 4096):
                seen += piece
        except OSError:  # the other end is closed
            pass
        finally:
            os.close(main)
        assert process.wait(timeout=60) == 0
    lines = seen.decode().replace("\r\n", "\n").replace("(Pdb) ", "").splitlines()
    assert [line for line in lines if line.startswith("> ")] == [f"> {script}(11)broken()"]
    assert [line for line in lines if line.endswith(("42", "failed"))] == ["42", "ended failed"]


def test_without_a_terminal_nothing_waits_for_anybody(script):
    done = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    out, err = done.communicate(timeout=60)
    assert (done.returncode, out) == (0, "ended failed\n")
    assert "step broken: failed in " in err


def test_a_terminal_that_is_only_read_from_is_not_enough(script):
    """With the output in a file, the debugger would wait for somebody who cannot see it."""
    pty = pytest.importorskip("pty")
    main, terminal = pty.openpty()
    done = subprocess.run(
        [sys.executable, str(script)], stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, timeout=60, check=True
    )
    os.close(terminal)
    os.close(main)
    assert done.stdout == b"ended failed\n"


@pytest.mark.parametrize("stdin", ["none", "closed"])
def test_a_program_without_standard_input_runs_all_the_same(stdin, monkeypatch, tmp_path, capsys):
    closed = (tmp_path / "closed").open("w+")
    closed.close()
    monkeypatch.setattr(sys, "stdin", None if stdin == "none" else closed)

    @step(cache=False)
    def broken():
        raise ValueError("no")

    assert "  ValueError: no" in told(capsys, broken, checkpoint=False)

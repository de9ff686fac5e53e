"""`ctx.logger` on its own: what a line may be made of."""

import json
import logging

import pytest

from crystallize_logging._logger import LEVELS, ContextLogger
from crystallize_logging._output import Output
from crystallize_logging._plain import plain


@pytest.fixture
def output():
    return Output("json", None)


@pytest.fixture
def logger(output):
    return ContextLogger(lambda: output, logging.INFO, {"experiment": "demo", "step": "fit"})


@pytest.fixture
def lines(capsys):
    def read():
        found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        for line in found:
            assert line.pop("timestamp").endswith("Z")
        return found

    return read


class Broken:
    def __repr__(self):
        raise RuntimeError

    __str__ = __repr__


ADDRESS = {"experiment": "demo", "step": "fit"}


@pytest.mark.parametrize("level", ["info", "warning", "error", "critical"])
def test_a_line_has_its_address(logger, lines, level):
    """Level, message and values stand beside where it was written."""
    getattr(logger, level)("loaded", rows=3)
    assert lines() == [{"level": level, "event": "loaded", **ADDRESS, "rows": 3}]


def test_lines_below_the_level_are_not_written(output, capsys):
    """Nor is anything computed for them."""

    class Costly:
        def __str__(self):
            raise AssertionError

    for name, number in LEVELS.items():
        logger = ContextLogger(lambda: output, number + 1, {})
        getattr(logger, name.lower())(Costly())
        logger.log(number, Costly())
        assert not logger.isEnabledFor(number)
    ContextLogger(lambda: output, logging.CRITICAL, {}).exception(Costly())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("100%",), "100%"),
        (("%d of %s", 3, "x"), "3 of x"),
        (("%(a)s", {"a": 1}), "1"),
        (("%d", "x"), "%d ('x',)"),
        (("a", "b"), "a ('b',)"),
        ((None,), "None"),
    ],
)
def test_arguments_are_put_in_as_in_the_standard_library(logger, lines, args, text):
    """Arguments that do not fit are shown beside the message and fail nothing."""
    logger.info(*args)
    assert lines() == [{"level": "info", "event": text, **ADDRESS}]


def test_extra_values_are_values(logger, lines):
    """Code that was written for the standard library says what it said there."""
    logger.info("x", extra={"rows": 3}, stacklevel=2)
    assert lines() == [{"level": "info", "event": "x", **ADDRESS, "rows": 3}]


def test_values_cannot_replace_the_address(logger, lines):
    """A value of the name of one of its keys gets an underscore."""
    logger.bind(run=1).info("x", step=100, event="y", level="z")
    assert lines() == [
        {"level": "info", "event": "x", **ADDRESS, "run_": 1, "step_": 100, "event_": "y", "level_": "z"}
    ]


def test_values_are_bound_to_a_new_logger(logger, lines):
    """The logger itself stays as it is; the address cannot be unbound."""
    bound = logger.bind(fold=1, seed=2)
    bound.unbind("seed", "step", "unknown").info("x")
    logger.info("y")
    assert lines() == [
        {"level": "info", "event": "x", **ADDRESS, "fold": 1},
        {"level": "info", "event": "y", **ADDRESS},
    ]


def test_exceptions_carry_their_traceback(logger, lines):
    """`exception` and `exc_info=` say where it came from."""
    try:
        raise ValueError("bad")
    except ValueError as error:
        logger.exception("failed")
        caught = error
    logger.warning("again", exc_info=caught)
    first, second = lines()
    assert (first["level"], second["level"]) == ("error", "warning")
    assert first["exception"] == second["exception"]
    assert first["exception"].startswith("Traceback")
    assert first["exception"].endswith("ValueError: bad")


@pytest.mark.parametrize(("number", "level"), [(25, "info"), (30, "warning"), (99, "critical")])
def test_levels_of_ones_own_are_those_below(logger, lines, number, level):
    """`log` takes any number."""
    logger.log(number, "x")
    assert lines() == [{"level": level, "event": "x", **ADDRESS}]


def test_whatever_is_logged_the_step_goes_on(logger, output, lines):
    """Values that cannot be shown are shown as that."""
    logger.info("x", value=Broken())
    logger.info(Broken())
    assert lines() == [
        {"level": "info", "event": "x", **ADDRESS, "value": "<Broken that cannot be shown: RuntimeError>"}
    ]
    assert output.take_problem() == "RuntimeError"
    assert output.take_problem() is None


def test_a_closed_terminal_fails_nothing(logger, output, monkeypatch, tmp_path):
    """The line is lost and the reason known."""
    with tmp_path.joinpath("err").open("w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
    logger.info("x")
    assert output.take_problem() == "ValueError: I/O operation on closed file."
    monkeypatch.setattr("sys.stderr", None)
    logger.info("x")
    assert output.take_problem() is None


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("password", "x", "***"),
        ("PASSWD", 1234, "***"),
        ("openai_api_key", "x", "***"),
        ("apikey", "x", "***"),
        ("access_token", "x", "***"),
        ("token", "x", "***"),
        ("tokens", 512, 512),
        ("token_count", 512, 512),
        ("tokenizer", "bpe", "bpe"),
        ("client_secret", ["x"], "***"),
        ("credentials", {"user": "u"}, "***"),
        ("Authorization", "Bearer x", "***"),
        ("password", None, None),
        ("has_password", True, True),
        ("key", "k", "k"),
        ("settings", {"db": {"password": "x", "host": "h"}}, {"db": {"password": "***", "host": "h"}}),
        ("rows", [{"secret": 1}, 2], [{"secret": "***"}, 2]),
        ("x", float("inf"), "inf"),
        ("x", (1, 2.5), [1, 2.5]),
        ("x", {1: b"b"}, {"1": "b'b'"}),
        ("x", "a" * 20_000, "a" * 10_000),
    ],
)
def test_values_are_plain_and_hold_no_secrets(name, value, shown):
    """What a log line may hold can be written as JSON and read by anybody."""
    assert plain(name, value) == shown


def test_what_holds_itself_has_an_end():
    """Cycles are cut off."""
    ring = []
    ring.append(ring)
    assert json.dumps(plain("x", ring)).count("[") < 20


def test_numbers_of_numpy_are_numbers():
    """They look like those of Python."""
    np = pytest.importorskip("numpy")
    assert [plain("x", np.float64(0.5)), plain("x", np.int64(3)), plain("x", np.float32("nan"))] == [0.5, 3, "nan"]


def test_it_shows_what_it_is(logger):
    """For whoever prints it."""
    assert repr(logger) == "<ContextLogger INFO experiment='demo', step='fit'>"

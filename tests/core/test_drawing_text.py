"""Drawings as values, and their form as text for the terminal."""

from __future__ import annotations

import inspect
import textwrap
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core.drawing import Arrow, Box, Drawing, as_text

STATUSES = st.sampled_from([None, "ok", "cached", "skipped", "failed", "not run"])


@st.composite
def drawings(draw):
    """Any graph whose arrows go forward, with names of any characters."""
    names = draw(st.lists(st.text(max_size=90), max_size=9, unique=True))
    boxes = [
        Box(
            name,
            kind=draw(st.sampled_from(["step", "input", "context"])),
            outputs=draw(st.lists(st.text(max_size=60), max_size=4)),
            group=draw(st.none() | st.text(max_size=60)),
            is_conditional=draw(st.booleans()),
            status=draw(STATUSES),
            note=draw(st.text(max_size=300)),
        )
        for name in names
    ]
    pairs = [(a, b) for b in range(len(names)) for a in range(b)]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=15)) if pairs else []
    arrows = [Arrow(names[a], names[b], draw(st.text(max_size=60))) for a, b in chosen]
    return Drawing(draw(st.text(max_size=100)), boxes, arrows)


def churn() -> Drawing:
    """The drawing in the docstring of `as_text`."""
    return Drawing(
        "churn",
        [
            Box("data", "input"),
            Box("load", outputs=("rows", "columns"), status="ok", note="1.2 s"),
            Box("clean", is_conditional=True, status="ok"),
            Box("train", outputs=("model",), group="fit", status="failed", note="2 retries"),
            Box("report", group="fit", status="not run"),
        ],
        [
            Arrow("data", "load", "data"),
            Arrow("load", "clean", "rows"),
            Arrow("clean", "train", "clean"),
            Arrow("load", "train", "columns"),
            Arrow("train", "report", "model"),
        ],
    )


def columns(line):
    """As a terminal counts them."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in line)
    return len(line) + wide - sum(unicodedata.category(c) in ("Mn", "Me") for c in line)


def test_the_text_is_what_the_docstring_shows():
    _, shown = inspect.getdoc(as_text).split("::\n\n")
    assert as_text(churn()) == textwrap.dedent(shown)


def test_before_a_run_there_is_no_column_of_statuses():
    drawing = Drawing(
        "", [Box("load", outputs=["rows"]), Box("train")], [Arrow("load", "train", "rows"), Arrow("load", "train")]
    )
    assert as_text(drawing) == "2 steps\n\n  load   -> rows\n  train  <- rows (load), load"


def test_an_output_of_the_name_of_its_step_is_not_repeated():
    assert as_text(Drawing("p", [Box("load", outputs=("load",))])) == "p: 1 step\n\n  load"


def test_nothing_to_draw_is_said():
    assert as_text(Drawing("p")) == "p: 0 steps"


def test_context_values_and_inputs_are_named_as_what_they_are():
    drawing = Drawing(
        "p",
        [Box("rate", "context"), Box("data", "input"), Box("train")],
        [Arrow("rate", "train", "rate"), Arrow("data", "train")],
    )
    assert as_text(drawing) == "p: 1 step\n\n  context  rate\n  input    data\n           train  <- rate, data"


def test_what_does_not_fit_on_one_line_is_broken_below_itself():
    outputs = tuple(f"asset_number_{at}" for at in range(6))
    drawing = Drawing(
        "p", [Box("load", outputs=outputs), Box("train", note="1 s")], [Arrow("load", "train", o) for o in outputs]
    )
    assert as_text(drawing).split("\n")[2:] == [
        "  load   -> asset_number_0, asset_number_1, asset_number_2, asset_number_3, asset_number_4,",
        "            asset_number_5",
        "  train  <- asset_number_0 (load), asset_number_1 (load), asset_number_2 (load), asset_number_3",
        "            (load), asset_number_4 (load), asset_number_5 (load)",
        "         · 1 s",
    ]


def test_a_long_name_has_a_line_of_its_own():
    drawing = Drawing("p", [Box("a" * 100), Box("b")], [Arrow("a" * 100, "b")])
    name = f"{'a' * 31}…{'a' * 16}"
    assert as_text(drawing) == f"p: 2 steps\n\n  {name}\n  b  <- {name}"


def test_long_names_that_would_look_alike_are_numbered():
    names = ["x" * 50 + middle + "x" * 50 for middle in "abc"]
    lines = as_text(Drawing("p", [Box(name) for name in names])).split("\n")[2:]
    assert [line.strip()[-3:] for line in lines] == ["xxx", "x~2", "x~3"]
    assert len(set(lines)) == 3


def test_a_group_that_is_interrupted_has_two_rails():
    drawing = Drawing("p", [Box("a", group="g"), Box("b"), Box("c", group="g"), Box("d", group="g")])
    assert as_text(drawing).split("\n")[2:] == ["  ┌ group g", "  └ a", "    b", "  ┌ group g", "  │ c", "  └ d"]


def test_control_characters_and_line_breaks_are_shown_and_not_sent_to_the_terminal():
    assert as_text(Drawing("p\n", [Box("a\x1b[31m\nb\ud800")])) == "p\\n: 1 step\n\n  a\\x1b[31m\\nb\\ud800"


def test_columns_line_up_below_wide_characters():
    drawing = Drawing("p", [Box("読む", outputs=("o",)), Box("load", outputs=("p",))])
    assert as_text(drawing).split("\n")[2:] == ["  読む  -> o", "  load  -> p"]


@given(drawings())
def test_lines_fit_in_a_hundred_columns_and_end_without_blanks(drawing):
    lines = [line.replace("\u200c", "").replace("\u200d", "") for line in as_text(drawing).split("\n")]
    assert [line for line in lines if line != line.rstrip() or columns(line) > 100 or not line.isprintable()] == []


@given(st.lists(st.from_regex(r"[a-z_]{1,20}", fullmatch=True), unique=True, max_size=20))
def test_every_box_begins_one_line(names):
    lines = as_text(Drawing("p", [Box(name) for name in names])).split("\n")[2:]
    assert [line.strip() for line in lines] == names


@given(drawings())
def test_the_text_depends_on_the_values_alone(drawing):
    copy = Drawing(drawing.title, list(drawing.boxes), list(drawing.arrows))
    assert as_text(copy) == as_text(drawing)


def test_all_wrong_arrows_and_names_are_reported_together():
    boxes = [Box("load"), Box("train"), Box("train")]
    arrows = [Arrow("train", "load"), Arrow("load", "trian"), Arrow("load", "load")]
    with pytest.raises(ValueError) as caught:
        Drawing("p", boxes, arrows)
    assert str(caught.value) == (
        "drawing 'p': 2 boxes are called 'train', every box needs a name of its own; "
        "the arrow from 'train' to 'load' goes back, boxes have to come in the order in which they run; "
        "the arrow from 'load' to 'trian' names 'trian', and no box is called so; "
        "the arrow from 'load' to 'load' goes back, boxes have to come in the order in which they run"
    )


def test_a_thousand_wrong_arrows_are_not_all_listed():
    with pytest.raises(ValueError, match=r"; and 990 more$"):
        Drawing("p", [Box("a")], [Arrow("a", f"b{at}") for at in range(1000)])


class Unspeakable:
    """A value that breaks whoever shows it."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Box(Unspeakable()), "name of Box has to be text, not a value of type Unspeakable"),
        (lambda: Box(b"load"), "name of Box has to be text, not a value of type bytes"),
        (lambda: Box("a", outputs="rows"), "outputs of Box has to be several of str, not 'rows'"),
        (lambda: Box("a", outputs=[1]), "outputs of Box has to be several of str, not a value of type tuple"),
        (lambda: Box("a", is_conditional=1), "is_conditional of Box has to be a bool, not a value of type int"),
        (lambda: Arrow("a", None), "target of Arrow has to be text, not a value of type NoneType"),
        (lambda: Drawing("p", [None]), "boxes of Drawing has to be several of Box, not a value of type tuple"),
        (lambda: Drawing("p", 5), "boxes of Drawing has to be several of Box, not a value of type int"),
        (lambda: Drawing(None), "title of Drawing has to be text, not a value of type NoneType"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_with_its_field(make, message):
    with pytest.raises(TypeError) as caught:
        make()
    assert str(caught.value) == message


def test_an_unknown_status_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError) as caught:
        Box("a", status="done")
    assert str(caught.value) == (
        "status of Box has to be one of 'ok', 'cached', 'skipped', 'failed', 'not run', not 'done'"
    )
    with pytest.raises(ValueError, match="not a value of type Unspeakable"):
        Box("a", kind=Unspeakable())


def test_text_of_a_subclass_is_taken_as_the_text_that_it_holds():
    class Name(str):
        __slots__ = ()

        def __str__(self):
            raise RuntimeError("no")

        __format__ = __repr__ = __str__

    drawing = Drawing(Name("p"), [Box(Name("a"), outputs=[Name("o")]), Box("b")], [Arrow(Name("a"), "b", Name("o"))])
    assert as_text(drawing) == "p: 2 steps\n\n  a  -> o\n  b  <- o (a)"


def test_an_arrow_that_is_given_twice_is_drawn_once():
    arrow = Arrow("a", "b", "rows")
    assert Drawing("p", [Box("a"), Box("b")], [arrow, arrow]).arrows == (arrow,)


def test_thirty_steps_stay_readable():
    """Every step is one entry, and what it uses is beside it."""
    boxes = [Box(f"step_{at}", outputs=(f"out_{at}",), status="ok") for at in range(30)]
    arrows = [Arrow(f"step_{at - back}", f"step_{at}", f"out_{at - back}") for at in range(3, 30) for back in (1, 3)]
    lines = as_text(Drawing("p", boxes, arrows)).split("\n")
    assert lines[0] == "p: 30 steps (30 ok)"
    assert lines[5:] == [
        f"  ok  {f'step_{at}':7}  <- out_{at - 1} (step_{at - 1}), out_{at - 3} (step_{at - 3})  -> out_{at}"
        for at in range(3, 30)
    ]

"""Pictures of pipelines before a run, and of what a run came to."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from crystallize_core import Pipeline, WiringError, pipeline_step, step


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No project, no installed plugin and no folder of the user takes part."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path))


@step(outputs=["numbers"], inputs=["path"])
def load(path, size=3):
    return list(range(size))


@step(outputs=["train", "test"], execution_group="prepare")
def split(numbers):
    return numbers[:2], numbers[2:]


@step(execution_group="prepare")
def scale(train, rate):
    return [rate * number for number in train]


@step(condition=lambda numbers: len(numbers) > 100)
def large(scale):
    return scale


@step
def fails(test):
    raise ValueError


@step
def report(fails, large=None):
    return fails


def pipeline(*steps: Any) -> Pipeline:
    return Pipeline("etl", context={"rate": 2}).add_steps(*(steps or (report, fails, large, scale, split, load)))


def lines_of(text: str) -> list[str]:
    """The lines of a picture without the times of the steps."""
    return [line.partition("  · ")[0].rstrip() for line in text.splitlines()]


def test_a_pipeline_as_text():
    """What each step takes from whom and makes, in the order in which they run, and what it is given."""
    assert pipeline().visualize() == (
        "etl: 6 steps\n"
        "\n"
        "  input      input path\n"
        "  context    context rate\n"
        "             load          <- input path  -> numbers\n"
        "           ┌ group prepare_0\n"
        "           │ split         <- numbers (load)  -> train, test\n"
        "           └ scale         <- train (split), context rate\n"
        "             fails         <- test (split)\n"
        "             large         <- scale, numbers (load)  · conditional\n"
        "             report        <- fails, large"
    )


def test_what_became_of_each_step_as_text():
    """The same with the state of each."""
    result = pipeline().run(inputs={"path": "a"})
    assert lines_of(result.visualize()) == [
        "etl: 6 steps (3 ok, 1 skipped, 1 failed, 1 not run)",
        "",
        "  input      input path",
        "  context    context rate",
        "  ok         load          <- input path  -> numbers",
        "           ┌ group prepare_0",
        "  ok       │ split         <- numbers (load)  -> train, test",
        "  ok       └ scale         <- train (split), context rate",
        "  failed     fails         <- test (split)",
        "  skipped    large         <- scale, numbers (load)",
        "  not run    report        <- fails, large",
    ]


def test_a_default_is_no_source():
    """Neither before a run nor after it; the same parameter in the context is one."""
    sized = step(name="sized")(lambda size=3: size)
    made = pipeline(sized)
    assert made.visualize() == "etl: 1 step\n\n  sized"
    assert "context" not in made.run().visualize()
    assert "<- context size" in made.run(context={"size": 4}).visualize()
    assert "<- context size" in Pipeline([sized], context={"size": 4}).visualize()


def test_what_a_run_must_be_given_is_an_input():
    """What nobody makes and the context lacks, whether it is declared or not."""
    assert "<- input data" in pipeline(step(name="s")(lambda data: data)).visualize()
    assert "<- input raw" in pipeline(step(name="s", inputs=["raw"])(lambda raw: raw)).visualize()


def test_what_a_step_adds_to_the_context_is_not_an_input():
    """A run shows it as what it is."""
    adds = step(name="adds")(lambda ctx: ctx.add("found", 1))
    takes = step(name="takes")(lambda found: found)
    assert "<- context found" in pipeline(adds, takes).run().visualize()


def test_a_chain_has_a_picture_too():
    """Each takes what the one before returned."""
    found = pipeline(pipeline_step()(lambda data: data), lambda data: data).visualize()
    assert lines_of(found)[2:] == [
        "  input  input data",
        "         <lambda>    <- input data",
        "         <lambda>_2  <- <lambda>",
    ]


def test_the_mermaid_form():
    """A flowchart with an arrow per thing that is taken, and a class per state."""
    before = pipeline().visualize("mermaid")
    assert before.startswith('---\ntitle: "etl"\n---\nflowchart TD\n')
    assert '    s_load -->|"numbers"| s_split' in before
    after = pipeline().run(inputs={"path": "a"}).visualize("mermaid")
    for expected in ("failed", "skipped", "not run", "ok, "):
        assert expected not in before
        assert expected in after


@pytest.mark.parametrize("with_result", [False, True])
def test_the_svg_form_is_a_document_of_its_own(with_result):
    """Well-formed, with the name as its title and the text as its description."""
    made = pipeline().run(inputs={"path": "a"}) if with_result else pipeline()
    root = ET.fromstring(made.visualize("svg"))
    named = {child.tag.rpartition("}")[2]: child.text for child in root[:2]}
    assert named == {"title": "etl", "desc": made.visualize()}


def test_pictures_are_returned_and_not_printed(capsys):
    """Whoever wants to see them prints them."""
    pipeline().visualize()
    pipeline().run(inputs={"path": "a"}).visualize()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("with_result", [False, True])
def test_an_unknown_form_is_refused(with_result):
    """With those that there are."""
    made = pipeline(load).run(inputs={"path": "a"}) if with_result else pipeline()
    with pytest.raises(ValueError, match=r"^unknown form 'dot'; the forms are: 'mermaid', 'svg', 'text'\.$"):
        made.visualize("dot")
    with pytest.raises(ValueError, match=r"^unknown form 'mermiad'; did you mean 'mermaid'\?$"):
        made.visualize("mermiad")


def test_what_cannot_be_wired_has_no_picture():
    """The problems are said instead."""
    with pytest.raises(WiringError) as caught:
        pipeline(step(name="a")(lambda b: b), step(name="b")(lambda a: a)).visualize()
    assert str(caught.value) == (
        "pipeline 'etl': 1 problem(s)\n"
        "  steps wait for each other: a -> b -> a ('b' takes 'a' from 'a'; 'a' takes 'b' from 'b')"
    )


def test_odd_names_do_no_harm():
    """Names are quoted where they would mean something."""
    odd = step(name='<b>"x"&[y]', outputs=['a"|<i>'], cache=False)(lambda: 1)
    takes = step(name="end", inputs=['a"|<i>'], cache=False)(lambda raw: raw)
    result = Pipeline([odd, takes]).run()
    assert ET.fromstring(result.visualize("svg")) is not None
    assert "<b>" not in result.visualize("mermaid")

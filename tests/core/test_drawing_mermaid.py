"""Drawings in the language of Mermaid: what is allowed in it is checked by structure, without Mermaid itself.

The expected forms were accepted by Mermaid 11 and shown with exactly the names that were given.
"""

from __future__ import annotations

import json
import re
import string

from hypothesis import given
from hypothesis import strategies as st

from crystallize_core.drawing import Arrow, Box, Drawing, as_mermaid

IDENTIFIER = r"[sg](?:_[A-Za-z0-9]+)*"
LABEL = r"(?:[^\W_]|[ ,→….-]|(?<=[^\W_])_(?=[^\W_])|<br/>|#\d+;)*"
CLASS = r"(?::::[a-z]+)?"
BOX = re.compile(
    rf'    (?:    )?({IDENTIFIER})(?:\["{LABEL}"\]|\(\["{LABEL}"\]\)|\[/"{LABEL}"/\]|\{{\{{"{LABEL}"\}}\}}){CLASS}'
)
ARROW = re.compile(rf'    ({IDENTIFIER}) -->(?:\|"{LABEL}"\|)? ({IDENTIFIER})')
OTHER = re.compile(rf'flowchart TD|    subgraph {IDENTIFIER}\["{LABEL}"\]|    end|    classDef [a-z]+ [a-z0-9:#,\- ]+')


@st.composite
def drawings(draw):
    """Any graph whose arrows go forward, with names of any characters."""
    names = draw(st.lists(st.text(max_size=90) | st.text(string.punctuation, max_size=5), max_size=9, unique=True))
    boxes = [
        Box(
            name,
            kind=draw(st.sampled_from(["step", "input", "context"])),
            outputs=draw(st.lists(st.text(max_size=60), max_size=4)),
            group=draw(st.none() | st.text(max_size=60)),
            is_conditional=draw(st.booleans()),
            status=draw(st.sampled_from([None, "ok", "cached", "skipped", "failed", "not run"])),
            note=draw(st.text(max_size=300)),
        )
        for name in names
    ]
    pairs = [(a, b) for b in range(len(names)) for a in range(b)]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=15)) if pairs else []
    arrows = [Arrow(names[a], names[b], draw(st.text(max_size=60))) for a, b in chosen]
    return Drawing(draw(st.text(max_size=100)), boxes, arrows)


def read(label):
    """What Mermaid shows for a label."""
    told = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label)
    return told.replace("\u2060", "")


def label_of(name):
    """The label of a box with that name and nothing else."""
    line = as_mermaid(Drawing("", [Box(name)])).split("\n")[1]
    return re.fullmatch(r'    \w+\["(.*)"\]', line)[1]


def test_a_small_graph_exactly():
    drawing = Drawing(
        "churn",
        [
            Box("data", "input"),
            Box("learning_rate", "context"),
            Box("load", outputs=("rows", "columns"), status="ok", note="1.2 s"),
            Box("clean", is_conditional=True),
            Box("train", group="fit", status="failed"),
            Box("end", group="fit", status="not run"),
        ],
        [
            Arrow("data", "load"),
            Arrow("load", "clean", "rows"),
            Arrow("load", "train", "rows"),
            Arrow("load", "train", "columns"),
            Arrow("clean", "train", "clean"),
            Arrow("learning_rate", "train", "learning_rate"),
        ],
    )
    assert as_mermaid(drawing).split("\n") == [
        "---",
        'title: "churn"',
        "---",
        "flowchart TD",
        '    s_data(["data"]):::input',
        '    s_learning_rate[/"learning_rate"/]:::context',
        '    s_load["load<br/>→ rows, columns<br/>ok, 1.2 s"]:::ok',
        '    s_clean{{"clean<br/>conditional"}}',
        '    subgraph g_fit["fit"]',
        '        s_train["train<br/>failed"]:::failed',
        '        s_end["end<br/>not run"]:::notrun',
        "    end",
        "    s_data --> s_load",
        "    s_learning_rate --> s_train",
        '    s_load -->|"rows"| s_clean',
        '    s_load -->|"rows, columns"| s_train',
        "    s_clean --> s_train",
        "    classDef input fill:#eef2ff,stroke:#6366f1,color:#1e1b4b",
        "    classDef context fill:#f5f3ff,stroke:#8b5cf6,color:#2e1065",
        "    classDef ok fill:#dcfce7,stroke:#15803d,color:#052e16",
        "    classDef failed fill:#fee2e2,stroke:#b91c1c,color:#450a0a,stroke-width:2px",
        "    classDef notrun fill:#ffffff,stroke:#9ca3af,color:#4b5563,stroke-dasharray:2 3",
    ]


def test_nothing_to_draw_is_an_empty_chart():
    assert as_mermaid(Drawing("")) == "flowchart TD"


def test_what_would_end_a_label_or_format_it_is_written_as_numbers():
    assert {
        name: label_of(name) for name in ['a"b', "[x]", "a#b", "__init__", "1. one", "load_data", "1.2", "a\nb"]
    } == {
        'a"b': "a#34;b",
        "[x]": "#91;x#93;",
        "a#b": "a#35;b",
        "__init__": "#95;#95;init#95;#95;",
        "1. one": "1#46; one",
        "load_data": "load_data",
        "1.2": "1.2",
        "a\nb": "a#92;#8288;nb",
    }


def test_what_is_replaced_within_labels_is_taken_apart_by_a_joiner():
    assert {name: label_of(name) for name in ["$$x$$", "fa:fa-car", "direction LR", "directions"]} == {
        "$$x$$": "#36;#8288;#36;x#36;#8288;#36;",
        "fa:fa-car": "fa#58;#8288;fa-car",
        "direction LR": "direction#8288; LR",
        "directions": "directions",
    }


def test_a_box_keeps_its_id_when_others_come_and_go():
    one = as_mermaid(Drawing("", [Box("load"), Box("train model")]))
    other = as_mermaid(Drawing("", [Box("clean"), Box("train model"), Box("score")]))
    assert one.split("\n")[2] == other.split("\n")[2] == '    s_train_model["train model"]'


def test_names_that_would_get_the_same_id_are_numbered():
    lines = as_mermaid(Drawing("", [Box(name) for name in ("a b", "a-b", "a_b_2", "日", "本")])).split("\n")
    assert [line.split("[")[0].strip() for line in lines[1:]] == ["s_a_b", "s_a_b_2", "s_a_b_2_2", "s", "s_2"]


def test_a_group_in_several_places_is_one_frame():
    drawing = Drawing("", [Box("a", group="g"), Box("b"), Box("c", group="g")], [Arrow("a", "b"), Arrow("b", "c")])
    assert as_mermaid(drawing).split("\n") == [
        "flowchart TD",
        '    s_b["b"]',
        '    subgraph g_g["g"]',
        '        s_a["a"]',
        '        s_c["c"]',
        "    end",
        "    s_a --> s_b",
        "    s_b --> s_c",
    ]


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30))
def test_a_label_shows_the_name(name):
    assert read(label_of(name)) == name


@given(drawings())
def test_every_line_is_one_that_the_language_has(drawing):
    lines = as_mermaid(drawing).split("\n")
    if drawing.title:
        assert (lines[0], lines[1][:7], lines[2]) == ("---", "title: ", "---")
        assert isinstance(json.loads(lines[1][7:]), str)
        del lines[:3]
    assert [line for line in lines if not any(form.fullmatch(line) for form in (BOX, ARROW, OTHER))] == []


@given(drawings())
def test_every_box_and_every_pair_of_arrows_appears_once(drawing):
    lines = as_mermaid(drawing).split("\n")
    ids = [found[1] for found in map(BOX.fullmatch, lines) if found]
    assert len(ids) == len(set(ids)) == len(drawing.boxes)
    ends = [found.groups() for found in map(ARROW.fullmatch, lines) if found]
    assert len(ends) == len(set(ends)) == len({(arrow.source, arrow.target) for arrow in drawing.arrows})
    assert {end for pair in ends for end in pair} <= set(ids)


@given(drawings())
def test_the_chart_depends_on_the_values_alone(drawing):
    assert as_mermaid(Drawing(drawing.title, list(drawing.boxes), list(drawing.arrows))) == as_mermaid(drawing)

"""The drawing in the language of Mermaid, which GitHub, GitLab, Jupyter and many pages draw by themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from crystallize_core.drawing.graph import Box, Drawing, joined_labels
from crystallize_core.drawing.labels import printable, short_names, shortened

__all__ = ["as_mermaid"]

LONGEST_NAME: Final = 60
LONGEST_LABEL: Final = 60
LONGEST_LINE: Final = 80
LONGEST_ID: Final = 40

SHAPES: Final = {"step": ('["', '"]'), "input": ('(["', '"])'), "context": ('[/"', '"/]')}
CONDITIONAL: Final = ('{{"', '"}}')

# All three colours of a class are given, so that it can be read on a light and on a dark page.
CLASSES: Final = {
    "input": "fill:#eef2ff,stroke:#6366f1,color:#1e1b4b",
    "context": "fill:#f5f3ff,stroke:#8b5cf6,color:#2e1065",
    "ok": "fill:#dcfce7,stroke:#15803d,color:#052e16",
    "cached": "fill:#e0f2fe,stroke:#0369a1,color:#082f49",
    "skipped": "fill:#f3f4f6,stroke:#6b7280,color:#1f2937,stroke-dasharray:4 3",
    "failed": "fill:#fee2e2,stroke:#b91c1c,color:#450a0a,stroke-width:2px",
    "notrun": "fill:#ffffff,stroke:#9ca3af,color:#4b5563,stroke-dasharray:2 3",
}

# A character that is part of a word on both sides, as in load_data, 1.2 and left-over, means nothing else.
HARMFUL: Final = re.compile(r"[^\w ,.→…-]|(?<![^\W_])[_.-]|[_.-](?![^\W_])")
# What Mermaid replaces even where it is written with numbers: line breaks, formulas, icons, its own marks for
# numbers; and a direction, which it looks for within quotes too. An invisible joiner takes them apart.
REPLACED: Final = re.compile(r"\\(?=n)|\$(?=\$)|\bfa\w?:(?=fa)|ﬂ(?=°)|¶(?=ß)|direction(?=\s)")
JOINER: Final = "\u2060"


def as_mermaid(drawing: Drawing) -> str:
    """The drawing as a flowchart from top to bottom.

    A box keeps its id as long as its name stays, whatever else changes in the pipeline. Mermaid itself
    refuses to draw more than 500 arrows unless the page raises its `maxEdges`.
    """
    ids = _ids("s", (box.name for box in drawing.boxes))
    names = short_names((box.name for box in drawing.boxes), LONGEST_NAME)
    lines = ["---", f"title: {_yaml(drawing.title)}", "---"] if drawing.title else []
    lines.append("flowchart TD")
    lines += [f"    {_box(box, ids[box.name], names[box.name])}" for box in drawing.boxes if not box.group]
    lines += _groups(drawing.boxes, ids, names)
    boxes = drawing.boxes
    for (source, target), label in joined_labels(drawing).items():
        told = f'|"{_escaped(shortened(label, LONGEST_LABEL))}"|' if label else ""
        lines.append(f"    {ids[boxes[source].name]} -->{told} {ids[boxes[target].name]}")
    used = {_class_of(box) for box in boxes}
    lines += [f"    classDef {name} {style}" for name, style in CLASSES.items() if name in used]
    return "\n".join(lines)


def _groups(boxes: Iterable[Box], ids: Mapping[str, str], names: Mapping[str, str]) -> Iterator[str]:
    members: dict[str, list[Box]] = {}
    for box in boxes:
        if box.group:
            members.setdefault(box.group, []).append(box)
    group_ids = _ids("g", members)
    for group, together in members.items():
        yield f'    subgraph {group_ids[group]}["{_escaped(shortened(group, LONGEST_NAME))}"]'
        yield from (f"        {_box(box, ids[box.name], names[box.name])}" for box in together)
        yield "    end"


def _ids(prefix: str, names: Iterable[str]) -> dict[str, str]:
    """Ids of plain letters; the prefix keeps them apart from `end` and the other words of the language."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        slug = re.sub(r"[^A-Za-z0-9]+", "_", name[:LONGEST_ID]).strip("_")
        first, number = f"{prefix}_{slug}".rstrip("_"), 1
        chosen = first
        while chosen in taken:
            number += 1
            chosen = f"{first}_{number}"
        taken.add(chosen)
        found[name] = chosen
    return found


def _class_of(box: Box) -> str | None:
    if box.kind != "step":
        return box.kind
    return None if box.status is None else box.status.replace(" ", "")


def _box(box: Box, box_id: str, name: str) -> str:
    opening, closing = CONDITIONAL if box.is_conditional and box.kind == "step" else SHAPES[box.kind]
    class_name = _class_of(box)
    label = "<br/>".join(_escaped(line) for line in _label(box, name))
    return f"{box_id}{opening}{label}{closing}" + (f":::{class_name}" if class_name else "")


def _label(box: Box, name: str) -> Iterator[str]:
    yield name
    if box.outputs and box.outputs != (box.name,):
        yield shortened(f"→ {', '.join(box.outputs)}", LONGEST_LINE)
    facts = [box.status or "", "conditional" if box.is_conditional else "", shortened(box.note, LONGEST_LINE)]
    if any(facts):
        yield ", ".join(filter(None, facts))


def _escaped(text: str) -> str:
    """The text as Mermaid shows it literally, inside quotes.

    Everything that is neither a letter, a digit nor harmless is written as its number: quotes, brackets and
    `#` end or begin something, and a label goes through Markdown and HTML after that, where `1. ` would
    begin a list and `__init__` become bold.
    """
    apart = REPLACED.sub(lambda found: found[0] + JOINER, text)
    return HARMFUL.sub(lambda found: f"#{ord(found[0])};", apart)


def _yaml(text: str) -> str:
    return json.dumps(printable(text), ensure_ascii=False)

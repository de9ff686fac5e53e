"""The look of an SVG: its measures, and its style sheet with colours for light and for dark pages.

All rules are bound to the class of the picture, because the style sheet of an SVG inside a page holds for
the whole page. Colours are written out for both schemes instead of kept in variables: programs that convert
SVG know classes, but often no variables.
"""

from __future__ import annotations

from string import Template
from typing import Final

__all__ = ["GROUP_COLOURS", "HEADING_LETTER", "LETTER", "PICTURE", "SMALL_LETTER", "style_sheet"]

PICTURE: Final = "crystallize-drawing"
LETTER: Final = 7.9
"""The width of one column in the name of a box. The fonts asked for have letters of 0.6 of their height."""
SMALL_LETTER: Final = 6.7
HEADING_LETTER: Final = 9.1
GROUP_COLOURS: Final = ("#8250df", "#bf8700", "#1b7c83", "#bc4c00", "#4d7fd6", "#a0458f")

_FONT: Final = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
_SHAPES: Final = Template("""\
$of text{font-family:$font;font-size:11px;white-space:pre}
$of .heading{font-size:15px;font-weight:600}
$of .name{font-size:13px;font-weight:600}
$of .arrow path{fill:none;stroke-width:1.4}
$of .arrow .head{stroke:none}
$of .arrow:hover path{stroke-width:3}
$of .arrow:hover .head{stroke-width:0}
$of .label{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}
$of .box rect{stroke-width:1.2}
$of .failed .edge{stroke-width:2.4}
$of .conditional .edge{stroke-dasharray:6 3}
$of .frame{fill-opacity:.07;stroke-opacity:.5;stroke-dasharray:2 3}
""")
_COLOURS: Final = Template("""\
$of .page{fill:$page}
$of text{fill:$ink}
$of .outputs,$of .group,$of .kind,$of .fact,$of .skipped .name,$of .notrun .name{fill:$faint}
$of .arrow path{stroke:$line}
$of .arrow .head{fill:$line}
$of .arrow:hover path{stroke:$cached}
$of .arrow:hover .head{fill:$cached}
$of .label{fill:$faint;stroke:$page}
$of .box rect.edge{fill:$box;stroke:$line}
$of .input rect.edge,$of .context rect.edge{fill:$source}
$of .ok rect.edge{stroke:$ok}
$of .cached rect.edge{stroke:$cached}
$of .failed rect.edge{stroke:$failed;fill:$failure}
$of .ok .status{fill:$ok}
$of .cached .status{fill:$cached}
$of .failed .status{fill:$failed}
$of .skipped .status,$of .notrun .status{fill:$faint}
""")
_LIGHT: Final = {
    "page": "#ffffff",
    "ink": "#1f2328",
    "faint": "#59636e",
    "line": "#8c959f",
    "box": "#f6f8fa",
    "source": "#eef2ff",
    "ok": "#1a7f37",
    "cached": "#0969da",
    "failed": "#cf222e",
    "failure": "#ffebe9",
}
_DARK: Final = {
    "page": "#0d1117",
    "ink": "#e6edf3",
    "faint": "#9198a1",
    "line": "#6e7681",
    "box": "#161b22",
    "source": "#1c2138",
    "ok": "#3fb950",
    "cached": "#58a6ff",
    "failed": "#f85149",
    "failure": "#2d1618",
}


def style_sheet() -> str:
    """The rules for all pictures; the same in each."""
    of = f".{PICTURE}"
    groups = "".join(f"{of} .g{at}{{fill:{colour};stroke:{colour}}}\n" for at, colour in enumerate(GROUP_COLOURS))
    light, dark = _COLOURS.substitute(_LIGHT, of=of), _COLOURS.substitute(_DARK, of=of)
    shapes = _SHAPES.substitute(of=of, font=_FONT)
    return f"{shapes}{light}@media (prefers-color-scheme:dark){{\n{dark}}}\n{groups}"

"""Pictures of a graph of steps: text for the terminal, Mermaid for pages that draw it, and SVG that needs nothing else.

What is drawn is a value (`Drawing`) that knows no pipeline, so that a picture can be made of anything that
has steps and arrows: before a run, after it, or of a record that was read back.
"""

from crystallize_core.drawing.graph import Arrow, Box, Drawing, Status
from crystallize_core.drawing.mermaid import as_mermaid
from crystallize_core.drawing.svg import as_svg
from crystallize_core.drawing.text import as_text

__all__ = ["Arrow", "Box", "Drawing", "Status", "as_mermaid", "as_svg", "as_text"]

"""What the annotations of two steps say about each other, before either of them runs.

`annotations_of` reads the annotations of a function, `element_of` those of its single outputs, `mismatch` compares what
one step produces with what the next expects, and `fails_check` looks at a value while it is passed on.
"""

from __future__ import annotations

from crystallize_core.annotations.compare import mismatch
from crystallize_core.annotations.forms import UNKNOWN, written
from crystallize_core.annotations.outputs import element_of
from crystallize_core.annotations.read import annotations_of
from crystallize_core.annotations.values import fails_check

__all__ = ["UNKNOWN", "annotations_of", "element_of", "fails_check", "mismatch", "written"]

"""From one root seed to the numbers of each cell and step.

**The wish.** Every step of every replicate draws numbers of its own, and these depend on nothing but the root
seed and the *name* of the place: not on the executor, the number of workers, which replicate finished first,
how much another step drew, whether a step came from the cache, which attempt this is, or how many replicates
there are in all, so that replicates 0 to 9 stay what they were when somebody asks for 100.

**What does not work.**

* One stream that goes through the whole run: whoever draws first shifts everybody else.
* `root + replicate` and the like: neighbouring seeds of neighbouring runs are the same seeds (run 7 replicate 1
  is run 8 replicate 0), and a sum leaves no room for conditions and steps.
* `hash((root, replicate, "scale"))`: the hash of a string differs from process to process, and on purpose.
* `SeedSequence.spawn`: it counts its children, so the answer depends on who asked before; and it is numpy's,
  which a step that draws from `random` does not need.
* A number per step by its *position*: a step put in front changes the numbers of all that come behind it.

**The solution.** A path of names is hashed, each name with its length in front so that no two paths have the
same bytes::

    root ── replicate 3 ─┬─────────────────── cell ─┬─ step "split"    ─┬─ 64 bits: the global generators
                         └─ condition "double" ──┘  ├─ step "split#2"   └─ 128 bits: the stream ctx.rng
                            (with common=False)     └─ outside any step

BLAKE2b is the same on every machine and Python, its output is as good as random for all inputs, so neighbouring
replicates get unrelated seeds, and it costs a third of a microsecond per step, because the hash of the root and
of the cell is made once and copied. All conditions of a replicate have the same path unless the user asks
otherwise: they then differ by the treatment and not by luck, which is what makes a paired comparison sharp.
The number of the attempt is *not* part of the path: a second attempt starts from where the first one did.
Both kinds of numbers come from different bytes of one digest, so that the first draw of `ctx.rng` says nothing
about the first draw of `random`.

**Known gaps.** Global generators are shared by everything in a process, see `_globals.py`; the datasource and a
treatment that is a function share one place there, while each has a stream `ctx.rng` of its own. A renamed step
draws other numbers. Generators promise the same bits for ever, but what numpy makes of them (`normal`, `choice`)
may change between its versions.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Final

__all__ = ["Cell", "Path", "path_of"]

_BITS_OF_A_SEED: Final = 63  # fits into a signed 64-bit integer, as databases and other languages have them
_GLOBAL_BYTES: Final = 8
_STREAM_BYTES: Final = 16
_PERSON: Final = b"crystallize.seed"  # 16 bytes: nobody else's hash of the same names is the same


def _part(kind: bytes, name: str) -> bytes:
    """One piece of a path, with lengths in front: no two different paths have the same bytes."""
    text = name.encode("utf-8", "surrogatepass")
    return b"%s:%d:%s," % (kind, len(text), text)


@functools.lru_cache(maxsize=1024)
def _step_part(step: str) -> bytes:
    return _part(b"step", step)


class Path:
    """The beginning of all paths of one root seed."""

    __slots__ = ("_hash",)

    def __init__(self, root: int) -> None:
        self._hash = hashlib.blake2b(
            _part(b"root", format(root, "x")), digest_size=_GLOBAL_BYTES + _STREAM_BYTES, person=_PERSON
        )

    def cell(self, replicate: int, condition: str | None = None) -> Cell:
        """The seeds of one cell; without a condition they are those of all conditions of the replicate."""
        found = self._hash.copy()
        found.update(_part(b"replicate", str(replicate)))
        if condition is not None:
            found.update(_part(b"condition", condition))
        return Cell(found)


@functools.lru_cache(maxsize=8)
def path_of(root: int) -> Path:
    """The path of a root that all cells of a run start from."""
    return Path(root)


class Cell:
    """The seeds of one cell.

    Attributes:
        seed: The number that names this cell's seeds in the record, from 0 to 2**63 - 1.

    """

    __slots__ = ("_hash", "_steps", "seed")

    def __init__(self, path: hashlib.blake2b) -> None:
        self._hash = path
        self._steps: dict[str | None, tuple[int, int]] = {}
        self.seed = int.from_bytes(path.digest()[:_GLOBAL_BYTES], "big") >> (64 - _BITS_OF_A_SEED)

    def of(self, step: str | None) -> tuple[int, int]:
        """The seed for global generators (63 bits) and the seed of the stream (128 bits) of a step.

        Args:
            step: The name of the step within the pipeline, so that of two steps made of one function each
                has its own; None for what runs outside the steps.

        """
        known = self._steps.get(step)
        if known is None:
            place = self._hash.copy()
            place.update(b"outside," if step is None else _step_part(step))
            digest = place.digest()
            known = self._steps[step] = (
                int.from_bytes(digest[:_GLOBAL_BYTES], "big") >> (64 - _BITS_OF_A_SEED),
                int.from_bytes(digest[_GLOBAL_BYTES:], "big"),
            )
        return known

"""Estimators of scikit-learn in the format of skops, which names the types that it builds and runs nothing else."""

from __future__ import annotations

import itertools
import json
import re
import sys
from typing import Any, Final

from crystallize_artifacts.materializers.base import UnsuitableError, check_exact, library
from crystallize_artifacts.materializers.packing import packed, unpacked

__all__ = ["Estimator"]

_SCHEMA: Final = "schema.json"
_NUMBERED: Final = re.compile(r"(\d+)(\.\w+)?")


class Estimator:
    """An estimator, with whatever it was fitted to, made of types that skops trusts.

    One with a type of somebody's own inside is left to the next materializer.
    """

    id = "sklearn.skops"
    suffix = ".skops"
    executes_code = False
    libraries = ("sklearn", "skops", "numpy", "scipy")

    def handles(self, value: object) -> bool:
        """Estimators of scikit-learn and what derives from them."""
        base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
        return base is not None and isinstance(value, base)

    def dump(self, value: Any) -> bytes:
        """The estimator, if it is read back exactly."""
        skops = library("skops.io", install="skops")
        try:
            content = _renumbered(skops.dumps(value))
            untrusted = skops.get_untrusted_types(data=content)
        except Exception as error:
            message = f"skops cannot hold this {type(value).__qualname__}: {error}"
            raise UnsuitableError(message) from error
        if untrusted:
            message = f"skops does not trust {', '.join(map(str, untrusted))}"
            raise UnsuitableError(message)
        check_exact(value, self.load, content)
        return content

    def load(self, content: bytes) -> Any:
        """The estimator; a type that skops does not trust is refused."""
        return library("skops.io", install="skops").loads(content, trusted=[])


def _renumbered(content: bytes) -> bytes:
    """The same with small numbers in place of addresses in memory, which differ from run to run."""
    parts = unpacked(content)
    schema = json.loads(parts.pop(_SCHEMA))
    numbers: dict[str, int] = {}
    files: dict[str, bytes] = {}
    leaves = itertools.count()

    def number(found: str) -> int:
        return numbers.setdefault(found, len(numbers) + 1)

    def walk(part: Any) -> Any:
        if isinstance(part, list):
            return [walk(item) for item in part]
        if not isinstance(part, dict):
            return part
        # Whether two equal texts are one object depends on how they came here, and means nothing.
        mark = f"leaf {next(leaves)}" if part.get("is_json") else None
        return {key: replaced(key, item, mark) for key, item in part.items()}

    def replaced(key: str, item: Any, mark: str | None) -> Any:
        if key == "__id__" and isinstance(item, int):
            return number(mark or str(item))
        if key == "file" and isinstance(item, str) and item in parts:
            whole = _NUMBERED.fullmatch(item)
            name = f"{number(whole[1])}{whole[2] or ''}" if whole else item
            files[name] = parts[item]
            return name
        return walk(item)

    schema = walk(schema)
    if len(files) != len(parts):
        message = "skops wrote a file in a layout that is not known here"
        raise UnsuitableError(message)
    return packed({_SCHEMA: json.dumps(schema).encode(), **files}, compressed=True)

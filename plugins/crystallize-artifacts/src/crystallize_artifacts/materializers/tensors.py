"""Tensors, states and modules of PyTorch."""

from __future__ import annotations

import io
import json
import pickle
import sys
from collections import OrderedDict
from typing import Any, Final

from crystallize_artifacts.materializers.base import UnsuitableError, check_exact, is_exactly, library
from crystallize_artifacts.materializers.packing import packed, unpacked
from crystallize_core.errors import describe

__all__ = ["Module", "State", "Tensors"]

_ONLY: Final = "tensor"
_KIND: Final = "crystallize.kind"
_STATE: Final = "state.pt"
_MODULE: Final = "module.pkl"


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, "Tensor", ()))


class Tensors:
    """A tensor, or a flat table of tensors by name, as safetensors."""

    id = "torch.safetensors"
    suffix = ".safetensors"
    executes_code = False
    libraries = ("torch", "safetensors")

    def handles(self, value: object) -> bool:
        """Plain tensors, and dicts of them by name."""
        return is_exactly(value, "torch", "Tensor") or (
            type(value) in (dict, OrderedDict) and _is_flat(value) and all(map(_is_bare, value.values()))  # type: ignore[attr-defined]  # it is a dict
        )

    def dump(self, value: Any) -> bytes:
        """The tensors, if they are read back exactly: on the CPU, without gradients, sharing no memory."""
        safetensors = library("safetensors.torch", install="safetensors")
        table = {_ONLY: value} if _is_tensor(value) else dict(value)
        kind = "tensor" if _is_tensor(value) else type(value).__name__
        about = {_KIND: json.dumps({"kind": kind, "keys": list(table)})}  # it sorts them by itself
        try:
            content: bytes = safetensors.save(table, about)
        except Exception as error:  # not contiguous, shared, sparse: it says which in words of its own
            message = f"safetensors cannot hold this: {error}"
            raise UnsuitableError(message) from error
        check_exact(value, self.load, content)
        return content

    def load(self, content: bytes) -> Any:
        """The tensor or table, on the CPU."""
        table = library("safetensors.torch", install="safetensors").load(content)
        about = json.loads(_metadata(content)[_KIND])
        if about["kind"] == "tensor":
            return table[_ONLY]
        kind = OrderedDict if about["kind"] == "OrderedDict" else dict
        return kind((key, table[key]) for key in about["keys"])


class State:
    """Tensors and parameters in any nesting of dicts, lists and tuples, as `torch.save` writes them.

    They are read with `weights_only=True`, which builds tensors and containers and runs nothing else.
    """

    id = "torch.state"
    suffix = ".pt"
    executes_code = False
    libraries = ("torch",)

    def handles(self, value: object) -> bool:
        """Tensors, and containers with a tensor at the first place where one can be; the rest is found out on the way."""
        return _is_tensor(value) or (type(value) in (dict, OrderedDict, list, tuple) and _holds_tensor(value))

    def dump(self, value: Any) -> bytes:
        """The state, if it is read back without running code."""
        try:
            content = _saved(value)
            self.load(content)
        except Exception as error:
            message = f"torch cannot read this back without running code: {describe(error)}"
            raise UnsuitableError(message) from error
        return content

    def load(self, content: bytes) -> Any:
        """The state, on the CPU."""
        return library("torch").load(io.BytesIO(content), map_location="cpu", weights_only=True)


class Module:
    """A whole module: its state, which can be read without running code, and a pickle of the module itself."""

    id = "torch.module"
    suffix = ".module.zip"
    executes_code = True
    libraries = ("torch",)

    def handles(self, value: object) -> bool:
        """Modules."""
        base = getattr(sys.modules.get("torch.nn"), "Module", None)
        return base is not None and isinstance(value, base)

    def dump(self, value: Any) -> bytes:
        """Both; `state.pt` is for those who have the class and want the weights only."""
        try:
            return packed({_STATE: _saved(value.state_dict()), _MODULE: pickle.dumps(value, protocol=5)})
        except Exception as error:
            message = f"this module cannot be pickled ({describe(error)})"
            raise UnsuitableError(message) from error

    def load(self, content: bytes) -> Any:
        """The module. Only for content whose signature was checked."""
        return pickle.loads(unpacked(content)[_MODULE])  # noqa: S301 - its signature was checked


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    library("torch").save(value, buffer)
    return buffer.getvalue()


def _is_flat(value: Any) -> bool:
    return bool(value) and all(type(key) is str for key in value) and not getattr(value, "__dict__", None)


def _is_bare(value: object) -> bool:
    return is_exactly(value, "torch", "Tensor") and not getattr(value, "requires_grad", True)


def _holds_tensor(value: Any, depth: int = 0) -> bool:
    """Whether there is a tensor inside, as far as a short look tells."""
    if _is_tensor(value):
        return True
    if depth > 8 or type(value) not in (dict, OrderedDict, list, tuple):  # noqa: PLR2004 - a short look
        return False
    items = list(value.values() if isinstance(value, dict) else value)
    return any(_holds_tensor(item, depth + 1) for item in items[:1000])


def _metadata(content: bytes) -> dict[str, str]:
    """The table of texts in the head of a file of safetensors: its length in 8 bytes, and then JSON."""
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return found

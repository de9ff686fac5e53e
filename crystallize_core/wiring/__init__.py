"""What fills the parameters of steps, and in which order steps run: decided before anything runs."""

from crystallize_core.wiring.fills import Fill, WiredGuard, WiredStep
from crystallize_core.wiring.names import unique_names
from crystallize_core.wiring.wire import Sources, Wiring, is_chain, wire

__all__ = [
    "Fill",
    "Sources",
    "WiredGuard",
    "WiredStep",
    "Wiring",
    "is_chain",
    "unique_names",
    "wire",
]

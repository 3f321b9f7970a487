"""What this process has room for: memory, bodies of requests, time of the event loop, descriptors."""

from .bodies import BodyBudget
from .descriptors import most_connections, raise_descriptors
from .loop_lag import LoopLag
from .memory import MemoryGate, memory_limit
from .refusals import Reason, Refusals

__all__ = [
    "BodyBudget",
    "LoopLag",
    "MemoryGate",
    "Reason",
    "Refusals",
    "memory_limit",
    "most_connections",
    "raise_descriptors",
]

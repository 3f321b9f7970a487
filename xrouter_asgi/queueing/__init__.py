"""Calls that wait for one another: slots, a fair queue, an adaptive limit."""

from .adaptive import AdaptiveLimit
from .slots import Slot, Slots

__all__ = ["AdaptiveLimit", "Slot", "Slots"]

"""Limits and the stores that count them."""

from .base import Charge, LimitStatus, LimitStore, Reservation
from .limit import Limit, Per, Unit
from .memory import MemoryLimits
from .prices import Price, Prices
from .redis import RedisLimits, WhenUnavailable
from .rules import FindSubject, Limits

__all__ = [
    "Charge",
    "FindSubject",
    "Limit",
    "LimitStatus",
    "LimitStore",
    "Limits",
    "MemoryLimits",
    "Per",
    "Price",
    "Prices",
    "RedisLimits",
    "Reservation",
    "Unit",
    "WhenUnavailable",
]

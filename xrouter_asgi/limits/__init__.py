"""Limits and the stores that count them, and the prices that limits of money need."""

from .base import Charge, Counted, LimitStatus, LimitStore, Reservation
from .limit import Limit, Per, Period, Unit
from .memory import MemoryLimits
from .periods import Calendar, Span
from .prices import Number, Price, Prices, Rate
from .redis import RedisLimits, WhenUnavailable
from .rules import FindSubject, Limits

__all__ = [
    "Calendar",
    "Charge",
    "Counted",
    "FindSubject",
    "Limit",
    "LimitStatus",
    "LimitStore",
    "Limits",
    "MemoryLimits",
    "Number",
    "Per",
    "Period",
    "Price",
    "Prices",
    "Rate",
    "RedisLimits",
    "Reservation",
    "Span",
    "Unit",
    "WhenUnavailable",
]

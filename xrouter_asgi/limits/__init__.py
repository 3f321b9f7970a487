"""Limits and the stores that count them."""

from .base import LimitStore
from .limit import Limit
from .memory import MemoryLimits
from .redis import RedisLimits

__all__ = ["Limit", "LimitStore", "MemoryLimits", "RedisLimits"]

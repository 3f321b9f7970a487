"""Limits and the budgets that keep them."""

from .base import Limit, LimitStore
from .memory import MemoryLimits
from .redis import RedisLimits

__all__ = ["Limit", "LimitStore", "MemoryLimits", "RedisLimits"]

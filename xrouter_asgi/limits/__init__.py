"""Limits and the budgets that keep them."""

from .base import Budget, Limit
from .memory import MemoryBudget
from .redis import RedisBudget

__all__ = ["Budget", "Limit", "MemoryBudget", "RedisBudget"]

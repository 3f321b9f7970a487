"""Responses that are kept for requests which refer to them, and where."""

from .base import ResponseStore
from .memory import MemoryResponses
from .redis import RedisResponses

__all__ = ["MemoryResponses", "RedisResponses", "ResponseStore"]

"""The hinge: bytes become typed calls, typed replies become bytes."""

from .router import LLMRouter
from .table import ModelTable

__all__ = ["LLMRouter", "ModelTable"]

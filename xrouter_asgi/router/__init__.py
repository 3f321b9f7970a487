"""The hinge: bytes become typed calls, typed replies become bytes."""

from .chat_call import ChatCall
from .router import LLMRouter
from .table import ModelTable

__all__ = ["ChatCall", "LLMRouter", "ModelTable"]

"""Any upstream that speaks OpenAI's API."""

from .options import OpenAIOptions
from .provider import OpenAIProvider

__all__ = ["OpenAIOptions", "OpenAIProvider"]

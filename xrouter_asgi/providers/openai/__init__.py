"""Any upstream that speaks OpenAI's API."""

from .options import OpenAIOptions
from .provider import OpenAIProvider, has_responses

__all__ = ["OpenAIOptions", "OpenAIProvider", "has_responses"]

"""Any upstream that speaks OpenAI's API."""

from .provider import OpenAIProvider

__all__ = ["OpenAIProvider"]

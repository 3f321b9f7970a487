"""Any upstream that speaks Anthropic's Messages API."""

from .options import AnthropicOptions
from .provider import BASE_URL, AnthropicProvider

__all__ = ["BASE_URL", "AnthropicOptions", "AnthropicProvider"]

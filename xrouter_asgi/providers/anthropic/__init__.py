"""Any upstream that speaks Anthropic's Messages API."""

from .events import MessageEvents
from .options import AnthropicOptions
from .provider import BASE_URL, AnthropicProvider

__all__ = ["BASE_URL", "AnthropicOptions", "AnthropicProvider", "MessageEvents"]

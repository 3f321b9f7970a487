"""`POST /v1/messages`, Anthropic's Messages API, over any provider."""

from .dialect import MESSAGES

__all__ = ["MESSAGES"]

"""Who is calling: a key in the headers, or a principal of the host's own."""

from .middleware import APIKeyMiddleware, Identify
from .refusal import OnError

__all__ = ["APIKeyMiddleware", "Identify", "OnError"]

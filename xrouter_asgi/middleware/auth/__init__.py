"""Who is calling: the holder of a key, or a principal of the host's own."""

from .middleware import APIKeyMiddleware, Caller, Identify

__all__ = ["APIKeyMiddleware", "Caller", "Identify"]

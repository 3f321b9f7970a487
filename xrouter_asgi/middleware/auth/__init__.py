"""Who is calling: the holder of a key, or a principal of the host's own."""

from .caller import Caller, Permissions
from .middleware import APIKeyMiddleware, Identify

__all__ = ["APIKeyMiddleware", "Caller", "Identify", "Permissions"]

"""How much a caller may ask for: requests, tokens, and requests at the same time."""

from .middleware import RateLimitMiddleware

__all__ = ["RateLimitMiddleware"]

"""The outer onion: ASGI middlewares. Each works alone, around any application."""

from .admission import AdmissionMiddleware
from .auth import APIKeyMiddleware, Caller, Identify
from .docs import DocsMiddleware
from .rate_limit import RateLimitMiddleware
from .request_events import RequestEventsMiddleware
from .tracing import TracingMiddleware

__all__ = [
    "APIKeyMiddleware",
    "AdmissionMiddleware",
    "Caller",
    "DocsMiddleware",
    "Identify",
    "RateLimitMiddleware",
    "RequestEventsMiddleware",
    "TracingMiddleware",
]

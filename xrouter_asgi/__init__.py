"""An LLM gateway made of ASGI parts. Here is what one mounts with; the folders hold the rest, each by its purpose."""

from typing import TYPE_CHECKING

from .alerts import Alerts
from .context import Principal, RequestContext
from .errors import XRouterError
from .hosting import as_response, in_process
from .keys import APIKey, MemoryKeyStore, StaticKeys
from .limits import MemoryLimits, Price, Prices, RedisLimits
from .middleware import (
    AdmissionMiddleware,
    APIKeyMiddleware,
    RateLimitMiddleware,
    RequestEventsMiddleware,
    TracingMiddleware,
)
from .policies import (
    Candidate,
    Capabilities,
    CircuitBreaker,
    Concurrency,
    Deadline,
    Fallback,
    Hedge,
    Patience,
    Prebuffer,
    Retry,
    Timeout,
    resilient,
    stack,
)
from .providers import (
    BringYourOwnKey,
    Call,
    EchoProvider,
    GigaChatProvider,
    OpenAIProvider,
    Provider,
    Reply,
    Target,
    Wrapper,
)
from .router import LLMRouter
from .telemetry import AccessLog, Metrics, MetricsApp

if TYPE_CHECKING:
    from .keys import SQLKeyStore

__all__ = [
    "APIKey",
    "APIKeyMiddleware",
    "AccessLog",
    "AdmissionMiddleware",
    "Alerts",
    "BringYourOwnKey",
    "Call",
    "Candidate",
    "Capabilities",
    "CircuitBreaker",
    "Concurrency",
    "Deadline",
    "EchoProvider",
    "Fallback",
    "GigaChatProvider",
    "Hedge",
    "LLMRouter",
    "MemoryKeyStore",
    "MemoryLimits",
    "Metrics",
    "MetricsApp",
    "OpenAIProvider",
    "Patience",
    "Prebuffer",
    "Price",
    "Prices",
    "Principal",
    "Provider",
    "RateLimitMiddleware",
    "RedisLimits",
    "Reply",
    "RequestContext",
    "RequestEventsMiddleware",
    "Retry",
    "SQLKeyStore",
    "StaticKeys",
    "Target",
    "Timeout",
    "TracingMiddleware",
    "Wrapper",
    "XRouterError",
    "as_response",
    "in_process",
    "resilient",
    "stack",
]


def __getattr__(name: str) -> object:
    # Its import is slow, and needs an extra: see `keys`.
    if name == "SQLKeyStore":
        from .keys import SQLKeyStore

        return SQLKeyStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

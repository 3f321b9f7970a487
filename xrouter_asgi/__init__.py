"""An LLM gateway made of ASGI parts."""

from importlib import import_module
from typing import TYPE_CHECKING

from .alerts import (
    Alert,
    Alerts,
    CircuitsOpen,
    CredentialRefused,
    ErrorShare,
    LimitsDegraded,
    QuotaUsedUp,
    SlowShare,
    Webhook,
)
from .context import Principal, RequestContext, Usage
from .decision import Decision
from .errors import (
    CircuitOpen,
    ConcurrencyExceeded,
    InvalidAPIKey,
    InvalidRequest,
    KeyStoreUnavailable,
    MethodNotAllowed,
    ModelNotFound,
    NotFound,
    NotReady,
    PayloadTooLarge,
    PermissionDenied,
    RateLimitExceeded,
    RequestRejected,
    UnsupportedMediaType,
    UnsupportedOperation,
    UpstreamError,
    UpstreamForbidden,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    XRouterError,
)
from .keys import APIKey, CachedKeys, Hasher, KeyStore, MemoryKeyStore, StaticKeys
from .limits import Limit, LimitStore, MemoryLimits, RedisLimits
from .middleware.auth import APIKeyMiddleware
from .middleware.rate_limit import RateLimitMiddleware
from .middleware.request_events import RequestEventsMiddleware
from .middleware.tracing import TracingMiddleware
from .policies.breaker import CircuitBreaker, CircuitGroup
from .policies.candidates import Candidate, Capabilities, Price
from .policies.concurrency import Concurrency
from .policies.fallback import Fallback
from .policies.hedge import Hedge, HedgeBudget
from .policies.prebuffer import Prebuffer
from .policies.retry import Retry
from .policies.retry_budget import RetryBudget
from .policies.stack import Patience, resilient, stack
from .policies.strategies import by_weight, in_order, lowest_cost, two_choices
from .policies.timeout import Deadline, Timeout
from .policies.upstream_state import UpstreamState
from .providers.base import Body, Call, Provider, Reply, Request
from .providers.echo import EchoProvider
from .providers.gigachat import GigaChatProvider
from .providers.gigachat import Options as GigaChatOptions
from .providers.http import Timeouts
from .providers.openai import OpenAIProvider
from .providers.own_key import BringYourOwnKey
from .providers.target import Target
from .queueing.adaptive import AdaptiveLimit
from .queueing.slots import Slots
from .router.router import LLMRouter
from .router.table import ModelTable
from .telemetry.access_log import AccessLog, LineBuffer
from .telemetry.metrics import Metrics
from .telemetry.otlp import otlp_metric_reader, otlp_tracer_provider
from .telemetry.prometheus import MetricsApp
from .wire import ChatChunk, ChatCompletion, ChatRequest, EmbeddingList, EmbeddingsRequest, ModelList
from .wire.stream import ChatStream

if TYPE_CHECKING:
    from .keys import SQLKeyStore

__all__ = [
    "APIKey",
    "APIKeyMiddleware",
    "AccessLog",
    "AdaptiveLimit",
    "Alert",
    "Alerts",
    "Body",
    "BringYourOwnKey",
    "CachedKeys",
    "Call",
    "Candidate",
    "Capabilities",
    "ChatChunk",
    "ChatCompletion",
    "ChatRequest",
    "ChatStream",
    "CircuitBreaker",
    "CircuitGroup",
    "CircuitOpen",
    "CircuitsOpen",
    "Concurrency",
    "ConcurrencyExceeded",
    "CredentialRefused",
    "Deadline",
    "Decision",
    "EchoProvider",
    "EmbeddingList",
    "EmbeddingsRequest",
    "ErrorShare",
    "Fallback",
    "GigaChatOptions",
    "GigaChatProvider",
    "Hasher",
    "Hedge",
    "HedgeBudget",
    "InvalidAPIKey",
    "InvalidRequest",
    "KeyStore",
    "KeyStoreUnavailable",
    "LLMRouter",
    "Limit",
    "LimitStore",
    "LimitsDegraded",
    "LineBuffer",
    "MemoryKeyStore",
    "MemoryLimits",
    "MethodNotAllowed",
    "Metrics",
    "MetricsApp",
    "ModelList",
    "ModelNotFound",
    "ModelTable",
    "NotFound",
    "NotReady",
    "OpenAIProvider",
    "Patience",
    "PayloadTooLarge",
    "PermissionDenied",
    "Prebuffer",
    "Price",
    "Principal",
    "Provider",
    "QuotaUsedUp",
    "RateLimitExceeded",
    "RateLimitMiddleware",
    "RedisLimits",
    "Reply",
    "Request",
    "RequestContext",
    "RequestEventsMiddleware",
    "RequestRejected",
    "Retry",
    "RetryBudget",
    "SQLKeyStore",
    "Slots",
    "SlowShare",
    "StaticKeys",
    "Target",
    "Timeout",
    "Timeouts",
    "TracingMiddleware",
    "UnsupportedMediaType",
    "UnsupportedOperation",
    "UpstreamError",
    "UpstreamForbidden",
    "UpstreamQuotaExceeded",
    "UpstreamRateLimited",
    "UpstreamState",
    "UpstreamTimeout",
    "UpstreamUnauthorized",
    "UpstreamUnavailable",
    "Usage",
    "Webhook",
    "XRouterError",
    "by_weight",
    "in_order",
    "lowest_cost",
    "otlp_metric_reader",
    "otlp_tracer_provider",
    "resilient",
    "stack",
    "two_choices",
]

_LAZY = {"SQLKeyStore": "keys"}
"""What needs an extra, and where it is. Imported by who asks for it, since it is heavy or may not be installed."""


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)

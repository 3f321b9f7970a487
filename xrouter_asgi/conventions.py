"""The one table of names for spans and metrics.

Those of `http.*`, `url.*`, `client.*`, `server.*` and `network.*` are stable in OpenTelemetry's semantic conventions.
Those of `gen_ai.*` are still in development there (open-telemetry/semantic-conventions-genai), and the constants of the
Python package are marked as deprecated: when they change, this file does. What has no name there is `xrouter.*`.
"""

from __future__ import annotations

from asyncio import CancelledError
from typing import Final

from .errors import RequestRejected, XRouterError

SCOPE: Final = "xrouter_asgi"
"""Who measures: the instrumentation scope."""

# Attributes of spans and, where their values are few, labels of metrics.
HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
URL_SCHEME: Final = "url.scheme"
URL_PATH: Final = "url.path"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
CLIENT_ADDRESS: Final = "client.address"
PROTOCOL_VERSION: Final = "network.protocol.version"
ERROR_TYPE: Final = "error.type"

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_KIND: Final = "gen_ai.token.type"

REQUEST_ID: Final = "xrouter.request.id"
PRINCIPAL: Final = "xrouter.principal.id"
ENDPOINT: Final = "xrouter.endpoint"
COMPLETE: Final = "xrouter.complete"
CONFIG_VERSION: Final = "xrouter.config.version"
STRATEGY: Final = "xrouter.strategy"
CANDIDATES: Final = "xrouter.candidates"
EXCLUDED: Final = "xrouter.excluded"
WAITED: Final = "xrouter.waited"
TARGET: Final = "xrouter.target"
REASON: Final = "xrouter.reason"
COOLDOWN_KIND: Final = "xrouter.cooldown.kind"

# Metrics; the numbers of attempts and hedges of one request are attributes of its span as well.
OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
OPERATION_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
USAGE: Final = "gen_ai.client.token.usage"
REQUESTS: Final = "xrouter.requests"
REQUESTS_IN_FLIGHT: Final = "xrouter.requests.in_flight"
REQUEST_DURATION: Final = "xrouter.request.duration"
REQUEST_OVERHEAD: Final = "xrouter.request.overhead"
REQUEST_FIRST_OUTPUT: Final = "xrouter.request.time_to_first_token"
ATTEMPTS: Final = "xrouter.attempts"
ATTEMPTS_IN_FLIGHT: Final = "xrouter.attempts.in_flight"
RETRIES: Final = "xrouter.retries"
HEDGES: Final = "xrouter.hedges"
EXCLUSIONS: Final = "xrouter.exclusions"
CIRCUIT_STATE: Final = "xrouter.circuit.state"
CIRCUIT_OPENED: Final = "xrouter.circuit.opened"
COOLDOWNS: Final = "xrouter.upstream.cooldowns"
LIMITER_DEGRADED: Final = "xrouter.limiter.degraded"
REFUSALS: Final = "xrouter.refusals"
LIMITER_BACKLOG: Final = "xrouter.limiter.backlog"
LOOP_LAG: Final = "xrouter.event_loop.lag"

SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
"""Bounds of buckets for durations of models, as the conventions give them: 10 ms to 82 s."""
SHORT: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Bounds of buckets, in seconds, for what should be next to nothing."""
TOKENS: Final = tuple(4**power for power in range(14))
"""Bounds of buckets for tokens, as the conventions give them: 1 to 67 million."""

_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})


def known_method(method: str) -> str:
    """The method, or `_OTHER` for one that a client made up."""
    return method if method in _METHODS else "_OTHER"


def operation(endpoint: str | None) -> str:
    """The conventions' name of what an endpoint that asks a model does: a chat, in whatever dialect."""
    return endpoint if endpoint == "embeddings" else "chat"


def error_type(error: BaseException) -> str:
    """One word of few for what went wrong; never a message, which may hold what a client or an upstream said."""
    if isinstance(error, RequestRejected):
        return "request_rejected"  # its code is the upstream's own
    if isinstance(error, XRouterError):
        return error.code or error.type
    if isinstance(error, CancelledError):
        return "cancelled"
    return type(error).__name__

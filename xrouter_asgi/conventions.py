"""The one table of names for spans and for labels of metrics; those of the metrics are in `telemetry/definitions.py`.

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
CACHE_RESULT: Final = "xrouter.cache.result"
PROMPT_CACHE: Final = "xrouter.prompt_cache.operation"
COOLDOWN_KIND: Final = "xrouter.cooldown.kind"

# Attributes of spans, and metrics of the same name.
ATTEMPTS: Final = "xrouter.attempts"
HEDGES: Final = "xrouter.hedges"

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

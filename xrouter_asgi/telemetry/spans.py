"""The spans of one request, and what they say, whoever makes them.

    POST chat                  SERVER   unless the host has such a span already; the decision, tokens, who served
      chat gpt-4o-2024-08-06   CLIENT   one attempt: provider, model, what it failed with
      chat local-qwen3         CLIENT   the next one

They hold who, which, how much and how long; never a prompt, an answer, a header or a query string.
"""

from __future__ import annotations

from typing import Protocol

from starlette.types import Scope

from .. import conventions as names
from ..asgi.exchange import Exchange
from ..context import RequestContext
from ..decision import MOST_NAMED, Attempt, Decision
from ..errors import XRouterError
from .otlp_json import Attributes

_LONGEST = 256  # characters of what a client chose


class RequestSpans(Protocol):
    """The spans of one request that is traced."""

    def end(self, error: BaseException | None) -> None:
        """End what still runs, with the error that the application raised. Raises nothing itself."""


class Tracer(Protocol):
    """Begins the spans of requests."""

    def begin(self, scope: Scope, exchange: Exchange, *, propagate: bool) -> RequestSpans | None:
        """The spans of this request; None when nobody wants any. Raises nothing.

        It sets `trace_id` and `propagate` of the request's context.

        Args:
            propagate: Continue the trace that the client names, and name ours to the upstreams.
        """


def server_name(scope: Scope, place: str | None = None) -> str:
    """The name of the SERVER span. `place` is the endpoint or the route, once it is known."""
    method = names.known_method(scope.get("method", "GET"))
    method = "HTTP" if method == "_OTHER" else method
    return f"{method} {place}" if place else method


def place_of(scope: Scope, context: RequestContext) -> str | None:
    return context.endpoint or _route(scope)


def of_request(scope: Scope, context: RequestContext) -> Attributes:
    """What is known about a request when it begins."""
    address, port = scope.get("server") or (None, None)
    client = scope.get("client")
    return {
        names.HTTP_METHOD: names.known_method(scope.get("method", "GET")),
        names.URL_SCHEME: scope.get("scheme", "http"),
        names.URL_PATH: scope["path"][:_LONGEST],
        names.PROTOCOL_VERSION: scope.get("http_version", "1.1"),
        names.SERVER_ADDRESS: address,
        names.SERVER_PORT: port,
        names.CLIENT_ADDRESS: client[0] if client else None,
    }


def of_answer(scope: Scope, status: int | None, error: str | None) -> Attributes:
    """What is known about it at the end, beside `of_call` and `of_decision`."""
    return {names.HTTP_STATUS: status, names.HTTP_ROUTE: _route(scope), names.ERROR_TYPE: error}


def of_call(context: RequestContext) -> Attributes:
    """Who asked which model, who served, and what it took."""
    asked, usage, served = bool(context.attempts), context.usage, context.decision.served
    first = None if served is None or not context.streamed else served.first
    return {
        names.REQUEST_ID: context.request_id,
        names.PRINCIPAL: None if context.principal is None else context.principal.id,
        names.OPERATION: names.operation(context.endpoint) if asked else None,
        names.REQUEST_MODEL: None if context.model is None else context.model[:_LONGEST],
        names.REQUEST_STREAM: context.streamed if asked else None,
        names.PROVIDER: context.provider,
        names.RESPONSE_MODEL: (context.upstream_model or "")[:_LONGEST] or None,
        names.FIRST_CHUNK: None if first is None else first - context.attempts[0].started,
        names.INPUT_TOKENS: usage and usage.prompt_tokens,
        names.OUTPUT_TOKENS: usage and usage.completion_tokens,
        names.CACHED_TOKENS: usage and usage.cached_tokens,
        names.WAITED: sum(context.decision.waits) if asked else None,
    }


def of_decision(decision: Decision) -> Attributes:
    """Why the request went where it went."""
    return {
        names.CONFIG_VERSION: decision.version,
        names.STRATEGY: decision.strategy,
        names.CANDIDATES: tuple([each.name for each in decision.candidates[:MOST_NAMED]]) or None,
        names.EXCLUDED: None if decision.is_trivial else _excluded(decision),
        names.ATTEMPTS: len(decision.attempts) or None,
        names.HEDGES: decision.hedges or None,
    }


def _excluded(decision: Decision) -> tuple[str, ...] | None:
    return tuple([f"{name}: {why}" for name, why in decision.excluded.items()]) or None


def attempt_name(context: RequestContext, attempt: Attempt) -> str:
    """The name of a CLIENT span."""
    return f"{names.operation(context.endpoint)} {attempt.model[:_LONGEST]}"


def of_attempt(context: RequestContext, attempt: Attempt) -> Attributes:
    """What is known about an attempt when it begins."""
    return {
        names.OPERATION: names.operation(context.endpoint),
        names.PROVIDER: attempt.provider,
        names.REQUEST_MODEL: attempt.model[:_LONGEST],
    }


def of_outcome(context: RequestContext, attempt: Attempt) -> Attributes:
    """What is known about it at the end."""
    first = attempt.first if context.streamed else None
    return {
        names.FIRST_CHUNK: None if first is None else first - attempt.started,
        names.ERROR_TYPE: None if attempt.error is None else names.error_type(attempt.error),
    }


def failure(context: RequestContext, status: int | None, error: BaseException | None) -> str | None:
    """The `error.type` of the SERVER span; None if the server did not fail.

    The client's mistake is no failure of the server (OpenTelemetry, HTTP spans, "Status").
    """
    error = error or context.error
    if error is not None and not (isinstance(error, XRouterError) and error.status < 500):
        return names.error_type(error)
    return str(status) if status is not None and status >= 500 else None


def _route(scope: Scope) -> str | None:
    # Left there by the router of Starlette or FastAPI.
    route = getattr(scope.get("route"), "path", None)
    return route if isinstance(route, str) else None

"""What operations of the OpenAPI document share: tags, ways to bring a key, headers, examples of errors."""

from __future__ import annotations

from typing import Any, Final

from ... import envelopes
from ...errors import (
    InvalidAPIKey,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    NotReady,
    PayloadTooLarge,
    PermissionDenied,
    RateLimitExceeded,
    UnsupportedMediaType,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamQuotaExceeded,
    UpstreamTimeout,
    XRouterError,
)

TAGS: Final = {
    "Chat": "OpenAI's chat completions, and the older completions.",
    "Responses": "OpenAI's Responses: items in, items out, and what is kept of them.",
    "Messages": "Anthropic's Messages.",
    "Embeddings": "Texts as vectors.",
    "Models": "What can be called.",
    "Usage": "What a key has used.",
    "Health": "For whoever watches the process.",
}

_KEY = "The gateway's key, if it wants one. The three ways are equal; several of them must bring the same key."
SECURITY: Final[dict[str, dict[str, str]]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": _KEY},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": _KEY},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key", "description": _KEY},
    "x-provider-key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-provider-key",
        "description": "The caller's own credential for the upstream, where the operator allows it (`own_key`).",
    },
}


def _header(description: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind, **more}}


_LIMIT = "Behind limits: {} of the narrowest limit of {}."
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "x-request-id": _header("The id of this request in logs: the client's own if it is a good one."),
    "request-id": _header("The same, where Anthropic's clients look for it."),
    "x-content-type-options": _header("A browser takes no answer for a page.", enum=["nosniff"]),
    "x-xrouter-provider": _header("The provider that answered."),
    "x-xrouter-model": _header("The name of the model there."),
    "x-xrouter-attempts": _header("How many attempts were made: retries, fallbacks and hedges count.", "integer"),
    "x-xrouter-cost": _header("Where there are prices: what a whole answer cost, such as `0.00123 USD`."),
    "x-xrouter-budget-limit": _header("The budget with least left, such as `20 USD`."),
    "x-xrouter-budget-remaining": _header("What is left of it."),
    "x-xrouter-budget-reset": _header("When all of it is there again, by RFC 3339."),
    "x-xrouter-cache": _header("Models with a cache: where the answer comes from.", enum=["hit", "miss", "bypass"]),
    "x-xrouter-explain": _header("How the request was routed, as JSON, where it is allowed and asked for."),
    "x-xrouter-warnings": _header("What was ignored or changed, such as `seed_ignored`, separated by commas."),
    **{
        f"x-ratelimit-{what}-{unit}": _header(_LIMIT.format(words, unit))
        for unit in ("requests", "tokens")
        for what, words in (
            ("limit", "the number"),
            ("remaining", "what is left"),
            ("reset", "the time until all is free"),
        )
    },
    "x-ratelimit-scope": _header("`local` while each process keeps limits by itself.", enum=["local"]),
    "ratelimit": _header("Where the operator wants it: how far limits are used up, by the IETF's draft."),
    "ratelimit-policy": _header("The same for what the limits are."),
    "retry-after": _header("Seconds after which a repetition makes sense, where it is known.", "integer", minimum=1),
    "retry-after-ms": _header("The same in milliseconds.", "integer", minimum=1),
    "x-should-retry": _header("Obeyed by OpenAI's clients where the status misleads.", enum=["true", "false"]),
    "www-authenticate": _header("How to bring a key, and what was wrong with this one (RFC 6750)."),
    "allow": _header("The methods of this path."),
}

_ALWAYS = ("x-request-id", "x-content-type-options")
_ROUTED = tuple(name for name in HEADERS if name.startswith("x-xrouter-"))
_LIMITED = tuple(name for name in HEADERS if "ratelimit" in name)
_AGAIN = ("retry-after", "retry-after-ms", "x-should-retry")
_BY_STATUS: Final = {
    401: ("www-authenticate",),
    403: ("www-authenticate",),
    405: ("allow",),
    429: (*_AGAIN, *_LIMITED),
    502: _AGAIN,
    503: _AGAIN,
    529: _AGAIN,
}


def headers(status: int, *, asks: bool = False, anthropic: bool = False) -> dict[str, Any]:
    """The headers of an answer with this status; `asks` for operations that ask a model."""
    names = [*_ALWAYS, *(["request-id"] if anthropic else []), *_BY_STATUS.get(status, ())]
    if asks:
        names += [*_ROUTED, *_LIMITED] if status == 200 else ["x-xrouter-attempts"]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


ERRORS: Final[dict[int, XRouterError]] = {
    400: InvalidRequest("Missing required parameter: 'model'.", code="missing_required_parameter", param="model"),
    401: InvalidAPIKey("The API key is not valid."),
    402: UpstreamQuotaExceeded("The account behind this model is used up."),
    403: PermissionDenied("This key may not use the model 'assistant'.", param="model"),
    404: ModelNotFound("assistant"),
    405: MethodNotAllowed("Not allowed to PUT on this path. Use POST.", allow="POST"),
    413: PayloadTooLarge("The body is larger than 33554432 bytes."),
    415: UnsupportedMediaType("The body is compressed. Send it as it is."),
    429: RateLimitExceeded("The limit of 60 requests a minute is reached. Please try again in 3s.", retry_after=3),
    500: XRouterError("The gateway failed. Please report the request id."),
    502: UpstreamError("The upstream failed."),
    503: NotReady("This process is shutting down. Send the request again."),
    504: UpstreamTimeout("The upstream did not begin to answer in time.", code="first_byte_timeout"),
    529: UpstreamOverloaded("The upstream has no capacity now."),
}
"""An error for each status; Anthropic's clients know some by another status."""


def told(status: int, envelope: envelopes.Envelope) -> dict[str, Any]:
    """How a client is told the example of a status."""
    _, _, body = envelope(ERRORS[status], "req_0123456789abcdef")
    return body

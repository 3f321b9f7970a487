"""How each kind of client is told an error: the status, the headers, and the body as a JSON object.

`RequestContext.envelope` holds the one that the client of a request understands. `send_error` of `asgi/responses.py`
writes it, so no other part builds the body of an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from .errors import XRouterError

Envelope: TypeAlias = Callable[[XRouterError, str], tuple[int, list[tuple[bytes, bytes]], dict[str, Any]]]
"""An error and the id of its request to status, headers and body."""

# Anthropic's statuses where they differ from OpenAI's, by code.
_STATUSES = {"insufficient_quota": 402, "upstream_overloaded": 529}
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_NUMBERS = re.compile(r"maximum context length is (\d+) tokens\b.*?\b(\d+) tokens\b", re.DOTALL)


def openai(error: XRouterError, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], dict[str, Any]]:
    """OpenAI's envelope. Its SDKs read the request's id from the header `x-request-id`, so the body lacks it."""
    body = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return error.status, error.headers(), {"error": body}


def anthropic(error: XRouterError, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], dict[str, Any]]:
    """Anthropic's envelope. It has no `param`, so the message names the parameter."""
    status = _STATUSES.get(error.code or "", error.status)
    kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    message = error.message
    if error.code == "context_length_exceeded":
        message = _too_long(message)
    elif error.param is not None and error.param not in message:
        message = f"{error.param}: {message}"
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    return status, error.headers(), body


def _too_long(message: str) -> str:
    """Claude Code compacts a conversation when it reads these words."""
    if found := _NUMBERS.search(message):
        most, given = found.groups()
        return f"prompt is too long: {given} tokens > {most} maximum"
    return f"prompt is too long: {message}"

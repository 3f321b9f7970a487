"""How each kind of client is told an error: the status, the headers, and the body as a JSON object.

`RequestContext.envelope` holds the one that the client of a request understands. `send_error` of `asgi/responses.py`
writes it, so no other part builds the body of an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .errors import XRouterError

Envelope: TypeAlias = Callable[[XRouterError, str], tuple[int, list[tuple[bytes, bytes]], dict[str, Any]]]
"""An error and the id of its request to status, headers and body."""


def openai(error: XRouterError, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], dict[str, Any]]:
    """OpenAI's envelope. Its SDKs read the request's id from the header `x-request-id`, so the body lacks it."""
    body = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return error.status, error.headers(), {"error": body}

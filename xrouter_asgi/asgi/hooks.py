"""Functions of the host that we call: how they say no, and what is wrong with them.

A host says no in the words of its framework, by an `HTTPException`. Starlette's, of which FastAPI's is a subclass, and
Litestar's have a `status_code`, a `detail` and `headers`. They are known by these, so that no framework is imported.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Coroutine, Mapping
from http.client import responses

from ..context import RequestContext
from ..errors import XRouterError
from .responses import Headers, header

_OURS = frozenset({"content-encoding", "content-length", "content-type", "transfer-encoding"})  # the envelope's
_TYPES = {429: "requests", 503: "service_unavailable_error"}

logger = logging.getLogger("xrouter")


class HostRefusal(XRouterError):
    """An `HTTPException` of the host, with its status and its headers. `detail` is the message for the client."""

    def __init__(self, status: int, message: str, headers: Headers) -> None:
        kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        super().__init__(message, status=status, type=kind)
        self._headers = headers

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [*super().headers(), *self._headers]


def host_refusal(error: Exception) -> HostRefusal | None:
    """The exception as an error of ours; None if it is no `HTTPException`, or has a status that refuses nothing."""
    if not (hasattr(error, "status_code") and hasattr(error, "detail") and hasattr(error, "headers")):
        return None
    status, headers = error.status_code, error.headers or {}
    if not isinstance(status, int) or not isinstance(headers, Mapping):
        return None
    if not 300 <= status <= 599 or status == 304:  # a 304 has no body for the envelope (RFC 9110, 15.4.5)
        return None
    fields = [header(name.lower(), value) for name, value in headers.items() if name.lower() not in _OURS]
    return HostRefusal(int(status), _message(status, error.detail), fields)


def failure(what: str, error: Exception, context: RequestContext) -> XRouterError:
    """What to tell a client whose request met a function of the host that raised.

    Args:
        what: Says in the log what failed, if the exception is no `HTTPException`. Then the client gets a 500: the
            host's own error page may show more than a stranger may see.
    """
    if (refusal := host_refusal(error)) is not None:
        return refusal
    logger.error(what, exc_info=error, extra=context.facts)
    return _internal(context)


def mistake(function: str, wanted: str, given: object, context: RequestContext) -> XRouterError:
    """What to tell a client whose request met a function of the host that returned something of a wrong type.

    The log gets one line, without the value, which may be a secret, and without a traceback: no line of it is to blame.
    """
    kind = type(given).__name__
    if isinstance(given, Coroutine):
        given.close()  # or Python would warn that nobody awaited it
        kind += ", which nobody awaits: write 'def', not 'async def'"
    logger.error("TypeError: '%s' must return %s, and returned a %s.", function, wanted, kind, extra=context.facts)
    return _internal(context)


def _internal(context: RequestContext) -> XRouterError:
    return XRouterError(f"An internal error happened. Tell the operator the id {context.request_id}.")


def _message(status: int, detail: object) -> str:
    """The detail, which FastAPI lets be any JSON; what the status means if there is none."""
    if detail and isinstance(detail, str):
        return detail
    if detail:
        return json.dumps(detail, ensure_ascii=False, default=str)
    return responses.get(status) or "The request was refused."

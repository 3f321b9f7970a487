"""What GigaChat says when it refuses or fails -> the errors of this package.

Its envelope is `{"status": 404, "message": "No such model"}`. Token endpoints and older stands say `code` or
`status_code`, and the balancers in front of it answer with pages of HTML. `blame` reads the words before the status
decides, as for every upstream. Rows of GigaChat's own come first.
"""

from __future__ import annotations

import re
from typing import Any

import httpx

from ....errors import (
    ModelNotFound,
    RequestRejected,
    UpstreamError,
    UpstreamForbidden,
    UpstreamOverloaded,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    XRouterError,
)
from ...http import MAX_MESSAGE, REJECTIONS, Blame, ErrorReader, UpstreamErrorBody, blame, retry_after
from ..headers import upstream_ids

_HOSTS = (
    "GigaChat-3 models are served by api.giga.chat only, first-generation and -preview models by "
    "gigachat.devices.sberbank.ru only."
)
_STOP_EVENT = re.compile(r"temporarily unavailable due to technical reasons", re.IGNORECASE)

# Which parameter the words are about. The first match counts, because calls in a history name functions too.
_PARAMS = (
    (re.compile(r"response_format|json_schema|json format type", re.IGNORECASE), "response_format"),
    (re.compile(r"reasoning_effort"), "reasoning_effort"),
    (re.compile(r"repetition_penalty"), "repetition_penalty"),
    (re.compile(r"function (call|result)\b|system message|\bmessages?\b|attachment", re.IGNORECASE), "messages"),
    (re.compile(r"\bfunctions?\b|\btools?\b|Field 'properties", re.IGNORECASE), "tools"),
    (re.compile(r"\btemperature\b"), "temperature"),
    (re.compile(r"\btop_p\b"), "top_p"),
    (re.compile(r"\bmax_tokens\b"), "max_tokens"),
)


class ModelUnavailable(UpstreamUnavailable):
    """GigaChat took the model out of service for a while (a "stop event"): asking again at once does not help."""

    status = 503
    type = "service_unavailable_error"
    code = "model_unavailable"
    retryable = False


def upstream_error(
    status: int, headers: httpx.Headers, body: bytes, *, model: str, errors: ErrorReader
) -> XRouterError:
    """The error for an answer other than 200 to a request for `model`."""
    error = _error(status, errors.read(body), model=model, errors=errors, wait=retry_after(headers))
    ids = upstream_ids(headers)
    shown = ", ".join(value for _, value in ids)
    return error.but(upstream_ids=ids, detail=f"{error.detail} Its ids: {shown}." if shown else error.detail)


def event_error(event: dict[str, Any], *, model: str, errors: ErrorReader) -> XRouterError | None:
    """The error in a document with status 200: an event of a stream, or a whole answer. None if it is no error."""
    if event.get("choices") or not ({"error", "message", "status", "status_code", "code"} & event.keys()):
        return None
    said = errors.read_value(event)
    return _error(said.status or 500, said, model=model, errors=errors, wait=None)


def describe(status: int, said: UpstreamErrorBody) -> str:
    """What GigaChat answered, in a line for the log."""
    if said.page is not None:
        words = f"a page titled '{said.page}'"
    else:
        words = f"'{(said.logged or said.message)[:200]}'" if said.message else "no words"
    return f"GigaChat answered {status} with {words}."


def _sentence(said: UpstreamErrorBody, otherwise: str) -> str:
    """The message for a client: GigaChat's own words, or else these. It leaves room for a hint below `MAX_MESSAGE`."""
    text = f"GigaChat: {said.message or otherwise}".encode()[: MAX_MESSAGE - 384].decode("utf-8", "ignore")
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _error(
    status: int, said: UpstreamErrorBody, *, model: str, errors: ErrorReader, wait: float | None
) -> XRouterError:
    error = _blamed(status, said, model, wait or said.wait, errors.ruling(status, said))
    advice = " Check 'base_url'." if error.code == "upstream_not_found" else ""
    return error.but(detail=f"{describe(status, said)}{advice}")


def _blamed(status: int, said: UpstreamErrorBody, model: str, wait: float | None, ruled: Blame | None) -> XRouterError:
    if status < 400:
        return UpstreamError(f"GigaChat: it answered with the unexpected status {status}.")
    if ruled is None and (status == 423 or (status == 403 and _STOP_EVENT.search(said.message or ""))):
        return ModelUnavailable(_sentence(said, "the model is temporarily unavailable"))
    match ruled or blame(status, said):
        case "credential":
            return UpstreamUnauthorized("GigaChat: the gateway's credentials were refused.")
        case "quota":
            hint = "The tokens for this model are used up, or the tariff does not include it."
            return UpstreamQuotaExceeded(f"{_sentence(said, 'payment is required')} {hint}")
        case "rate":
            wait = wait or 1.0
            message = _sentence(said, "too many requests")
            if said.wait is None:
                message += f" Please try again in {wait:g}s."
            return UpstreamRateLimited(message, retry_after=wait)
        case "overloaded":
            return UpstreamOverloaded(_sentence(said, "it is overloaded"), retry_after=wait)
        case "unavailable":
            return _failed(status, said, wait)
        case "forbidden":
            return _forbidden(said)
        case "model_gone":
            missing = f"The model `{model[:64]}` does not exist or you do not have access to it."
            return ModelNotFound(model, f"{_sentence(said, 'no such model')} {missing} {_HOSTS}")
        case "context":
            return _too_long(status, said)
    return _rejected(status, said)


def _failed(status: int, said: UpstreamErrorBody, wait: float | None) -> XRouterError:
    message = _sentence(said, f"it failed with status {status}")
    if status == 503:
        kind = "service_unavailable_error"
        return UpstreamUnavailable(message, code="upstream_unavailable", type=kind, status=503, retry_after=wait)
    if status == 408:
        return UpstreamTimeout(_sentence(said, "it did not answer in time"), retryable=True)
    if status == 504:
        return UpstreamTimeout(message, retryable=True)
    if status >= 500:
        return UpstreamUnavailable(message, code="upstream_error", retry_after=wait)
    return UpstreamUnavailable(message, code="upstream_error", should_retry=False, retryable=False, trips=False)


def _forbidden(said: UpstreamErrorBody) -> XRouterError:
    if said.page is not None:
        # A firewall, or a path that does not exist: a matter for the operator, not for the caller.
        message = "GigaChat: access was denied before the request reached the model."
        return UpstreamForbidden(message, status=502, type="server_error", code="upstream_forbidden")
    return UpstreamForbidden(_sentence(said, "permission denied"))


def _too_long(status: int, said: UpstreamErrorBody) -> RequestRejected:
    message = _sentence(said, f"the request was refused with status {status}")
    return RequestRejected(message, code="context_length_exceeded", param="messages")


def _rejected(status: int, said: UpstreamErrorBody) -> XRouterError:
    if status == 404 and not said.message:
        message = "GigaChat: what was asked for does not exist there."
        return UpstreamError(message, code="upstream_not_found", trips=False)
    if status == 413:
        return _too_long(status, said)
    message = _sentence(said, "not found" if status == 404 else f"the request was refused with status {status}")
    param = next((param for pattern, param in _PARAMS if pattern.search(said.message or "")), None)
    if status == 422:
        return RequestRejected(message, code="upstream_validation_failed", param=param)
    if status not in REJECTIONS | {404}:
        status = 400  # what a rule says to be the caller's, whatever GigaChat says
    return RequestRejected(message, status=status, param=None if status == 404 else param)

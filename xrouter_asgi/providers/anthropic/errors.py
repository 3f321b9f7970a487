"""What an upstream says when it refuses or fails -> the errors of this package.

The envelope is `{"type": "error", "error": {"type", "message"}, "request_id"}`, whole or as the event `error`. `blame`
reads its words before the status decides, as for every upstream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...errors import (
    ModelNotFound,
    RequestRejected,
    UpstreamError,
    UpstreamForbidden,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
    XRouterError,
)
from ..http import REJECTIONS, Blame, ErrorReader, UpstreamErrorBody, about_the_account, blame, retry_after

REQUEST_ID = "x-anthropic-request-id"

_NOTHING: Mapping[str, str] = {}
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

# https://docs.claude.com/en/api/errors; for errors that come under status 200 or inside a stream.
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def upstream_ids(headers: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """The id by which Anthropic's support finds a request."""
    request_id = headers.get("request-id", "")
    return [(REQUEST_ID, request_id)] if _ID.fullmatch(request_id) else []


def refusal(
    status: int | None,
    said: UpstreamErrorBody,
    *,
    model: str,
    errors: ErrorReader,
    headers: Mapping[str, str] = _NOTHING,
) -> XRouterError:
    """The error for what an upstream said.

    Args:
        status: 400 or more. None for an error without a status of its own, such as an event: its type implies one.
        model: Which model was asked for.
        headers: Of the answer, lower-case names; read for how long to wait, whether to retry, and the request's id.
    """
    status = status or said.status or _STATUSES.get(said.type or "", 500)
    ruled = errors.ruling(status, said)
    kind = ruled or blame(status, said)
    wait = retry_after(headers) or said.wait
    error = _about_us(kind, status, said, wait) or _about_the_request(
        kind, status, said, model, known=ruled is not None
    )
    retry = {"true": True, "false": False}.get(headers.get("x-should-retry", ""))
    ids = upstream_ids(headers)
    shown = "".join(f" Its id: {request_id}." for _, request_id in ids)
    detail = f"status {status}: {said.type or '-'}: {said.logged or said.message or '-'}{shown}"
    told = {} if retry is None or error.should_retry is not None else {"should_retry": retry}
    return error.but(detail=detail, upstream_ids=ids, **told)


def _about_us(kind: Blame, status: int, said: UpstreamErrorBody, wait: float | None) -> XRouterError | None:
    """The error for what the caller has nothing to do with."""
    match kind:
        case "credential" | "quota":
            return about_the_account(kind)
        case "rate":
            message = said.message or "The upstream's rate limit is reached. Try again later."
            return UpstreamRateLimited(message, retry_after=wait)
        case "overloaded":
            return UpstreamOverloaded(said.message or "The upstream is overloaded. Try again later.", retry_after=wait)
        case "unavailable":
            return _trouble(status, said, wait)
    return None


def _trouble(status: int, said: UpstreamErrorBody, wait: float | None) -> UpstreamError:
    if said.page is not None and status >= 500:
        return UpstreamUnavailable("The upstream answered with a web page.", code="bad_body", retry_after=wait)
    message = said.message or f"The upstream failed with status {status}."
    if status == 504:
        return UpstreamTimeout(message, retryable=True)
    if status == 503:
        kind = "service_unavailable_error"
        return UpstreamUnavailable(message, code="upstream_unavailable", type=kind, status=503, retry_after=wait)
    if status >= 500:
        return UpstreamUnavailable(message, code="upstream_error", retry_after=wait)
    may_pass = status in (408, 409)  # any other 4xx is likely to come again
    should_retry = None if may_pass else False
    return UpstreamUnavailable(
        message, code="upstream_error", retryable=may_pass, should_retry=should_retry, trips=False
    )


def _about_the_request(kind: Blame, status: int, said: UpstreamErrorBody, model: str, *, known: bool) -> XRouterError:
    """The error for what the caller can change, in the upstream's words.

    Args:
        known: Whether a rule of the operator's says that it is the caller's.
    """
    if said.page is not None and not known:
        return UpstreamError("The upstream answered with a web page.", code="bad_body")  # before the API answered
    match kind:
        case "model_gone":
            message = said.message
            if message is not None and model not in message:
                message = f"The upstream says about the model `{model[:256]}`: {message}"
            return ModelNotFound(model, message)
        case "context":
            message = said.message or "The request is longer than this model's context."
            return RequestRejected(message, code="context_length_exceeded", param="messages")
        case "forbidden":
            message = said.message or "The upstream does not allow this gateway to do that."
            return UpstreamForbidden(message, status=502, type="server_error", code="upstream_forbidden")
        case "caller" if status == 404 and not known:
            message = said.message or "The upstream does not know this operation."
            return UpstreamError(message, code="upstream_not_found", should_retry=False, trips=False)
    message = said.message or f"The upstream refused the request with status {status} and did not say why."
    return RequestRejected(message, status=status if status in REJECTIONS else 400)

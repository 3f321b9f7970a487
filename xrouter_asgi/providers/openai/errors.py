"""What an OpenAI-compatible upstream says when it refuses or fails -> the errors of this package.

The caller's fault keeps the upstream's words, because clients match on them ("maximum context length is", "try again in
9.8s"). Trouble with our account or the upstream's health gets our words, and the upstream's go into `detail`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...errors import (
    ModelNotFound,
    RequestRejected,
    UpstreamError,
    UpstreamForbidden,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    XRouterError,
)
from ..http import UpstreamErrorBody, retry_after

_NOTHING: Mapping[str, str] = {}
_CONTEXT_LENGTH = re.compile(
    r"(?:maximum|available) context|context[ _](?:length|window)|prompt is too long", re.IGNORECASE
)
_MODERATION = re.compile(r"moderation|content[ _](?:policy|filter)|cyber_policy|flagged", re.IGNORECASE)

_KEY_TROUBLE = {"invalid_api_key", "authentication_error", "invalid_authentication", "unauthorized"}
_QUOTA_TROUBLE = {"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached", "billing_error"}

# For errors that come under status 200 or inside a stream, without a number of their own.
_STATUSES = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "requests": 429,
    "tokens": 429,
    "model_not_found": 404,
    "not_found_error": 404,
    "permission_error": 403,
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "service_unavailable_error": 503,
    "server_is_overloaded": 503,
    "overloaded_error": 529,
    "timeout_error": 504,
    **dict.fromkeys(_KEY_TROUBLE, 401),
    **dict.fromkeys(_QUOTA_TROUBLE, 402),
}


def refusal(
    status: int | None, said: UpstreamErrorBody, *, model: str, headers: Mapping[str, str] = _NOTHING
) -> XRouterError:
    """The error for what an upstream said.

    Args:
        status: 400 or more. None for an error without a status of its own, such as an event: its words imply one.
        model: Which model was asked for.
        headers: Of the answer, lower-case names; read for how long to wait and whether to retry.
    """
    status = status or implied_status(said)
    detail = f"status {status}: {said.type or '-'}/{said.code or '-'}: {said.message or '-'}"
    words = {said.code, said.type}
    if status == 401 or (status < 500 and words & _KEY_TROUBLE):
        return UpstreamUnauthorized("The upstream refused this gateway's credentials.", detail=detail)
    if status == 402 or (status < 500 and words & _QUOTA_TROUBLE):
        return UpstreamQuotaExceeded("The quota of this gateway's account at the upstream is used up.", detail=detail)
    if status in (408, 409, 429) or status >= 500:
        return _trouble(status, said, headers, detail)
    if said.page is not None:
        return _web_page(UpstreamError, detail)  # something before the API answered
    return _callers_fault(status, said, model, detail)


def implied_status(said: UpstreamErrorBody) -> int:
    """The status that such an error would have had as an answer of its own; 500 when nothing tells."""
    known = (_STATUSES.get(word) for word in (said.code, said.type) if word is not None)
    return said.status or next(filter(None, known), 500)


def _trouble(status: int, said: UpstreamErrorBody, headers: Mapping[str, str], detail: str) -> UpstreamError:
    """The error for trouble of the upstream's own, which may pass."""
    wait = retry_after(headers)
    retry = {"true": True, "false": False}.get(headers.get("x-should-retry", ""))
    if status == 429:
        return UpstreamRateLimited(
            said.message or "The upstream's rate limit is reached. Try again later.",
            type=said.type if said.type in ("requests", "tokens", "rate_limit_error") else None,
            code=said.code if said.code == "slow_down" else None,
            retry_after=wait,
            should_retry=retry,
            detail=detail,
        )
    if status == 504:
        return UpstreamTimeout("The upstream's own time ran out.", should_retry=retry, retryable=True, detail=detail)
    if said.page is not None:
        return _web_page(UpstreamUnavailable, detail)
    if status in (503, 529):
        code = "upstream_overloaded" if status == 529 else "upstream_unavailable"
        return UpstreamUnavailable(
            "The upstream is overloaded or down for a while. Try again later.",
            status=503,
            type="service_unavailable_error",
            code=code,
            retry_after=wait,
            should_retry=retry,
            detail=detail,
        )
    message = f"The upstream failed with status {status}."
    return UpstreamUnavailable(
        message,
        code="upstream_error",
        retry_after=wait,
        should_retry=retry,
        trips=status >= 500,  # 408 and 409 concern this request alone
        detail=detail,
    )


def _callers_fault(status: int, said: UpstreamErrorBody, model: str, detail: str) -> XRouterError:
    if said.code == "model_not_found" or (status == 404 and "model" in (said.message or "").lower()):
        return ModelNotFound(model, said.message, detail=detail)
    if status == 404:
        message = "The upstream does not know this operation."
        return UpstreamError(message, code="upstream_not_found", should_retry=False, trips=False, detail=detail)
    if status == 403 and not any(_MODERATION.search(word or "") for word in (said.code, said.type, said.message)):
        message = "The upstream does not allow this gateway to do that."
        return UpstreamForbidden(message, status=502, type="server_error", code="upstream_forbidden", detail=detail)
    too_long = said.code == "context_length_exceeded" or _CONTEXT_LENGTH.search(said.message or "")
    if too_long and status in (400, 413, 422):
        message = said.message or "The request is longer than this model's context."
        return RequestRejected(message, code="context_length_exceeded", param="messages", detail=detail)
    return RequestRejected(
        said.message or f"The upstream refused the request with status {status} and did not say why.",
        status=status,
        code=said.code,
        param=said.param,
        detail=detail,
    )


def _web_page(kind: type[UpstreamError], detail: str) -> UpstreamError:
    return kind("The upstream answered with a web page.", code="bad_body", detail=detail)

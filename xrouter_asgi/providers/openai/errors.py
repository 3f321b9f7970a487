"""What an OpenAI-compatible upstream says when it refuses or fails -> the errors of this package.

The upstream's own words reach the client, redacted: clients match on them ("maximum context length is", "try again in
9.8s"). Only trouble with our credentials and our account gets our words. The upstream's words always go into `detail`.
"""

from __future__ import annotations

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
from ..http import UpstreamErrorBody, blame, retry_after

_NOTHING: Mapping[str, str] = {}
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
    detail = f"status {status}: {said.type or '-'}/{said.code or '-'}: {said.logged or said.message or '-'}"
    match blame(status, said):
        case "credential":
            return UpstreamUnauthorized("The upstream refused this gateway's credentials.", detail=detail)
        case "quota":
            message = "The quota of this gateway's account at the upstream is used up."
            return UpstreamQuotaExceeded(message, detail=detail)
        case "rate":
            return _rate_limited(said, headers, detail)
        case "overloaded":
            return _overloaded(said, headers, detail, code="upstream_overloaded")
        case "unavailable":
            return _trouble(status, said, headers, detail)
        case _ if said.page is not None:
            return _web_page(UpstreamError, detail)  # something before the API answered
        case "model_gone":
            return ModelNotFound(model, _about_the_model(model, said.message), detail=detail)
        case "context":
            message = said.message or "The request is longer than this model's context."
            return RequestRejected(message, code="context_length_exceeded", param="messages", detail=detail)
        case "forbidden":
            message = said.message or "The upstream does not allow this gateway to do that."
            return UpstreamForbidden(message, status=502, type="server_error", code="upstream_forbidden", detail=detail)
    return _callers_fault(status, said, detail)


def implied_status(said: UpstreamErrorBody) -> int:
    """The status that such an error would have had as an answer of its own; 500 when nothing tells."""
    known = (_STATUSES.get(word) for word in (said.code, said.type) if word is not None)
    return said.status or next(filter(None, known), 500)


def _rate_limited(said: UpstreamErrorBody, headers: Mapping[str, str], detail: str) -> UpstreamError:
    return UpstreamRateLimited(
        said.message or "The upstream's rate limit is reached. Try again later.",
        type=said.type if said.type in ("requests", "tokens", "rate_limit_error") else None,
        code=said.code if said.code == "slow_down" else None,
        retry_after=_wait(said, headers),
        should_retry=_should_retry(headers),
        detail=detail,
    )


def _overloaded(said: UpstreamErrorBody, headers: Mapping[str, str], detail: str, *, code: str) -> UpstreamError:
    if said.page is not None:
        return _web_page(UpstreamUnavailable, detail)
    return UpstreamUnavailable(
        said.message or "The upstream is overloaded or down for a while. Try again later.",
        status=503,
        type="service_unavailable_error",
        code=code,
        retry_after=_wait(said, headers),
        should_retry=_should_retry(headers),
        detail=detail,
    )


def _trouble(status: int, said: UpstreamErrorBody, headers: Mapping[str, str], detail: str) -> UpstreamError:
    """The error for trouble of the upstream's own."""
    if status == 504:
        message = said.message or "The upstream's own time ran out."
        retry = _should_retry(headers)
        return UpstreamTimeout(message, should_retry=retry, retryable=True, detail=detail)
    if status == 503:
        return _overloaded(said, headers, detail, code="upstream_unavailable")
    may_pass = status >= 500 or status in (408, 409)  # any other 4xx is likely to come again
    if said.page is not None and status >= 500:
        return _web_page(UpstreamUnavailable, detail)
    return UpstreamUnavailable(
        said.message or f"The upstream failed with status {status}.",
        code="upstream_error",
        retry_after=_wait(said, headers),
        should_retry=_should_retry(headers) if may_pass else False,
        retryable=may_pass,
        trips=status >= 500,  # a 4xx concerns this request alone
        detail=detail,
    )


def _wait(said: UpstreamErrorBody, headers: Mapping[str, str]) -> float | None:
    return retry_after(headers) or said.wait


def _should_retry(headers: Mapping[str, str]) -> bool | None:
    return {"true": True, "false": False}.get(headers.get("x-should-retry", ""))


def _about_the_model(model: str, message: str | None) -> str | None:
    """The upstream's words about a model that it does not have, together with the model's name."""
    if message is None or model in message or "model `" in message.lower():
        return message
    return f"The upstream says about the model `{model[:256]}`: {message}"


def _callers_fault(status: int, said: UpstreamErrorBody, detail: str) -> XRouterError:
    if status == 404:
        message = said.message or "The upstream does not know this operation."
        return UpstreamError(message, code="upstream_not_found", should_retry=False, trips=False, detail=detail)
    return RequestRejected(
        said.message or f"The upstream refused the request with status {status} and did not say why.",
        status=status,
        code=said.code,
        param=said.param,
        detail=detail,
    )


def _web_page(kind: type[UpstreamError], detail: str) -> UpstreamError:
    return kind("The upstream answered with a web page.", code="bad_body", detail=detail)

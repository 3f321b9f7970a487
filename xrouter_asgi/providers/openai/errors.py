"""What an upstream's refusals mean here: the one place that maps them.

Who is to blame decides. The caller's fault keeps the upstream's words, because clients match on them ("maximum context
length is", "try again in 9.8s"). Whatever concerns our account or the upstream's health is told in words of ours, and
theirs go into `detail`.
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
from ..http import retry_after
from .error_body import Words

_NOTHING: Mapping[str, str] = {}


def refusal(
    status: int, words: Words, *, model: str, headers: Mapping[str, str] = _NOTHING, html: bool = False
) -> XRouterError:
    """The error for a status of 400 or more.

    Args:
        model: Which model was asked for.
        headers: Of the answer, lower-case names; read for how long to wait and whether to retry.
        html: Whether the body is a web page: then something before the API answered.
    """
    detail = f"status {status}: {words}"
    if status == 401 or (status < 500 and words.blames_key):
        return UpstreamUnauthorized("The upstream refused this gateway's credentials.", detail=detail)
    if status == 402 or (status < 500 and words.blames_quota):
        return UpstreamQuotaExceeded("The quota of this gateway's account at the upstream is used up.", detail=detail)
    if status in (408, 409, 429) or status >= 500:
        return _trouble(status, words, headers, html=html, detail=detail)
    if html:
        return _web_page(UpstreamError, detail)
    return _callers_fault(status, words, model, detail)


def _trouble(status: int, words: Words, headers: Mapping[str, str], *, html: bool, detail: str) -> UpstreamError:
    """Of the upstream's own, and for another time."""
    wait, retry = retry_after(headers), should_retry(headers)
    if status == 429:
        return UpstreamRateLimited(
            words.message or "The upstream's rate limit is reached. Try again later.",
            type=words.type if words.type in ("requests", "tokens", "rate_limit_error") else None,
            code=words.code if words.code == "slow_down" else None,
            retry_after=wait,
            should_retry=retry,
            detail=detail,
        )
    if status == 504:
        return UpstreamTimeout("The upstream's own time ran out.", should_retry=retry, retryable=True, detail=detail)
    if html:
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


def _callers_fault(status: int, words: Words, model: str, detail: str) -> XRouterError:
    if words.code == "model_not_found" or (status == 404 and "model" in (words.message or "").lower()):
        return ModelNotFound(model, words.message, detail=detail)
    if status == 404:
        message = "The upstream does not know this operation."
        return UpstreamError(message, code="upstream_not_found", should_retry=False, trips=False, detail=detail)
    if status == 403 and not words.blames_content:
        message = "The upstream does not allow this gateway to do that."
        return UpstreamForbidden(message, status=502, type="server_error", code="upstream_forbidden", detail=detail)
    if words.blames_length and status in (400, 413, 422):
        message = words.message or "The request is longer than this model's context."
        return RequestRejected(message, code="context_length_exceeded", param="messages", detail=detail)
    return RequestRejected(
        words.message or f"The upstream refused the request with status {status} and did not say why.",
        status=status,
        code=words.code,
        param=words.param,
        detail=detail,
    )


def _web_page(kind: type[UpstreamError], detail: str) -> UpstreamError:
    return kind("The upstream answered with a web page.", code="bad_body", detail=detail)


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """What `x-should-retry` says, if anything."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", ""))

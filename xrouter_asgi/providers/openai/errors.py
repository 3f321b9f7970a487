"""What an OpenAI-compatible upstream says when it refuses or fails -> the errors of this package.

The upstream's own words reach the client, redacted: clients match on them ("maximum context length is", "try again in
9.8s"). Only trouble with our credentials and our account gets our words. The upstream's words always go into `detail`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    status: int | None,
    said: UpstreamErrorBody,
    *,
    model: str,
    errors: ErrorReader,
    headers: Mapping[str, str] = _NOTHING,
) -> XRouterError:
    """The error for what an upstream said.

    Args:
        status: 400 or more. None for an error without a status of its own, such as an event: its words imply one.
        model: Which model was asked for.
        errors: Knows the rules about this upstream.
        headers: Of the answer, lower-case names; read for how long to wait and whether to retry.
    """
    status = status or implied_status(said)
    detail = f"status {status}: {said.type or '-'}/{said.code or '-'}: {said.logged or said.message or '-'}"
    ruled = errors.ruling(status, said)
    match ruled or blame(status, said):
        case "rate":
            return _rate_limited(said, headers, detail)
        case "overloaded":
            return _overloaded(said, headers, detail)
        case "unavailable":
            return _trouble(status, said, headers, detail)
        case "credential" | "quota" as kind:
            return about_the_account(kind).but(detail=detail)
        case _ if said.page is not None and ruled is None:
            return _web_page(UpstreamError, detail)  # something before the API answered
        case "caller" if status == 404 and ruled is None:
            message = said.message or "The upstream does not know this operation."
            return UpstreamError(message, code="upstream_not_found", should_retry=False, trips=False, detail=detail)
        case kind:
            return _about_the_request(kind, status, said, model, detail)


def is_error(value: dict[str, Any]) -> bool:
    """Whether an object is an error, in an envelope or flat, instead of an answer."""
    if value.get("error"):
        return True
    if choices := value.get("choices"):
        return isinstance(choices, list) and isinstance(choices[0], dict) and isinstance(choices[0].get("error"), dict)
    if isinstance(told := value.get("base_resp"), dict) and told.get("status_code"):
        return True  # MiniMax
    if value.get("choices") is not None:
        return False
    if "message" in value and ("status" in value or "code" in value):
        return True
    return value.get("data") is None and _is_soft_failure(value)


def _is_soft_failure(value: dict[str, Any]) -> bool:
    """Whether an object without an answer tells a failure as FastAPI, Cloudflare or relays do, under status 200."""
    if value.get("success") is False or value.get("errors"):
        return True
    if isinstance(value.get("detail"), str | list | dict) and value["detail"]:
        return True
    code = value.get("code", value.get("error_code"))  # the latter is Baidu's
    return ("msg" in value or "error_msg" in value) and code not in (None, 0, 200, "", "0", "200")


def implied_status(said: UpstreamErrorBody) -> int:
    """The status that such an error would have had as an answer of its own; 500 when nothing tells."""
    known = (_STATUSES.get(word) for word in (said.code, said.type) if word is not None)
    return said.status or next(filter(None, known), 500)


def _about_the_request(kind: Blame, status: int, said: UpstreamErrorBody, model: str, detail: str) -> XRouterError:
    match kind:
        case "model_gone":
            return ModelNotFound(model, _about_the_model(model, said.message), detail=detail)
        case "context":
            message = said.message or "The request is longer than this model's context."
            return RequestRejected(message, code="context_length_exceeded", param="messages", detail=detail)
        case "forbidden":
            message = said.message or "The upstream does not allow this gateway to do that."
            return UpstreamForbidden(message, status=502, type="server_error", code="upstream_forbidden", detail=detail)
    return RequestRejected(
        said.message or f"The upstream refused the request with status {status} and did not say why.",
        status=status if status in REJECTIONS else 400,
        code=said.code,
        param=said.param,
        detail=detail,
    )


def _rate_limited(said: UpstreamErrorBody, headers: Mapping[str, str], detail: str) -> UpstreamError:
    return UpstreamRateLimited(
        said.message or "The upstream's rate limit is reached. Try again later.",
        type=said.type if said.type in ("requests", "tokens", "rate_limit_error") else None,
        code=said.code if said.code == "slow_down" else None,
        retry_after=_wait(said, headers),
        should_retry=_should_retry(headers),
        detail=detail,
    )


def _overloaded(said: UpstreamErrorBody, headers: Mapping[str, str], detail: str) -> UpstreamError:
    return UpstreamOverloaded(
        said.message or "The upstream is overloaded. Try again later.",
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
    may_pass = status >= 500 or status in (408, 409)  # any other 4xx is likely to come again
    if said.page is not None and status >= 500:
        return _web_page(UpstreamUnavailable, detail).but(retry_after=_wait(said, headers))
    down = status == 503
    return UpstreamUnavailable(
        said.message or f"The upstream failed with status {status}.",
        status=503 if down else None,
        type="service_unavailable_error" if down else None,
        code="upstream_unavailable" if down else "upstream_error",
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


def _web_page(kind: type[UpstreamError], detail: str) -> UpstreamError:
    return kind("The upstream answered with a web page.", code="bad_body", detail=detail)

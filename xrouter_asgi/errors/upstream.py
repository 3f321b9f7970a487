"""What an upstream did wrong."""

from __future__ import annotations

from typing import ClassVar

from .base import CooldownKind, XRouterError


class UpstreamError(XRouterError):
    """The upstream failed, or answered what is no answer."""

    status = 502
    code = "upstream_error"
    trips = True
    falls_back = True


class UpstreamUnauthorized(UpstreamError):
    """The upstream refused *our* credentials: for the client a 502, never a 401."""

    code = "upstream_auth_failed"
    should_retry = False
    trips = False
    cooldown_kind = "credential"


class UpstreamForbidden(UpstreamError):
    """The contract behind our credentials does not cover this model or method: another upstream's may."""

    status = 403
    type = "invalid_request_error"
    code = "permission_denied"
    should_retry = False
    trips = False


class UpstreamRateLimited(UpstreamError):
    status = 429
    type = "requests"
    code = "rate_limit_exceeded"
    retryable = True
    trips = False
    cooldown_kind: ClassVar[CooldownKind | None] = "rate"


class ConcurrencyExceeded(UpstreamRateLimited):
    """As many calls are under way as the upstream bears. It was not asked, so nothing about it is known."""

    code = "concurrency_limit"
    retryable = False
    cooldown_kind = None


class UpstreamQuotaExceeded(UpstreamError):
    """The account behind the upstream is out of money or tokens."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    should_retry = False
    trips = False
    cooldown_kind = "quota"


class UpstreamUnavailable(UpstreamError):
    """No connection, a connection that broke, or an upstream that says it is down."""

    code = "upstream_unreachable"
    retryable = True


class UpstreamOverloaded(UpstreamUnavailable):
    """The upstream has no capacity now."""

    status = 503
    type = "service_unavailable_error"
    code = "upstream_overloaded"
    cooldown_kind = "overloaded"


class UpstreamTimeout(UpstreamError):
    """`code` names which clock ran out: connect, first_byte, idle or total, each with `_timeout`."""

    status = 504
    code = "upstream_timeout"


class CircuitOpen(UpstreamError):
    """The upstream kept failing, or told us to wait, and is left alone for a while. It was not asked."""

    status = 503
    type = "service_unavailable_error"
    code = "circuit_open"
    trips = False

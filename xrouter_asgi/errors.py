"""One family of errors.

    XRouterError                     status   code                       retry   trips   falls back
    ├── InvalidRequest               400      see openai's literals      no      no      no
    │   ├── UnsupportedOperation     400      unsupported_parameter      no      no      no
    │   └── RequestRejected          theirs   the upstream's own         no      no      no
    ├── InvalidAPIKey                401      invalid_api_key            no      no      no
    ├── PermissionDenied             403      permission_denied          no      no      no
    ├── ModelNotFound                404      model_not_found            no      no      yes
    ├── NotFound                     404      null                       no      no      no
    ├── MethodNotAllowed             405      method_not_supported       no      no      no
    ├── PayloadTooLarge              413      payload_too_large          no      no      no
    ├── UnsupportedMediaType         415      unsupported_media_type     no      no      no
    ├── RateLimitExceeded            429      rate_limit_exceeded        no      no      no
    ├── NotReady                     503      not_ready                  no      no      no
    ├── KeyStoreUnavailable          503      store_unavailable          no      no      no
    └── UpstreamError                502      upstream_error             no      yes     yes
        ├── UpstreamUnauthorized     502      upstream_auth_failed       no      no      yes
        ├── UpstreamForbidden        403      permission_denied          no      no      yes
        ├── UpstreamRateLimited      429      rate_limit_exceeded        yes     no      yes
        │   └── ConcurrencyExceeded  429      concurrency_limit          no      no      yes
        ├── UpstreamQuotaExceeded    429      insufficient_quota         no      no      yes
        ├── UpstreamUnavailable      502      upstream_unreachable       yes     yes     yes
        │   └── UpstreamOverloaded   503      upstream_overloaded        yes     yes     yes
        ├── UpstreamTimeout          504      upstream_timeout           no      yes     yes
        └── CircuitOpen              503      circuit_open               no      no      yes

The columns are class attributes, so that whoever decides about retries, breakers, metrics and the answer reads the
same facts; an error that differs from its class says so when it is made. `type` and `code` are the literals that
OpenAI's clients match on; where OpenAI has none, `code` is the outcome word of ours (`connect_refused`,
`first_byte_timeout`, …). Messages are read by clients: they never hold an upstream's address, a header, a secret or a
class name. What only an operator may see goes into `detail`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal, Self, TypeAlias

CooldownKind: TypeAlias = Literal["rate", "overloaded", "quota", "credential"]
"""Why nothing is sent to an upstream for a while: we asked too fast, it has no capacity, we may ask for no more, or it
refuses our credential."""


class XRouterError(Exception):
    """Something this gateway answers with an error, in the envelope of `envelopes.py` that the client understands.

    Args:
        message: A sentence for the client.
        code, param, type, status: Replace the class's own.
        retry_after: Seconds after which a repetition makes sense.
        should_retry: What `x-should-retry` tells the client's SDK; None leaves it to the status.
        retryable, trips, falls_back: Replace the class's own.
        detail: For the log only.

    Attributes:
        upstream_ids: Headers by which the upstream's support finds what failed.
    """

    status: int = 500
    type: str = "server_error"
    code: str | None = None
    should_retry: bool | None = None

    retryable: bool = False
    """Whether the same upstream may be asked again."""
    trips: bool = False
    """Whether a circuit breaker counts it."""
    falls_back: bool = False
    """Whether another upstream may be asked instead. Taken back where the caller pays with a credential of its own."""
    cooldown_kind: ClassVar[CooldownKind | None] = None
    """What makes further calls useless for a while, although the upstream is well."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        retryable: bool | None = None,
        trips: bool | None = None,
        falls_back: bool | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.detail = detail
        self.upstream_ids: Sequence[tuple[str, str]] = ()
        own = {"code": code, "type": type, "status": status, "should_retry": should_retry}
        own |= {"retryable": retryable, "trips": trips, "falls_back": falls_back}
        self.__dict__.update((name, value) for name, value in own.items() if value is not None)

    @property
    def tells_to_wait(self) -> bool:
        """Whether the upstream wants to be left alone for a while: it told for how long, or that it is overloaded."""
        return self.retry_after is not None or self.code == "upstream_overloaded"

    def but(self, **changes: object) -> Self:
        """A copy of the error that differs in these attributes: an error that others may hold is never changed."""
        error = type(self).__new__(type(self))
        error.__dict__.update(self.__dict__, **changes)
        error.args = (error.message,)
        error.__cause__ = self.__cause__
        return error

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of this error alone: `retry-after`, `retry-after-ms`, `x-should-retry`, the upstream's ids."""
        headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in self.upstream_ids]
        if self.retry_after is not None:
            # Rounded up and never 0: an early client would only be refused again.
            headers.append((b"retry-after", b"%d" % max(1, math.ceil(self.retry_after))))
            headers.append((b"retry-after-ms", b"%d" % max(1, math.ceil(self.retry_after * 1000))))
        if self.should_retry is not None:
            headers.append((b"x-should-retry", b"true" if self.should_retry else b"false"))
        return headers


class InvalidRequest(XRouterError):
    """The request itself is wrong; repeating it changes nothing."""

    status = 400
    type = "invalid_request_error"


class UnsupportedOperation(InvalidRequest):
    """A parameter, value or operation that the chosen upstream cannot honour."""

    code = "unsupported_parameter"


class RequestRejected(InvalidRequest):
    """The upstream refused what the caller asked for; its own words are the message."""


class InvalidAPIKey(InvalidRequest):
    status = 401
    code = "invalid_api_key"


class PermissionDenied(InvalidRequest):
    status = 403
    code = "permission_denied"


class ModelNotFound(InvalidRequest):
    status = 404
    code = "model_not_found"
    falls_back = True

    def __init__(self, model: str, message: str | None = None, *, detail: str | None = None) -> None:
        # LiteLLM and others match these words.
        name = model[:256]
        text = message or f"The model `{name}` does not exist or you do not have access to it. See GET /v1/models."
        super().__init__(text, param="model", detail=detail)


class NotFound(InvalidRequest):
    status = 404


class MethodNotAllowed(InvalidRequest):
    status = 405
    code = "method_not_supported"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [*super().headers(), (b"allow", self.allow.encode("ascii"))]


class PayloadTooLarge(InvalidRequest):
    status = 413
    code = "payload_too_large"


class UnsupportedMediaType(InvalidRequest):
    status = 415
    code = "unsupported_media_type"


class RateLimitExceeded(XRouterError):
    """A limit of ours. `type` is `requests` or `tokens`."""

    status = 429
    type = "requests"
    code = "rate_limit_exceeded"


class NotReady(XRouterError):
    """This process is draining, or has no room, and takes no new work."""

    status = 503
    type = "service_unavailable_error"
    code = "not_ready"


class KeyStoreUnavailable(XRouterError):
    """Nobody can say whether a key is good: a 503, never a 401, which would make clients throw their key away."""

    status = 503
    type = "service_unavailable_error"
    code = "store_unavailable"


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

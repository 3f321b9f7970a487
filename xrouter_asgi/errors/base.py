"""What every error of the family says of itself."""

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

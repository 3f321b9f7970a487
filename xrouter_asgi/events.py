"""What happens to a request, for those who watch: frozen events, told through `RequestContext.emit`.

An observer is a callable that takes any event and heeds those it knows. It must not block and may not change anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from .context import Attempt, RequestContext
from .errors import CooldownKind, XRouterError

Observer: TypeAlias = Callable[[object], None]


class RequestStarted(NamedTuple):
    """A request came in.

    A tuple, as its end is one: there are two of them for each request, and to make a frozen object takes four times as
    long.
    """

    context: RequestContext


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """An upstream is about to be asked."""

    context: RequestContext
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An upstream's answer was whole, broke off, or was not wanted any more."""

    context: RequestContext
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class AttemptRetried:
    """An attempt failed, and the same upstream will be asked again.

    Attributes:
        retry: Which repetition it will be, counted from 1.
        wait: Seconds until then.
        error: What the attempt failed with.
        target: Which model there, as configured, `provider/model`; empty where nobody said.
    """

    context: RequestContext
    provider: str
    retry: int
    wait: float
    error: XRouterError
    target: str = ""


@dataclass(frozen=True, slots=True)
class CircuitOpened:
    """An upstream failed too often and is left alone.

    Attributes:
        context: The request that was the last straw, as in the events below.
        duration: Seconds until it is tried again.
        target: Which model there, as above.
    """

    context: RequestContext
    provider: str
    duration: float
    target: str = ""


@dataclass(frozen=True, slots=True)
class CircuitHalfOpened:
    """An upstream that was left alone is tried with a few requests."""

    context: RequestContext
    provider: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class CircuitClosed:
    """An upstream is well again."""

    context: RequestContext
    provider: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class CooldownStarted:
    """An upstream is well, but wants no requests from us for a while.

    Attributes:
        cools: What of ours has to rest: a `rate` at the target, anything else at the whole provider.
        duration: Seconds until it is asked again.
        target: Which model told it, as above.
    """

    context: RequestContext
    provider: str
    cooldown_kind: CooldownKind
    duration: float
    target: str = ""


class RequestEnded(NamedTuple):
    """The answer to a client was whole, or was cut off.

    Attributes:
        method, path: As asked; the path is for logs, never for a label.
        status: Of the answer, of a WebSocket that of its handshake; None when the client left before there was one.
        complete: Whether the answer ended as it should, and the client was there to take it.
        duration: Seconds from the ASGI scope to the end.
        first_byte: Seconds until the head of the answer was sent.
        received, sent: Bytes of the bodies.
        client: The address of the peer.
    """

    context: RequestContext
    method: str
    path: str
    status: int | None
    complete: bool
    duration: float
    first_byte: float | None
    received: int
    sent: int
    client: str | None


@dataclass(frozen=True, slots=True)
class LimiterDegraded:
    """The count that processes share is away; this request is the first that is decided without it."""

    context: RequestContext


@dataclass(frozen=True, slots=True)
class LimiterRestored:
    """Limits are exact again, from this request on."""

    context: RequestContext


@dataclass(frozen=True, slots=True)
class ProviderReplaced:
    """New settings are in force and a provider of the old ones is closed, whether or not another has its name.

    It belongs to no request: `ReloadableRouter` tells it.
    """

    provider: str

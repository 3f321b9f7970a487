"""Events: what happens to a request, for observers.

An observer is a callable that takes every event and ignores those it does not know. It must not block, and it must not
change anything. `RequestContext.emit` calls the observers of one request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .context import Attempt, RequestContext
from .errors import CooldownKind, XRouterError

__all__ = [
    "AttemptEnded",
    "AttemptRetried",
    "AttemptStarted",
    "CircuitClosed",
    "CircuitHalfOpened",
    "CircuitOpened",
    "CooldownStarted",
    "LimiterDegraded",
    "LimiterRestored",
    "Observer",
    "ProviderReplaced",
    "RequestEnded",
    "RequestStarted",
]

Observer: TypeAlias = Callable[[object], None]


@dataclass(slots=True)
class RequestStarted:
    """A request has come in."""

    context: RequestContext


@dataclass(slots=True)
class AttemptStarted:
    """A call to an upstream is about to begin."""

    context: RequestContext
    attempt: Attempt


@dataclass(slots=True)
class AttemptEnded:
    """The call to an upstream is over: the answer was whole, it broke off, or nobody wanted it any more."""

    context: RequestContext
    attempt: Attempt


@dataclass(slots=True)
class AttemptRetried:
    """An attempt has failed, and the same upstream will be asked again.

    Attributes:
        retry: The number of the repetition, counted from 1.
        wait: Seconds until the repetition.
        error: What the attempt failed with.
        target: The model at the provider, `provider/model` as configured; empty if the policy was not told.
    """

    context: RequestContext
    provider: str
    retry: int
    wait: float
    error: XRouterError
    target: str = ""


@dataclass(slots=True)
class CircuitOpened:
    """An upstream has failed too often and is not asked for a while.

    Attributes:
        context: The request that opened the circuit. Below, too, it is the request that caused the event.
        duration: Seconds until the upstream is tried again.
        target: As in `AttemptRetried`.
    """

    context: RequestContext
    provider: str
    duration: float
    target: str = ""


@dataclass(slots=True)
class CircuitHalfOpened:
    """An upstream whose circuit was open is tried with a few requests."""

    context: RequestContext
    provider: str
    target: str = ""


@dataclass(slots=True)
class CircuitClosed:
    """An upstream works again."""

    context: RequestContext
    provider: str
    target: str = ""


@dataclass(slots=True)
class CooldownStarted:
    """An upstream works, but refuses our requests for a while.

    Attributes:
        cooldown_kind: Why. A `rate` stops requests to the target, the other kinds stop those to the whole provider.
        duration: Seconds until it is asked again.
        target: The model that refused, as in `AttemptRetried`.
    """

    context: RequestContext
    provider: str
    cooldown_kind: CooldownKind
    duration: float
    target: str = ""


@dataclass(slots=True)
class RequestEnded:
    """A request is over: its answer was whole, or was cut off.

    Attributes:
        method, path: As the client sent them. The path is for logs, never for a label.
        status: Of the answer, or of a WebSocket's handshake; None if the client left before there was one.
        complete: Whether the answer ended as it should, and the client was there to take it.
        duration: Seconds from the ASGI scope to the end.
        first_byte: Seconds from the ASGI scope to the head of the answer; None if there was none.
        received, sent: Bytes of the bodies.
        client: The address of the peer; None if the server names none.
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


@dataclass(slots=True)
class LimiterDegraded:
    """The shared store of limits is away. This request is the first to be decided without it."""

    context: RequestContext


@dataclass(slots=True)
class LimiterRestored:
    """The shared store of limits is back. Limits are exact again, from this request on."""

    context: RequestContext


@dataclass(slots=True)
class ProviderReplaced:
    """New settings are in force, and a provider of the old ones is closed. A new one may have the same name.

    The event belongs to no request: `ReloadableRouter` passes it to its observers.
    """

    provider: str

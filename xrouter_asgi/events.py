"""Events: what happens to a request, for observers.

An observer is a callable that takes every event and ignores those it does not know. It must not block, and it must not
change anything. A `RequestObserver` hears of the ends of requests alone, an `IncidentObserver` also of what goes wrong.
`RequestContext.emit` calls the observers of one request.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .context import Attempt, RequestContext
from .errors import CooldownKind, XRouterError

Observer: TypeAlias = Callable[[object], None]


class RequestObserver(ABC):
    """The base of an observer that hears of `RequestEnded` alone, and costs nothing before."""

    @abstractmethod
    def __call__(self, event: object, /) -> None: ...


class IncidentObserver(ABC):
    """The base of an observer that hears of all but `RequestStarted`, `AttemptStarted` and `AttemptEnded`.

    Before the end of a request that goes well it costs nothing.
    """

    @abstractmethod
    def __call__(self, event: object, /) -> None: ...


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
    """An attempt failed, and the same upstream is asked again: `Retry` tells before the wait, `Fallback` after it."""

    context: RequestContext
    provider: str
    retry: int  # the number of the repetition, counted from 1
    wait: float  # seconds before the repetition
    error: XRouterError
    target: str = ""  # `provider/model` as configured, also below; empty if the policy was not told


@dataclass(slots=True)
class CircuitOpened:
    """An upstream has failed too often and is not asked for a while."""

    context: RequestContext  # the request that caused the event, also below
    provider: str
    duration: float  # seconds until the upstream is tried again
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
    """An upstream works, but refuses our requests for a while."""

    context: RequestContext
    provider: str
    cooldown_kind: (
        CooldownKind  # `rate` and `overloaded` stop requests to the target, the other kinds those to the whole provider
    )
    duration: float  # seconds until it is asked again
    target: str = ""  # the model that refused


@dataclass(slots=True)
class RequestEnded:
    """A request is over: its answer was whole, or was cut off."""

    context: RequestContext
    method: str
    path: str  # as the client sent it: for logs, never for a label
    status: int | None  # of the answer, or of a WebSocket's handshake; None if the client left before there was one
    complete: bool  # the answer ended as it should, and the client was there to take it
    duration: float  # seconds from the ASGI scope to the end
    first_byte: float | None  # seconds from the ASGI scope to the head of the answer; None if there was none
    received: int  # bytes of the bodies, as `sent`
    sent: int
    client: str | None  # the address of the peer; None if the server names none
    running: int = 0  # other requests that the same middleware has not told the end of


@dataclass(slots=True)
class LimiterDegraded:
    """The shared store of limits is away. This request is the first to be decided without it."""

    context: RequestContext


@dataclass(slots=True)
class LimiterRestored:
    """The shared store of limits is back. Limits are exact again, from this request on."""

    context: RequestContext


@dataclass(slots=True)
class BudgetUsed:
    """A budget has 20 % left or less, what running requests have reserved included, or has refused this request."""

    context: RequestContext
    budget: str  # as clients are told it: `20 USD per calendar day`
    per: str  # what has a budget of its own: `key`, `owner`, `model`, `address` or `all`
    subject: str  # whose it is: the id of a key, the name of an owner; empty for `all`
    period: str  # another one when the window is over: `2026-11`
    share: float  # that is used; 1 when a request was refused


@dataclass(slots=True)
class EntriesDropped:
    """More waits for the ledger than is kept for it. This request is the first that has no entry there."""

    context: RequestContext


@dataclass(slots=True)
class EntriesKept:
    """The ledger takes entries again, from this request on."""

    context: RequestContext


@dataclass(slots=True)
class ProviderReplaced:
    """New settings are in force, and a provider of the old ones is closed. The event belongs to no request."""

    provider: str  # a new one may have the same name

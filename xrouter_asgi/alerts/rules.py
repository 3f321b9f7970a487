"""When something is wrong, and when it is well again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Protocol

from ..checks import require_positive, require_share
from ..context import RequestContext
from ..errors import CooldownKind, ModelNotFound, UpstreamError
from ..events import (
    AttemptEnded,
    CircuitClosed,
    CircuitOpened,
    EntriesDropped,
    EntriesKept,
    LimiterDegraded,
    LimiterRestored,
    ProviderReplaced,
    RequestEnded,
)
from ..policies.base import Window

_SLOTS = 12
_NAMED = 5  # targets in an alert
_ALL, _BAD = 0, 1
_REMEMBERED = 1000  # targets
_ASKS_A_MODEL = ("chat", "completions", "embeddings", "messages", "responses")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule concludes from an event.

    Attributes:
        subject: What is wrong or well: `requests`, the name of a provider. One of few, never chosen by a client.
        wrong: Whether it is wrong; else it is well again.
        text: A sentence for the operator, without secrets.
        once: Whether it is told once and then over, because nobody can say when it is well again.
    """

    subject: str
    wrong: bool
    text: str
    once: bool = False


class Rule(Protocol):
    """Watches events for one kind of trouble. It may repeat itself. `name` is one word, such as `circuit_open`."""

    @property
    def name(self) -> str: ...

    def __call__(self, event: object, now: float, /) -> Finding | None:
        """What the event shows, if anything. `now` is in seconds of the clock of `Alerts`."""


class _Share(ABC):
    """The share of requests of late that were bad in one way.

    Without requests nothing is judged: each request that ends, also one for `/health`, is an occasion to look again.
    """

    def __init__(self, *, share: float, window: float, minimum: int, bad: str) -> None:
        require_share(share=share)
        require_positive(window=window, minimum=minimum)
        self._share = share
        self._minimum = minimum
        self._counts = Window(2, slot=window / _SLOTS, slots=_SLOTS)
        self._which = f"requests of the last {window:g} s {bad}"
        self._well = Finding("requests", False, f"Fewer than {share:.0%} of the {self._which}.")

    def __call__(self, event: object, now: float, /) -> Finding | None:
        if not isinstance(event, RequestEnded):
            return None
        bad = self._is_bad(event)
        if bad is not None:
            self._counts.add(_ALL, now)
        if bad:
            self._counts.add(_BAD, now)
        counted, found = self._counts.totals(now)
        if not found or found < self._share * counted:
            return self._well
        if counted < self._minimum:
            return None
        return Finding("requests", True, f"{found} of {counted} {self._which}.")

    @abstractmethod
    def _is_bad(self, event: RequestEnded) -> bool | None:
        """None for a request that is not counted."""


class ErrorShare(_Share):
    """Many requests for a model fail: with a 5xx, or because upstreams fail, also in the middle of a stream.

    A 5xx also counts if nobody knows yet what was asked, as when the key store is away. Mistakes of clients, clients
    that leave, and what an upstream refuses to a caller's own credential do not count.

    Args:
        share: The share from which on it is wrong. Above 0, up to 1.
        window: How many seconds count. Above 0.
        minimum: With fewer requests in the window nothing is wrong. At least 1.
    """

    name = "error_share"

    def __init__(self, *, share: float = 0.5, window: float = 60.0, minimum: int = 20) -> None:
        super().__init__(share=share, window=window, minimum=minimum, bad="failed")

    def _is_bad(self, event: RequestEnded) -> bool | None:
        failed = (event.status or 0) >= 500 or _is_upstreams(event.context)
        if event.context.endpoint in _ASKS_A_MODEL:
            return failed
        return True if failed and event.context.endpoint is None else None


def _is_upstreams(context: RequestContext) -> bool:
    error = context.error
    # With a credential of the caller's own nobody else is asked, so the error is about that one.
    return isinstance(error, UpstreamError) and (error.trips or not context.own_keys)


class SlowShare(_Share):
    """Many answers begin late. The head of a stream waits for its first token, that of a whole answer for all of it.

    Args:
        slow: Seconds to the head of an answer from which it is slow. Above 0.
        share, window, minimum: See `ErrorShare`.
    """

    name = "slow"

    def __init__(self, *, slow: float, share: float = 0.5, window: float = 60.0, minimum: int = 20) -> None:
        require_positive(slow=slow)
        super().__init__(share=share, window=window, minimum=minimum, bad=f"took {slow:g} s or more to be answered")
        self._slow = slow

    def _is_bad(self, event: RequestEnded) -> bool | None:
        if event.first_byte is None or event.context.endpoint not in _ASKS_A_MODEL:
            return None
        return event.first_byte >= self._slow


class CircuitsOpen:
    """Circuit breakers leave models of a provider alone; well when those of all its models are closed again."""

    name = "circuit_open"

    def __init__(self) -> None:
        self._open: dict[str, set[str]] = {}  # targets of each provider

    def __call__(self, event: object, now: float, /) -> Finding | None:
        match event:
            case CircuitOpened(provider=name, duration=wait, target=target):
                targets = self._open.setdefault(name, set())
                targets.add(target)
                left = f"The provider '{name}' keeps failing and is left alone for {wait:.0f} s"
                return Finding(name, True, f"{left}: {_listed(targets)}." if any(targets) else f"{left}.")
            case CircuitClosed(provider=name, target=target):
                self._open.get(name, set()).discard(target)
                if self._open.get(name):
                    return None
                return Finding(name, False, f"The provider '{name}' answers again.")
            case ProviderReplaced(provider=name):
                self._open.pop(name, None)
                return _replaced(name)
        return None


class _RefusalRule:
    """A provider refuses us for a reason that somebody has to mend; well when it answers an attempt begun later.

    Attempts with a credential of the caller's own say nothing about ours.
    """

    _kind: ClassVar[CooldownKind]
    _wrong: ClassVar[str]

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def __call__(self, event: object, now: float, /) -> Finding | None:
        if isinstance(event, ProviderReplaced):
            self._since.pop(event.provider, None)
            return _replaced(event.provider)
        if not isinstance(event, AttemptEnded) or event.attempt.provider in event.context.own_keys:
            return None
        attempt = event.attempt
        name, error = attempt.provider, attempt.error
        if isinstance(error, UpstreamError) and error.cooldown_kind == self._kind:
            self._since[name] = attempt.ended or attempt.started
            return Finding(name, True, f"The provider '{name}' {self._wrong}.")
        if error is None and name in self._since and attempt.started >= self._since[name]:
            del self._since[name]
            return Finding(name, False, f"The provider '{name}' answers again.")
        return None


class CredentialRefused(_RefusalRule):
    """A provider refuses the credential of this gateway."""

    name = "credential_refused"
    _kind = "credential"
    _wrong = "refuses the credential of this gateway. Check that it has not expired"


class QuotaUsedUp(_RefusalRule):
    """The account of this gateway at a provider has no money or tokens left."""

    name = "quota_used_up"
    _kind = "quota"
    _wrong = "says that the quota of this gateway's account is used up"


class ModelGone:
    """A provider has no longer a model that answered before. Names that never answered may be a client's mistake."""

    name = "model_gone"

    def __init__(self) -> None:
        self._answered: set[tuple[str, str]] = set()  # provider and target
        self._gone: dict[str, set[str]] = {}

    def __call__(self, event: object, now: float, /) -> Finding | None:
        if isinstance(event, ProviderReplaced):
            self._gone.pop(event.provider, None)
            self._answered = {each for each in self._answered if each[0] != event.provider}
            return _replaced(event.provider)
        if not isinstance(event, AttemptEnded) or event.attempt.provider in event.context.own_keys:
            return None
        attempt = event.attempt
        name, target = attempt.provider, attempt.target
        gone = self._gone.setdefault(name, set())
        if isinstance(attempt.error, ModelNotFound) and (name, target) in self._answered:
            gone.add(target)
            return Finding(name, True, f"The provider '{name}' has these models no longer: {_listed(gone)}.")
        if attempt.error is not None:
            return None
        if len(self._answered) < _REMEMBERED:
            self._answered.add((name, target))
        if target not in gone:
            return None
        gone.remove(target)
        return None if gone else Finding(name, False, f"The provider '{name}' has all its models again.")


class LimitsDegraded:
    """The count of limits that processes share is away, and when it is back."""

    name = "limiter_degraded"

    def __call__(self, event: object, now: float, /) -> Finding | None:
        match event:
            case LimiterDegraded():
                return Finding("limits", True, "The storage of limits is away: each process decides alone.")
            case LimiterRestored():
                return Finding("limits", False, "The storage of limits is back.")
        return None


class LedgerBehind:
    """What requests cost is not written down, because the ledger has been away for too long; and when it is again."""

    name = "ledger_behind"

    def __call__(self, event: object, now: float, /) -> Finding | None:
        match event:
            case EntriesDropped():
                return Finding("ledger", True, "The ledger is away: what requests cost now is not written down.")
            case EntriesKept():
                return Finding("ledger", False, "The ledger keeps what requests cost again.")
        return None


def _listed(targets: Collection[str]) -> str:
    named = sorted(targets)[:_NAMED]
    more = len(targets) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _replaced(provider: str) -> Finding:
    # Otherwise what is gone stays wrong for ever, and is told again after each cooldown.
    return Finding(provider, False, f"The provider '{provider}' was replaced by new settings.")

"""The state machine of a circuit breaker: numbers in, verdicts out; it knows no provider, no error and no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from ..checks import require_positive, require_share
from .base import Window

State: TypeAlias = Literal["closed", "open", "half_open"]
Era: TypeAlias = int

_CALL, _FAILURE, _SLOW = 0, 1, 2
_SLOTS = 10


class Circuit:
    """Closed, it lets everyone through and counts. Open, it lets no one through. Half-open, a few who try.

        closed ── too many failed or were slow ──► open ── its time is over ──► half-open ◄─┐
          ▲                                         ▲                              │ │ │   │ its time is over again:
          │                                         └── a probe failed ◄───────────┘ │ └───┘ one probe more
          └── every probe was answered ◄─────────────────────────────────────────────┘

    Its time begins when it opens, and anew with each probe: so an upstream that hangs is tried as often as one that
    fails at once, however long a probe may wait. An answer that comes late counts like any other.

    Whoever is let through gets the era it belongs to. Each change of state begins a new one, and what is told about
    an earlier era does not count any more. Times are seconds of any clock that only goes forward.

    Args:
        window: Seconds for which a call counts. Above 0.
        minimum: Calls in them below which no share is judged; so many that fail in a row open it whatever was before.
            At least 1.
        failure_share, slow_share: The share of calls from which it opens. Above 0, up to 1.
        open_for: Seconds until it is tried, doubled each time a probe fails. Above 0.
        open_at_most: Where doubling ends. At least `open_for`.
        probes: How many are let through half-open, each of which has to be answered. At least 1.
        may_open: Asked before a closed circuit opens.
    """

    def __init__(
        self,
        *,
        window: float = 30.0,
        minimum: int = 20,
        failure_share: float = 0.5,
        slow_share: float = 0.8,
        open_for: float = 5.0,
        open_at_most: float = 10.0,
        probes: int = 1,
        may_open: Callable[[], bool] = lambda: True,
    ) -> None:
        require_positive(window=window, minimum=minimum, open_for=open_for, probes=probes)
        require_share(failure_share=failure_share, slow_share=slow_share)
        if not open_at_most >= open_for:
            raise ValueError(f"'open_at_most' is {open_at_most!r}. Write at least 'open_for', {open_for!r}.")
        self.state: State = "closed"
        self._window = Window(3, slot=window / _SLOTS, slots=_SLOTS)
        self._minimum = minimum
        self._failure_share = failure_share
        self._slow_share = slow_share
        self._open_for = self.wait = open_for
        self._open_at_most = open_at_most
        self._probes = probes
        self._may_open = may_open
        self._since = 0.0
        self._in_a_row = 0
        self._trying = 0
        self._answered = 0
        self._era = 0

    def left(self, now: float) -> float:
        """Seconds until somebody will be let through, as far as is known; 0 when it would be now."""
        if self.state == "closed":
            return 0.0
        left = max(0.0, self._since + self.wait - now)
        if self.state == "open":
            return left
        return min(1.0, left) if self._trying + self._answered >= self._probes else 0.0  # a probe may answer soon

    def reserve_tokens(self, now: float) -> Era | None:
        """Let one through; None if not. Afterwards tell `answered`, `failed` or `unheard` with what it returned."""
        if self.left(now) > 0:
            return None
        if self.state == "open":
            self._go("half_open")
        if self.state == "half_open":
            self._trying += 1
            self._since = now
        return self._era

    def answered(self, era: Era, now: float, *, slow: bool = False) -> None:
        """The upstream committed itself to an answer, later than it should if `slow`."""
        if era != self._era:
            return
        if self.state == "closed":
            self._in_a_row = 0
            self._count(now, _CALL, *([_SLOW] if slow else []))
            return
        self._trying -= 1
        self._answered += 1
        if slow:
            self._open_again()
        elif self._answered == self._probes:
            self._go("closed")

    def failed(self, era: Era, now: float) -> None:
        """The upstream did not answer."""
        # Not counted in a row are answers that break off: one restart over there breaks off all that are under way.
        self._in_a_row += era == self._era
        self._failed(era, now, _CALL, _FAILURE)

    def broke(self, era: Era, now: float) -> None:
        """An answer that was told of broke off."""
        self._failed(era, now, _FAILURE)

    def unheard(self, era: Era) -> None:
        """Nothing was learnt about the upstream: whoever asked left, or it was not asked."""
        if era == self._era and self.state == "half_open":
            self._trying -= 1

    def _failed(self, era: Era, now: float, *things: int) -> None:
        if era != self._era:
            return
        if self.state == "closed":
            self._count(now, *things)
        else:
            self._open_again()

    def _count(self, now: float, *things: int) -> None:
        for thing in things:
            self._window.add(thing, now)
        calls, failures, slow = self._window.totals(now)
        bad = failures >= self._failure_share * calls or slow >= self._slow_share * calls
        # A window full of good answers would take half of itself to turn bad, and everybody waits meanwhile.
        dead = self._in_a_row >= self._minimum
        if (dead or (calls >= self._minimum and bad)) and self._may_open():
            self._since = now
            self.wait = self._open_for
            self._window.clear()
            self._go("open")

    def _open_again(self) -> None:
        self.wait = min(2 * self.wait, self._open_at_most)
        self._go("open")

    def _go(self, state: State) -> None:
        self.state = state
        self._era += 1
        self._trying = self._answered = self._in_a_row = 0

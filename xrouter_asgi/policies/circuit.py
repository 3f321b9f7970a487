"""The state machine of a circuit breaker: numbers in, verdicts out; it knows no provider, no error and no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias

from ..checks import require_positive, require_share
from .base import Window

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]
Generation: TypeAlias = int

_CALL, _FAILURE = 0, 1
_SLOTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a circuit opens, and how it is tried again.

    Attributes:
        window: Seconds for which a call counts. Above 0.
        minimum: Calls in the window below which no share is judged; so many failures in a row open the circuit whatever
            was before. At least 1.
        failure_share: The share of calls from which it opens. Above 0, up to 1.
        open_for: Seconds until it is tried, doubled each time a probe fails. Above 0.
        open_at_most: Where doubling ends, in seconds. At least `open_for`.
        probes: How many calls are let through half-open, each of which has to succeed. At least 1.
    """

    window: float = 30.0
    minimum: int = 20
    failure_share: float = 0.5
    open_for: float = 5.0
    open_at_most: float = 10.0
    probes: int = 1

    def __post_init__(self) -> None:
        require_positive(window=self.window, minimum=self.minimum, open_for=self.open_for, probes=self.probes)
        require_share(failure_share=self.failure_share)
        if not self.open_at_most >= self.open_for:
            raise ValueError(f"'open_at_most' is {self.open_at_most!r}. Write at least 'open_for', {self.open_for!r}.")


class Circuit:
    """Closed, it lets everyone through and counts. Open, it lets no one through. Half-open, a few who try.

        closed ── too many calls failed ──► open ── its time is over ──► half-open ◄─┐
          ▲                                  ▲                              │ │ │   │ its time is over again:
          │                                  └── a probe failed ◄───────────┘ │ └───┘ one probe more
          └── every probe succeeded ◄─────────────────────────────────────────┘

    Its time begins when it opens, and anew with each probe: so an upstream that hangs is tried as often as one that
    fails at once, however long a probe may wait. An answer that comes late counts like any other.

    Each call that is let through gets the generation it belongs to. Each change of state begins a new one, and what is
    told about an earlier generation does not count any more. Times are seconds of any clock that only goes forward.

    Args:
        thresholds: See `Thresholds`.
        may_open: Asked before a closed circuit opens.
    """

    def __init__(self, thresholds: Thresholds = Thresholds(), *, may_open: Callable[[], bool] = lambda: True) -> None:
        self.state: CircuitState = "closed"
        self.wait = thresholds.open_for
        self._thresholds = thresholds
        self._window = Window(2, slot=thresholds.window / _SLOTS, slots=_SLOTS)
        self._may_open = may_open
        self._since = 0.0
        self._failures_in_a_row = 0
        self._probing = 0
        self._succeeded = 0
        self._generation = 0

    def left(self, now: float) -> float:
        """Seconds until a call will be let through, as far as is known; 0 when it would be now."""
        if self.state == "closed":
            return 0.0
        left = max(0.0, self._since + self.wait - now)
        if self.state == "open":
            return left
        all_out = self._probing + self._succeeded >= self._thresholds.probes
        return min(1.0, left) if all_out else 0.0  # a probe may be answered soon

    def admit(self, now: float) -> Generation | None:
        """Let a call through; None if not. Then tell `success`, `failure` or `no_result` the generation it returns."""
        if self.left(now) > 0:
            return None
        if self.state == "open":
            self._go("half_open")
        if self.state == "half_open":
            self._probing += 1
            self._since = now
        return self._generation

    def try_now(self) -> None:
        """End the time of an open circuit: the next call is let through, and decides."""
        self._since = -inf

    def success(self, generation: Generation, now: float) -> None:
        """The upstream committed itself to an answer."""
        if generation != self._generation:
            return
        if self.state == "closed":
            self._failures_in_a_row = 0
            self._count(now, _CALL)
            return
        self._probing -= 1
        self._succeeded += 1
        if self._succeeded == self._thresholds.probes:
            self._go("closed")

    def failure(self, generation: Generation, now: float) -> None:
        """The upstream did not answer."""
        # Answers that break off do not count in a row: one restart over there breaks off all that are under way.
        self._failures_in_a_row += generation == self._generation
        self._fail(generation, now, _CALL, _FAILURE)

    def broken_off(self, generation: Generation, now: float) -> None:
        """An answer broke off that was counted as a success."""
        self._fail(generation, now, _FAILURE)

    def no_result(self, generation: Generation) -> None:
        """Nothing was learnt about the upstream: the caller left, or the upstream was not asked."""
        if generation == self._generation and self.state == "half_open":
            self._probing -= 1

    def _fail(self, generation: Generation, now: float, *things: int) -> None:
        if generation != self._generation:
            return
        if self.state == "closed":
            self._count(now, *things)
        else:
            self.wait = min(2 * self.wait, self._thresholds.open_at_most)
            self._go("open")

    def _count(self, now: float, *things: int) -> None:
        for thing in things:
            self._window.add(thing, now)
        calls, failures = self._window.totals(now)
        minimum = self._thresholds.minimum
        bad = calls >= minimum and failures >= self._thresholds.failure_share * calls
        # A window full of good answers would take half of itself to turn bad, and everybody waits meanwhile.
        dead = self._failures_in_a_row >= minimum
        if (dead or bad) and self._may_open():
            self._since = now
            self.wait = self._thresholds.open_for
            self._window.clear()
            self._go("open")

    def _go(self, state: CircuitState) -> None:
        self.state = state
        self._generation += 1
        self._probing = self._succeeded = self._failures_in_a_row = 0

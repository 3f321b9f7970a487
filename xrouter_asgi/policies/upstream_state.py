"""Ours at a provider: what all its models share, whichever of them is asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import CircuitOpen, CooldownKind
from ..queueing.slots import Slots
from .retry import RetryBudget

_WHY: dict[CooldownKind, str] = {
    "rate": "The upstream's rate limit is reached.",
    "credential": "The upstream refused this gateway's credentials.",
    "quota": "The quota of this gateway's account at the upstream is used up.",
}


@dataclass(frozen=True, slots=True)
class Cooldown:
    """What of ours rests at the upstream, and until when. The answers meanwhile are like the one that began it."""

    cooldown_kind: CooldownKind
    until: float
    code: str | None
    type: str
    status: int

    def refusal(self, now: float) -> CircuitOpen:
        """What to raise instead of asking."""
        left = self.until - now
        return CircuitOpen(
            f"{_WHY[self.cooldown_kind]} Try again in {left:.1f} s.",
            status=self.status,
            type=self.type,
            code=self.code,
            retry_after=left,
            retryable=self.cooldown_kind == "rate",  # for who waits that long
            should_retry=None if self.cooldown_kind == "rate" else False,
        )


class UpstreamState:
    """The account of this gateway at one provider.

    A refused credential and a used-up quota are the account's: where one model met it, the others need not ask. A rate
    limit is not, for many providers have one for each model.

    Args:
        budget: Retries of all that goes to the provider; see `RetryBudget`.
        slots: How many calls at once it bears, whatever the model; None for any number.
        clock: Seconds of a clock that only goes forward, for a budget of its own.

    Attributes:
        rest: The last one that began; None if none did, or a call was let through after it. Circuit breakers begin it
            and keep to it.
    """

    def __init__(
        self,
        *,
        budget: RetryBudget | None = None,
        slots: Slots | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget or RetryBudget(clock=clock)
        self.slots = slots
        self.rest: Cooldown | None = None

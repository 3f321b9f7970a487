"""What all models of one provider share, whichever of them is asked."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CircuitOpen, CooldownKind
from ..queueing.slots import Slots
from .retry_budget import RetryBudget

PASSING: frozenset[CooldownKind] = frozenset({"rate", "overloaded"})
"""Cooldowns of one target, which end by themselves. The others are of the account, which somebody has to mend."""

_WHY: dict[CooldownKind, str] = {
    "rate": "The upstream's rate limit is reached.",
    "overloaded": "The upstream is overloaded.",
    "credential": "The upstream refused this gateway's credentials.",
    "quota": "The quota of this gateway's account at the upstream is used up.",
}


@dataclass(frozen=True, slots=True)
class Cooldown:
    """Why and until when nothing is sent to an upstream that is well. Answers meanwhile are like the one it began with.

    Attributes:
        until: In seconds of the event loop's clock.
        code, type, status: Those of the upstream's refusal.
    """

    kind: CooldownKind
    until: float
    code: str | None
    type: str
    status: int

    def refusal(self, now: float) -> CircuitOpen:
        """What to raise instead of asking."""
        left = self.until - now
        return CircuitOpen(
            f"{_WHY[self.kind]} Try again in {left:.1f} s.",
            status=self.status,
            type=self.type,
            code=self.code,
            retry_after=left,
            retryable=self.kind in PASSING,  # for a caller that waits that long
            should_retry=None if self.kind in PASSING else False,
        )


class UpstreamState:
    """The account of this gateway at one provider.

    A refused credential and a used-up quota are the account's: where one model met them, the others need not ask. A
    rate limit is not, for many providers have one for each model.

    Args:
        retry_budget: Retries of all that goes to the provider; see `RetryBudget`.
        slots: How many calls at once it bears, whatever the model; None for any number.

    Attributes:
        cooldown: The last one that started; None if none did, or a call was let through after it. Circuit breakers
            start it and keep to it.
    """

    def __init__(self, *, retry_budget: RetryBudget | None = None, slots: Slots | None = None) -> None:
        self.retry_budget = retry_budget or RetryBudget()
        self.slots = slots
        self.cooldown: Cooldown | None = None

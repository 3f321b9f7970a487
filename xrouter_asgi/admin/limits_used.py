"""How far limits are used up, as a process tells of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Final

from ..limits import Calendar, Charge, LimitStatus, LimitStore
from ..limits.prices import in_units
from ..limits.rules import LimitRules, Limits, Subject
from .api.key_answers import LimitUse
from .api.operation import at

_AT_ONCE: Final = 50  # counts that are read together: a Redis does nothing else meanwhile


class LimitsUsed:
    """Tells how far the limits of callers are used up.

    Args:
        store: That of `RateLimitMiddleware`. Whoever makes it closes it.
        limit, models, timezone: As `RateLimitMiddleware` takes them.

    Raises ValueError for limits that cannot be read or counted together.
    """

    def __init__(
        self,
        store: LimitStore,
        *,
        limit: Limits = (),
        models: Mapping[str, Limits] | None = None,
        timezone: tzinfo = UTC,
    ) -> None:
        self._store = store
        self._rules = LimitRules(limit, models or {}, calendar=Calendar(timezone))

    async def of(self, subjects: Sequence[Subject]) -> list[list[LimitUse]] | None:
        """The limits of each, but for those per model and per address. None while the store cannot count."""
        charges = list(map(self._charges, subjects))
        statuses = dict[object, LimitStatus]()
        unread = list({_count(each): each for many in charges for each in many}.values())
        while unread:
            batch, unread = unread[:_AT_ONCE], unread[_AT_ONCE:]
            told = await self._store.read(batch)
            if not told:
                return None
            statuses |= zip(map(_count, batch), told, strict=True)
        return [[_use(each, statuses[_count(each)]) for each in many] for many in charges]

    def _charges(self, subject: Subject) -> list[Charge]:
        return [each for each in self._rules.counts(subject) if each.limit.per != "address"]


def _count(charge: Charge) -> object:
    """What is the same for charges of one count, and of the same amount of it."""
    return charge.counted, charge.limit.amount


def _use(charge: Charge, status: LimitStatus) -> LimitUse:
    limit = charge.limit
    amounts = (limit.amount, limit.amount - status.remaining, status.remaining)
    amount, used, remaining = map(in_units if limit.unit == "money" else str, amounts)
    return {
        "limit": str(limit),
        "unit": limit.unit,
        "per": limit.per,
        "subject": charge.subject,
        "models": charge.models,
        "amount": amount,
        "used": used,
        "remaining": remaining,
        "free_at": at(round(time.time() + status.reset)) if status.reset > 0 else None,
    }

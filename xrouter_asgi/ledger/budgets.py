"""How far each budget is used up: what the ledger knows was spent, and what the limiter still lets through."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from ..context import normal_form
from ..keys import APIKey, KeyRegistry, UnknownKey
from ..limits import Calendar, Charge, Limit, Limits, LimitStore
from ..limits.limit import DAY, LONGEST
from ..limits.rules import LimitRule, LimitRules, Subject
from .base import DIMENSIONS, Dimension, LedgerStore, Where
from .seeded import where_of

MOST = 100
"""Budgets that are told of at once."""


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """How far the budget of one subject is used up. Amounts are nano-units of the limit's currency.

    Attributes:
        subject: Whose it is; empty for that of all.
        models: The pattern of models that have it together; None for all models.
        spent: What the requests of the window have cost, as far as the ledger knows: it lags by a second.
        remaining: What requests may still reserve.
        ends: When the window is over, in seconds since the epoch; None for one that slides.
        forecast: What will be spent by then at the pace of the last 24 hours; None for a window that slides.
    """

    limit: Limit
    subject: str
    models: str | None
    spent: int
    remaining: int
    ends: float | None
    forecast: int | None

    @property
    def reserved(self) -> int:
        """What requests that run hold, and what the ledger does not know yet."""
        return max(0, self.limit.amount - self.remaining - self.spent)


class Budgets:
    """Tells how far budgets are used up: those of whoever has spent something in their window.

    Args:
        ledger: Whoever makes it closes it, and the other stores.
        limit, models: All limits, as `RateLimitMiddleware` takes them. Those of money are budgets.
        timezone: In which periods of the calendar begin.
        store: The counts of the limits; None where nobody here can see them. Then nothing counts as reserved.
        keys: Whose own limits of money are budgets, too.
        clock: Seconds since the epoch.

    Raises ValueError for limits that cannot be read or counted together.
    """

    def __init__(
        self,
        ledger: LedgerStore,
        *,
        limit: Limits,
        models: Mapping[str, Limits] | None = None,
        timezone: tzinfo = UTC,
        store: LimitStore | None = None,
        keys: KeyRegistry | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._rules = LimitRules(limit, models or {}, calendar=Calendar(timezone, clock=clock))
        self._store = store
        self._keys = keys
        self._now = clock

    async def used(self, most: int = MOST) -> list[BudgetUse]:
        """The budgets, the most used first. Raises LedgerUnavailable and KeyStoreUnavailable."""
        own = {key.id: self._charges_of(key) for key in await self._limited_keys(most)}
        found = [charge for charges in own.values() for charge in charges]
        for rule in self._rules.of_money:
            replaced = own if rule.limit.per == "key" else ()  # by a key's own limits
            subjects = await self._spenders(rule, most)
            found += [self._charge(rule, subject) for subject in subjects if subject not in replaced]
        unique = {(charge.counted, charge.limit.amount): charge for charge in found}
        uses = [use for charge in unique.values() if (use := await self._use(charge)) is not None]
        return sorted(uses, key=_by_share)[:most]

    async def of_all(self) -> list[BudgetUse]:
        """The budgets that all spend from together, on all models: the most used first. Raises LedgerUnavailable."""
        ours = [rule for rule in self._rules.of_money if rule.limit.per == "all" and rule.pattern is None]
        uses = [use for rule in ours if (use := await self._use(self._charge(rule, ""))) is not None]
        return sorted(uses, key=_by_share)

    def _charges_of(self, key: APIKey) -> Sequence[Charge]:
        return self._rules.budgets(Subject(key.id, key.owner, "", key.limits, key.groups))

    async def _limited_keys(self, most: int) -> list[APIKey]:
        """The keys that have spent something, and have limits of their own."""
        if self._keys is None:
            return []
        found = []
        for id in await self._spending("key", LONGEST["month"], Where(), most):
            try:
                key = await self._keys.get(id)
            except UnknownKey:  # of a host's principal
                continue
            if key.limits:
                found.append(key)
        return found

    async def _spenders(self, rule: LimitRule, most: int) -> Sequence[str]:
        """Whose counts the limit has; none for addresses, which the ledger does not know."""
        per = rule.limit.per
        if per == "all":
            return [""]
        dimension = next((each for each in DIMENSIONS if each == per), None)
        if dimension is None:
            return []
        return await self._spending(dimension, rule.limit.window, Where(model=rule.pattern), most)

    async def _spending(self, dimension: Dimension, seconds: float, where: Where, most: int) -> Sequence[str]:
        """The values of a dimension with costs in the last seconds, the dearest first."""
        now = _moment(self._now())
        sums = await self._ledger.sums(by=(dimension,), since=now - timedelta(seconds=seconds), until=now, where=where)
        names = [each.by[dimension] for each in sums if each.totals.cost and each.by[dimension]]
        return [normal_form(name) if dimension == "model" else name for name in names[:most]]

    def _charge(self, rule: LimitRule, subject: str) -> Charge:
        calendar = rule.limit.calendar
        return Charge(subject, rule.limit, 0, rule.pattern, calendar and self._rules.calendar.span(calendar))

    async def _use(self, charge: Charge) -> BudgetUse | None:
        """How far it is used up; None if the ledger does not know the subject."""
        where, limit, now, span = where_of(charge), charge.limit, self._now(), charge.span
        if where is None:
            return None
        since = now - limit.window if span is None else span.begins
        spent = await self._ledger.spent(where, _moment(since))
        ends, forecast = None, None
        if span is not None:
            ends = span.ends
            lately = await self._ledger.spent(where, _moment(now - DAY))
            forecast = spent + round(lately * max(0.0, ends - now) / DAY)
        remaining = await self._remaining(charge, max(0, limit.amount - spent))
        return BudgetUse(limit, charge.subject, charge.models, spent, remaining, ends, forecast)

    async def _remaining(self, charge: Charge, unspent: int) -> int:
        """What the limiter lets through; what is not spent, where it cannot say."""
        statuses = () if self._store is None else await self._store.read([charge])
        return statuses[0].remaining if statuses else unspent


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _by_share(use: BudgetUse) -> tuple[float, str]:
    return -use.spent / use.limit.amount, use.subject

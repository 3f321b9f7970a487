"""Which limits apply to a request, and on whose counts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from starlette.types import Scope

from ..asgi.scope import peer_address
from ..context import Principal, RequestContext, matches, normal_form
from .base import Charge
from .limit import UNCOUNTED, Limit, Per, check_currency, parse_limits
from .periods import Calendar
from .units import UNITS

Limits: TypeAlias = str | Limit | Iterable[str | Limit]
FindSubject: TypeAlias = Callable[[Scope], str | None]
"""Names the caller that a limit per key belongs to; None for nobody."""

logger = logging.getLogger("xrouter")


class Subject(NamedTuple):
    """Who is charged for a request."""

    key: str | None  # None if no limit per key applies
    owner: str | None  # None if the key has no owner; then the key is its own owner
    address: str
    limits: tuple[str, ...] = ()  # of the caller's own key
    groups: tuple[str, ...] = ()  # of the owner, who counts in each of them

    @classmethod
    def of(cls, scope: Scope, key: str | None, principal: Principal | None) -> Subject:
        """Whoever sends this request, by the name of a key. The same object as for the request before."""
        if principal is None:
            return _subject(key, None, peer_address(scope), (), ())
        return _subject(key, principal.owner, peer_address(scope), principal.limits, principal.groups)

    def counted(self, per: Per, model: str) -> str | None:
        """Whose count it is; None if such a limit does not apply to this caller."""
        match per:
            case "key":
                return self.key
            case "owner":
                return self.owner or self.key
            case "model":
                return model
            case "address":
                return self.address
        return ""


_subject = lru_cache(maxsize=4096)(Subject)


@dataclass(frozen=True, slots=True)
class LimitRule:
    """A limit, and the pattern of models that share its count; None for all models."""

    limit: Limit
    pattern: str | None = None

    def charges(self, subject: Subject, calendar: Calendar, *, model: str = "", cost: int = 1) -> Sequence[Charge]:
        """The charges for one request: one, none if the limit does not apply to this subject, or one for each group."""
        limit = self.limit
        span = None if limit.calendar is None else calendar.span(limit.calendar)
        if limit.per == "group":
            return [Charge(group, limit, cost, self.pattern, span) for group in dict.fromkeys(subject.groups)]
        counted = subject.counted(limit.per, model)
        return () if counted is None else (Charge(counted, limit, cost, self.pattern, span),)


class LimitRules:
    """Combines general limits, limits of models, and the limits of callers' keys.

    A key's limit replaces the general one of the same kind: the same unit, window and `per`. So does a token limit of a
    model. A request limit of a model adds to the general one, because requests are counted before the model is known.
    The name of a model wins over a pattern with one `*`, and a longer pattern over a shorter one. Both are compared in
    their normal form.

    Raises ValueError for limits that cannot be read or counted together.
    """

    def __init__(self, general: Limits, models: Mapping[str, Limits], *, calendar: Calendar | None = None) -> None:
        self.calendar = calendar or Calendar()
        self._general = parse_limits(general)
        self._models = {normal_form(pattern): parse_limits(limits) for pattern, limits in models.items()}
        if len(self._models) < len(models):
            raise ValueError(f"Two of these models differ in case only: {', '.join(models)}.")
        self._patterns = sorted(self._models, key=lambda pattern: ("*" in pattern, -len(pattern)))
        # What clients send cannot fill this cache: patterns come from the settings, limits from keys.
        self._combined = lru_cache(maxsize=1024)(self._combine)
        self._early = lru_cache(maxsize=4096)(self._early_charges)

    def check_currency(self, currency: str | None) -> None:
        """Raise ValueError for a limit of money in another currency than that of the prices, None for no prices."""
        limits = (*self._general, *(limit for limits in self._models.values() for limit in limits))
        if currency is not None:
            check_currency(limits, currency)
        elif (limit := next((limit for limit in limits if limit.unit == "money"), None)) is not None:
            raise ValueError(f"The limit {limit} is of money, and there are no prices. Give prices=Prices({{…}}).")

    def bind(self, principal: Principal | None) -> bool:
        """Whether any limit can hold for this caller."""
        return bool(self._general or self._models or (principal is not None and principal.limits))

    def before_body(self, subject: Subject) -> Sequence[Charge]:
        """What is charged before the body is read: requests, unless per model."""
        charges, lasting = self._early(subject)
        return charges if lasting else self._early_charges(subject)[0]

    def _early_charges(self, subject: Subject) -> tuple[Sequence[Charge], bool]:
        """And whether they are the same for each request of this caller: a period of the calendar is over some day."""
        charges: list[Charge] = []
        for rule in self._combined(subject.limits, None)[0]:
            charges += rule.charges(subject, self.calendar, cost=UNITS[rule.limit.unit].each or 0)
        return tuple(charges), all(charge.span is None for charge in charges)

    def for_model(self, subject: Subject, model: str) -> tuple[LimitRule, ...]:
        """The other limits, which need the model, in its normal form, and the size of the request."""
        for pattern in self._patterns:
            if matches(pattern, model):
                return self._combined(subject.limits, pattern)[1]
        return self._combined(subject.limits, None)[1]

    @property
    def of_money(self) -> Sequence[LimitRule]:
        """The limits of money, but for those of callers' keys."""
        ours = [(None, self._general), *self._models.items()]
        return [LimitRule(limit, pattern) for pattern, limits in ours for limit in limits if limit.unit == "money"]

    def budgets(self, subject: Subject) -> Sequence[Charge]:
        """A charge of nothing for each limit of money of a caller, but for those per model."""
        return tuple(charge for charge in self.counts(subject) if charge.limit.unit == "money")

    def counts(self, subject: Subject) -> Sequence[Charge]:
        """A charge of nothing for each count of a caller, but for those per model, of which there are many."""
        rules = [*self._combined(subject.limits, None)[0]]
        for pattern in (None, *self._patterns):
            rules += (rule for rule in self._combined(subject.limits, pattern)[1] if rule.pattern == pattern)
        return tuple(
            charge
            for rule in rules
            if rule.limit.unit not in UNCOUNTED and rule.limit.per != "model"
            for charge in rule.charges(subject, self.calendar, cost=0)
        )

    def _combine(
        self, texts: tuple[str, ...], pattern: str | None
    ) -> tuple[tuple[LimitRule, ...], tuple[LimitRule, ...]]:
        own = _own_limits(texts)
        of_model = self._models.get(pattern, ()) if pattern is not None else ()
        by_kind = {limit.kind: limit for limit in (*self._general, *own)}
        early = [limit for limit in by_kind.values() if UNITS[limit.unit].each is not None and limit.per != "model"]
        replaced = {limit.kind for limit in of_model} - {limit.kind for limit in own}
        late = [limit for limit in by_kind.values() if limit not in early and limit.kind not in replaced]
        return tuple(map(LimitRule, early)), (*map(LimitRule, late), *(LimitRule(limit, pattern) for limit in of_model))


def _own_limits(texts: tuple[str, ...]) -> tuple[Limit, ...]:
    try:
        return parse_limits(texts)
    except ValueError as error:
        # The key may be years old. Its request must not fail for that: the general limits apply.
        logger.error("The limits of a key are not heeded: %s", error)
        return ()


def principal_or_address(scope: Scope) -> str | None:
    """The id of the authenticated principal, else the address."""
    principal = RequestContext.of(scope).principal
    return f"address {peer_address(scope)}" if principal is None else principal.id

"""How far the budgets of a caller are used up, for whoever asks."""

from __future__ import annotations

from collections.abc import Sequence

from ..context import BudgetStatus
from .base import LimitStore
from .rules import LimitRules, Subject


async def budgets_of(subject: Subject, *, rules: LimitRules, store: LimitStore) -> Sequence[BudgetStatus]:
    """The limits of money of a caller, but for those per model. None while the store cannot count."""
    charges = rules.budgets(subject)
    return [
        BudgetStatus(
            limit=str(charge.limit),
            per=charge.limit.per,
            models=charge.models,
            remaining=charge.limit.shown(status.remaining),
            reset=status.reset if charge.span is None else charge.span.ends - rules.calendar.now(),
        )
        for charge, status in zip(charges, await store.read(charges), strict=False)
    ]

"""When a budget is nearly used up, and when it is."""

from __future__ import annotations

from ..events import BudgetUsed
from ..recent import Recent
from .rules import Finding

_REMEMBERED = 10_000  # budgets
_STEPS = (1.0, 0.8)  # of a budget


class BudgetsUsed:
    """80 % of a budget are used, or all of it: told once each in every period, or in a window that slides.

    What running requests have reserved counts as used.
    """

    name = "budget"

    def __init__(self) -> None:
        self._told: Recent[tuple[str, str, str, str], float] = Recent(_REMEMBERED)

    def __call__(self, event: object, now: float, /) -> Finding | None:
        if not isinstance(event, BudgetUsed):
            return None
        budget = (event.budget, event.per, event.subject, event.period)
        step = next((step for step in _STEPS if event.share >= step), 0.0)
        if step <= (self._told.get(budget) or 0.0):
            return None
        self._told.put(budget, step)
        whose = "all" if event.per == "all" else f"{event.per} '{event.subject[:128]}'"
        used = "is used up" if step == 1 else f"is used to {step:.0%}"
        return Finding(event.per, True, f"The budget of {event.budget} of {whose} {used}.", once=True)

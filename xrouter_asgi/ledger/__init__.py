"""What requests cost: entries and their sums, and where they are kept."""

from typing import TYPE_CHECKING

from .base import (
    ALL,
    Cursor,
    Dimension,
    Entry,
    LedgerStore,
    LedgerUnavailable,
    Page,
    Sum,
    Totals,
    Where,
)
from .budgets import Budgets, BudgetUse
from .memory import MemoryLedger
from .report import SpendReport
from .seeded import SeededBudget
from .spend import Spend

if TYPE_CHECKING:
    from .sql import SQLLedger

__all__ = [
    "ALL",
    "BudgetUse",
    "Budgets",
    "Cursor",
    "Dimension",
    "Entry",
    "LedgerStore",
    "LedgerUnavailable",
    "MemoryLedger",
    "Page",
    "SQLLedger",
    "SeededBudget",
    "Spend",
    "SpendReport",
    "Sum",
    "Totals",
    "Where",
]


def __getattr__(name: str) -> object:
    # SQLAlchemy is an extra, and slow to import: only those who ask for it import it.
    if name != "SQLLedger":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from .sql import SQLLedger
    except ModuleNotFoundError as exc:
        raise ModuleNotFoundError(
            'SQLLedger needs SQLAlchemy and Alembic. Install them with: pip install "xrouter-asgi[sql]"'
        ) from exc
    return SQLLedger

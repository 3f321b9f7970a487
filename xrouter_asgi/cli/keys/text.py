"""Keys as text for people, and as JSON for scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ...inspection import in_columns
from ...keys import APIKey, AuditEntry
from ...limits.prices import in_units

WIDEST = 40  # characters of a cell: `show` and `--json` have the whole

_COLUMNS: Final[Mapping[str, Callable[[APIKey, datetime], str]]] = {
    "id": lambda key, now: key.id,
    "name": lambda key, now: key.name,
    "owner": lambda key, now: key.owner or "",
    "groups": lambda key, now: ", ".join(key.groups),
    "kind": lambda key, now: key.kind,
    "state": lambda key, now: key.state(now),
    "models": lambda key, now: ", ".join(key.models) or "all",
    "limits": lambda key, now: "; ".join(key.limits),
    "expires": lambda key, now: _day(key.expires_at),
    "last used": lambda key, now: _day(key.last_used_at),
}


@dataclass(frozen=True, slots=True)
class SpentInMonth:
    """What keys have spent in a month, in nano-units, by their ids."""

    month: str  # such as 2026-11
    currency: str
    by_key: Mapping[str, int]

    def document(self, id: str) -> dict[str, object]:
        """What a program is shown."""
        return {"month": self.month, "spent": in_units(self.by_key.get(id, 0)), "currency": self.currency}


def key_table(keys: Sequence[APIKey], now: datetime, spent: SpentInMonth | None = None) -> str:
    columns = dict(_COLUMNS)
    if spent is not None:
        columns[f"spent in {spent.month}"] = lambda key, now: (
            f"{in_units(spent.by_key.get(key.id, 0))} {spent.currency}"
        )
    return in_columns([tuple(columns), *([_cell(of(key, now)) for of in columns.values()] for key in keys)])


def key_text(key: APIKey, now: datetime, history: Sequence[AuditEntry] = ()) -> str:
    rows = [
        ("id", key.id),
        ("name", key.name or "-"),
        ("owner", key.owner or "-"),
        ("kind", key.kind),
        ("groups", ", ".join(key.groups) or "-"),
        ("state", key.state(now)),
        ("created", _minute(key.created_at)),
        ("begins", _minute(key.not_before)),
        ("expires", _minute(key.expires_at)),
        ("last used", _minute(key.last_used_at)),
        ("scopes", ", ".join(sorted(key.scopes)) or "all"),
        ("models", ", ".join(key.models) or "all"),
        ("limits", "; ".join(key.limits) or "the general ones"),
    ]
    if not history:
        return in_columns(rows)
    events = [(_minute(entry.at), entry.action, entry.by, entry.reason or "") for entry in history]
    return f"{in_columns(rows)}\n\n{in_columns([('when', 'what', 'who', 'why'), *events])}"


def _cell(text: str) -> str:
    return (text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…") or "-"


def _day(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d}"


def _minute(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"

"""Keys as text for people, and as JSON for scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from ...inspection import in_columns
from ...keys import APIKey, AuditEntry

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


def key_table(keys: Sequence[APIKey], now: datetime) -> str:
    return in_columns([tuple(_COLUMNS), *([_cell(of(key, now)) for of in _COLUMNS.values()] for key in keys)])


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

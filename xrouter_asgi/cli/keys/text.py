"""Keys as text for people, and as JSON for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from ...inspection import in_columns
from ...keys import APIKey, AuditEntry

UNUSED = timedelta(days=180)
"""A key that nobody used for so long is shown as `unused`."""


def state(key: APIKey, now: datetime) -> str:
    """One word: `active`, `unused`, `waiting` (it is not valid yet), `expired` or `revoked`."""
    if not key.active:
        return "revoked"
    if key.usable(now):
        return "unused" if now - (key.last_used_at or key.created_at) > UNUSED else "active"
    return "waiting" if key.not_before is not None and now < key.not_before else "expired"


def key_table(keys: Sequence[APIKey], now: datetime) -> str:
    rows = [("id", "name", "owner", "kind", "state", "expires", "last used")]
    for key in keys:
        names = (key.id, key.name or "-", key.owner or "-", key.kind)
        rows.append((*names, state(key, now), _day(key.expires_at), _day(key.last_used_at)))
    return in_columns(rows)


def key_text(key: APIKey, now: datetime, history: Sequence[AuditEntry] = ()) -> str:
    rows = [
        ("id", key.id),
        ("name", key.name or "-"),
        ("owner", key.owner or "-"),
        ("kind", key.kind),
        ("state", state(key, now)),
        ("created", _minute(key.created_at)),
        ("begins", _minute(key.not_before)),
        ("expires", _minute(key.expires_at)),
        ("last used", _minute(key.last_used_at)),
        ("scopes", ", ".join(sorted(key.scopes)) or "all"),
        ("models", ", ".join(key.models) or "all"),
        ("limits", ", ".join(key.limits) or "the general ones"),
    ]
    if not history:
        return in_columns(rows)
    events = [(_minute(entry.at), entry.action, entry.by, entry.reason or "") for entry in history]
    return f"{in_columns(rows)}\n\n{in_columns([('when', 'what', 'who', 'why'), *events])}"


def key_document(key: APIKey, now: datetime) -> dict[str, object]:
    """The fields of a key, with one word for its state."""
    fields = asdict(key)
    del fields["active"]
    return fields | {"state": state(key, now)}


def history_document(history: Sequence[AuditEntry]) -> list[dict[str, object]]:
    return [
        {
            "at": entry.at,
            "by": entry.by,
            "action": entry.action,
            "before": dict(entry.before),
            "after": dict(entry.after),
            "reason": entry.reason,
        }
        for entry in history
    ]


def _day(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d}"


def _minute(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"

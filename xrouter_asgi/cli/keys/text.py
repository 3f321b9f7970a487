"""Keys as text for people, and as JSON for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from ...inspection.columns import in_columns
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
    rows = [
        (
            key.id,
            key.name or "-",
            key.owner or "-",
            key.kind,
            state(key, now),
            _day(key.expires_at),
            _day(key.last_used_at),
        )
        for key in keys
    ]
    return in_columns([("id", "name", "owner", "kind", "state", "expires", "last used"), *rows])


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
    """The fields of a key, and its `state`. Times are ISO 8601."""
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "kind": key.kind,
        "state": state(key, now),
        "created_at": _iso(key.created_at),
        "not_before": _iso(key.not_before),
        "expires_at": _iso(key.expires_at),
        "last_used_at": _iso(key.last_used_at),
        "scopes": sorted(key.scopes),
        "models": list(key.models),
        "limits": list(key.limits),
    }


def history_document(history: Sequence[AuditEntry]) -> list[dict[str, object]]:
    return [
        {
            "at": _iso(entry.at),
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


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()

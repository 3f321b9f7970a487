"""Keys and their history as the documents that programs are shown, on the command line and by the operator's API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from .base import APIKey, AuditEntry


def key_document(key: APIKey, now: datetime) -> dict[str, object]:
    """The fields of a key, with one word for its state."""
    fields = asdict(key)
    del fields["active"], fields["suspended"]
    return fields | {"state": key.state(now)}


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

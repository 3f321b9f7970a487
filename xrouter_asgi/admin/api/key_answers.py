"""What the operator's API answers about keys."""

from __future__ import annotations

from datetime import datetime

from typing_extensions import TypedDict


class KeyEntry(TypedDict):
    id: str
    name: str
    owner: str | None
    kind: str
    created_at: datetime
    not_before: datetime | None
    expires_at: datetime | None
    scopes: list[str]
    models: list[str]
    limits: list[str]
    last_used_at: datetime | None
    groups: list[str]
    state: str


class LimitUse(TypedDict):
    """How far a limit is used up. Amounts are texts, as those of money are exact.

    `subject` is whose count it is: the id of the key, its owner or a group; empty for that of all. `models` is the
    pattern of the models that have it together. `free_at` is when all of it is free again, if nothing more is asked;
    null if all of it is free, and for parallel requests.
    """

    limit: str
    unit: str
    per: str
    subject: str
    models: str | None
    amount: str
    used: str
    remaining: str
    free_at: datetime | None


class LimitEntry(LimitUse):
    """`worker` is the number of the process that counts this for itself; null if all processes count it together."""

    worker: int | None


class KeyDetail(KeyEntry):
    """`limits_used` has each limit that counts for the key, general ones too, but for those per model and per address;
    null if nobody can tell."""

    limits_used: list[LimitEntry] | None


class KeyList(TypedDict):
    """`after` asks for the page that follows; null if nothing follows."""

    keys: list[KeyDetail]
    after: str | None


class IssuedKey(KeyEntry):
    """The secret is kept nowhere, and shown this once."""

    secret: str
    warnings: list[str]


class AuditItem(TypedDict):
    at: datetime
    by: str
    action: str
    before: dict[str, object]
    after: dict[str, object]
    reason: str | None


class Audit(TypedDict):
    """The changes of a key, the oldest first."""

    audit: list[AuditItem]

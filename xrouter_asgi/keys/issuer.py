"""Creates, rotates and revokes keys, each with an audit entry."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from secrets import choice

from .base import APIKey, AuditEntry, KeyRegistry, StoredSecret, utc_now
from .secret import ALPHABET, KINDS, Hasher, bits, importable, new_secret

OVERLAP = 24 * 3600.0  # seconds for which both secrets of a rotated key are good
MAX_TEXT = 200  # characters of a name, an owner, a model or a limit: the width of the columns in schema.py
MIN_BITS = 128  # of a secret that is imported; fewer could be guessed, as the digests are fast (see secret.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySpec:
    """The fields of `APIKey` that the creator of a key chooses. Raises ValueError for what no key can have."""

    name: str = ""
    owner: str | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None
    scopes: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for scope in self.scopes:
            if not re.fullmatch(r"[a-z][a-z0-9_.:-]{0,63}", scope):
                message = f"Scope {scope[:20]!r} is no lower-case word, such as 'chat', 'embeddings' or your own."
                raise ValueError(message)
        for text in (self.name, self.owner or "", *self.models, *self.limits):
            if len(text) > MAX_TEXT or not text.isprintable():
                message = f"{text[:20]!r} is longer than {MAX_TEXT} characters, or holds one that does not print."
                raise ValueError(message)
        for model in self.models:
            if model.count("*") > 1 or not model:
                raise ValueError(f"Model {model!r} is no name, and no pattern with one '*'.")
        for moment in (self.not_before, self.expires_at):
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"{moment.isoformat()} has no time zone.")
        if self.not_before is not None and self.expires_at is not None and self.expires_at <= self.not_before:
            raise ValueError(f"The key would end at {self.expires_at.isoformat()}, before it begins.")


@dataclass(frozen=True, slots=True)
class Issued:
    """A key and its secret, which is kept nowhere: show it once."""

    key: APIKey
    secret: str = field(repr=False)


class Issuer:
    """Creates and changes the keys of one registry.

    Args:
        registry: Where the keys are kept.
        by: Who does it, for the audit: a user, a host.
        hasher: The one that the keys are checked with.
        now: The wall clock.

    All methods raise KeyStoreUnavailable if the registry is away.
    """

    def __init__(
        self, registry: KeyRegistry, *, by: str, hasher: Hasher | None = None, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._registry = registry
        self._by = by[:MAX_TEXT]
        self._hasher = hasher or Hasher()
        self._now = now

    async def create(self, spec: KeySpec, *, kind: str = "live") -> Issued:
        """Create a key of one of the `KINDS`. Raises ValueError for another kind."""
        secret = new_secret(kind)
        return Issued(await self._add(spec, kind, secret, action="create"), secret)

    async def adopt(self, secret: str, spec: KeySpec) -> APIKey:
        """Import the key of another gateway, so that its clients need no change.

        Raises KeyExists, and ValueError if it cannot be sent in a header, or has less than 128 bits.
        """
        if not importable(secret):
            raise ValueError("The secret is not 1 to 512 printable ASCII characters without spaces.")
        if bits(secret) < MIN_BITS:
            raise ValueError(f"The secret has less than {MIN_BITS} bits and could be guessed. Create a new one.")
        return await self._add(spec, "imported", secret, action="import")

    async def rotate(self, id: str, *, overlap: float = OVERLAP, expires_at: datetime | None = None) -> Issued:
        """Give the key another secret. The old one stays good for `overlap` seconds, but not beyond its own end.

        Without `expires_at` the key keeps its end. Raises UnknownKey, and ValueError for one that has ended.
        """
        key, now = await self._registry.get(id), self._now()
        end = expires_at or key.expires_at
        if not key.active:
            raise ValueError(f"Key {id!r} is revoked for good. Create another.")
        if end is not None and end <= now:
            raise ValueError(f"Key {id!r} ended at {end.isoformat()}. Give it another end.")
        secret = new_secret(key.kind if key.kind in KINDS else "live")
        until = now + timedelta(seconds=overlap)
        if key.expires_at is not None:
            until = min(until, key.expires_at)
        changes = {"expires_at": _text(end), "overlap_until": _text(until)}
        entry = AuditEntry(now, self._by, "rotate", id, {"expires_at": _text(key.expires_at)}, changes)
        await self._registry.rotate(id, self._stored(secret), entry, until=until, expires_at=end)
        return Issued(await self._registry.get(id), secret)

    async def revoke(self, id: str, *, reason: str | None = None) -> APIKey:
        """End all secrets of the key; cannot be undone. Raises UnknownKey."""
        key = await self._registry.get(id)
        if not key.active:
            return key
        entry = AuditEntry(self._now(), self._by, "revoke", id, {"active": True}, {"active": False}, reason)
        await self._registry.revoke(id, entry)
        return await self._registry.get(id)

    async def _add(self, spec: KeySpec, kind: str, secret: str, *, action: str) -> APIKey:
        now = self._now()
        key = APIKey("key_" + "".join(choice(ALPHABET) for _ in range(8)), kind=kind, created_at=now, **asdict(spec))
        entry = AuditEntry(now, self._by, action, key.id, after={"kind": kind, **_described(spec)})
        await self._registry.add(key, self._stored(secret), entry)
        return key

    def _stored(self, secret: str) -> StoredSecret:
        return StoredSecret(self._hasher.digest(secret), self._hasher.version)


def _described(spec: KeySpec) -> dict[str, object]:
    """The spec in JSON types, for the audit."""
    times = {"not_before": _text(spec.not_before), "expires_at": _text(spec.expires_at)}
    lists = {"scopes": sorted(spec.scopes), "models": list(spec.models), "limits": list(spec.limits)}
    return asdict(spec) | times | lists


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()

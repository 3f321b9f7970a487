"""Whoever makes, rotates and revokes keys, and has each of it written down."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import choice
from types import MappingProxyType

from .base import APIKey, AuditEntry, KeyRegistry, StoredSecret, utc_now
from .secret import ALPHABET, KINDS, Hasher, bits, importable, new_secret

OVERLAP = 24 * 3600.0
"""Seconds for which both secrets of a rotated key are good."""
_LONGEST = 200  # characters of a name, an owner, a limit; a model's name may be as long


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySpec:
    """What a key is made for: the fields of `APIKey` that somebody chooses.

    Raises:
        ValueError: A scope is no word, a pattern has more than one `*`, a text is too long, a time has no zone, or the
            end lies before the beginning.
    """

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
                raise ValueError(
                    f"Scope {scope[:20]!r} is no lower-case word, such as 'chat', 'embeddings' or your own."
                )
        for text in (self.name, self.owner or "", *self.models, *self.limits):
            if len(text) > _LONGEST or not text.isprintable():
                raise ValueError(
                    f"{text[:20]!r} is longer than {_LONGEST} characters, or holds one that does not print."
                )
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
    """A key and its secret, which is nowhere else: show it once."""

    key: APIKey
    secret: str = field(repr=False)


class Issuer:
    """Makes and changes the keys of one registry.

    Args:
        registry: Where the keys are kept.
        by: Who does it, for the audit: a user, a host.
        hasher: The one that the keys are checked with.
        now: The wall clock.

    All methods raise KeyStoreUnavailable when the registry is away.
    """

    def __init__(
        self, registry: KeyRegistry, *, by: str, hasher: Hasher | None = None, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._registry = registry
        self._by = by[:_LONGEST]
        self._hasher = hasher or Hasher()
        self._now = now

    async def create(self, grant: KeySpec, *, kind: str = "live") -> Issued:
        """A key and its secret, of a kind that `new_secret` makes."""
        secret = new_secret(kind)
        return Issued(await self._add(grant, kind, secret, action="create"), secret)

    async def adopt(self, secret: str, grant: KeySpec) -> APIKey:
        """Take a key of another gateway, so that its clients go on unchanged.

        Raises:
            KeyExists: It is here already.
            ValueError: It cannot stand in a header, or could be guessed: it has less than 128 bits.
        """
        if not importable(secret):
            raise ValueError("The secret is not 1 to 512 printable ASCII characters without spaces.")
        if bits(secret) < 128:
            raise ValueError("The secret has less than 128 bits and could be guessed. Create a new one.")
        return await self._add(grant, "imported", secret, action="import")

    async def rotate(self, id: str, *, overlap: float = OVERLAP, expires_at: datetime | None = None) -> Issued:
        """Another secret for the key; the old one stays good for `overlap` seconds, but not beyond its own end.

        Args:
            expires_at: Another end for the key. None leaves the one it has.

        Raises:
            UnknownKey: There is none with this id.
            ValueError: The key is revoked, or its end is past.
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
        entry = self._entry("rotate", id, before={"expires_at": _text(key.expires_at)}, after=changes)
        await self._registry.rotate(id, self._stored(secret), entry, until=until, expires_at=end)
        return Issued(await self._registry.get(id), secret)

    async def revoke(self, id: str, *, reason: str | None = None) -> APIKey:
        """End all secrets of the key, for good. Raises UnknownKey."""
        key = await self._registry.get(id)
        if not key.active:
            return key
        entry = self._entry("revoke", id, before={"active": True}, after={"active": False}, reason=reason)
        await self._registry.revoke(id, entry)
        return await self._registry.get(id)

    async def _add(self, grant: KeySpec, kind: str, secret: str, *, action: str) -> APIKey:
        key = APIKey(
            id="key_" + "".join(choice(ALPHABET) for _ in range(8)),
            name=grant.name,
            owner=grant.owner,
            kind=kind,
            created_at=self._now(),
            not_before=grant.not_before,
            expires_at=grant.expires_at,
            scopes=grant.scopes,
            models=grant.models,
            limits=grant.limits,
        )
        entry = self._entry(action, key.id, after={"kind": kind, **describe(grant)})
        await self._registry.add(key, self._stored(secret), entry)
        return key

    def _stored(self, secret: str) -> StoredSecret:
        return StoredSecret(self._hasher.digest(secret), self._hasher.version)

    def _entry(
        self,
        action: str,
        id: str,
        *,
        before: Mapping[str, object] = MappingProxyType({}),
        after: Mapping[str, object],
        reason: str | None = None,
    ) -> AuditEntry:
        return AuditEntry(self._now(), self._by, action, id, before, after, reason)


def describe(grant: KeySpec) -> dict[str, object]:
    """A grant as JSON takes it, for the audit."""
    return {
        "name": grant.name,
        "owner": grant.owner,
        "not_before": _text(grant.not_before),
        "expires_at": _text(grant.expires_at),
        "scopes": sorted(grant.scopes),
        "models": list(grant.models),
        "limits": list(grant.limits),
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()

"""Creates and changes keys, each change with an audit entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from secrets import choice
from typing import Final, Unpack

from .base import APIKey, AuditEntry, KeyConflict, KeyRegistry, NewKey, StoredSecret, utc_now
from .secret import ALPHABET, KINDS, Hasher, bits, importable, new_secret
from .spec import ALL_KEYS, MAX_TEXT, KeyFields, KeyFilter, KeySpec, in_json

OVERLAP: Final = 24 * 3600.0  # seconds for which both secrets of a rotated key are good
MIN_BITS: Final = 128  # of a secret that is imported; fewer could be guessed, as the digests are fast (see secret.py)
MAX_REASON: Final = 1000  # characters: the width of the column

_BATCH: Final = 500  # keys that are read at once to look for some of them


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
        currency: That of the prices. No key gets a limit of money in another one; None lets all in.
        now: The wall clock.

    All methods raise KeyStoreUnavailable if the registry is away, and those that take an id raise UnknownKey.
    """

    def __init__(
        self,
        registry: KeyRegistry,
        *,
        by: str,
        hasher: Hasher | None = None,
        currency: str | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._registry = registry
        self._by = by[:MAX_TEXT]
        self._hasher = hasher or Hasher()
        self._currency = currency
        self._now = now

    async def create(self, spec: KeySpec, *, kind: str = "live") -> Issued:
        """Create a key of one of the `KINDS`. Raises ValueError for another kind, and for an end that is past."""
        return (await self.create_all([spec], kind=kind))[0]

    async def create_all(self, specs: Sequence[KeySpec], *, kind: str = "live") -> Sequence[Issued]:
        """Create a key for each spec, in their order: all of them, or none. Raises what `create` raises."""
        secrets = [new_secret(kind) for _ in specs]
        new = [self._new("create", spec, kind, secret) for spec, secret in zip(specs, secrets, strict=True)]
        await self._registry.add(*new)
        return [Issued(each.key, secret) for each, secret in zip(new, secrets, strict=True)]

    async def adopt(self, secret: str, spec: KeySpec) -> APIKey:
        """Import the key of another gateway, so that its clients need no change.

        Raises KeyExists, and ValueError if it cannot be sent in a header, has less than 128 bits, or has ended.
        """
        if not importable(secret):
            raise ValueError("The secret is not 1 to 512 printable ASCII characters without spaces.")
        if bits(secret) < MIN_BITS:
            raise ValueError(f"The secret has less than {MIN_BITS} bits and could be guessed. Create a new one.")
        new = self._new("import", spec, "imported", secret)
        await self._registry.add(new)
        return new.key

    async def list(
        self, where: KeyFilter = ALL_KEYS, *, after: str | None = None, most: int | None = None
    ) -> Sequence[APIKey]:
        """The keys of a filter, oldest first: those after the key of an id, and so many at most."""
        found: list[APIKey] = []
        while most is None or len(found) < most:
            batch = await self._registry.list(owner=where.owner, after=after, most=_BATCH)
            now = self._now()
            found += [key for key in batch if where.matches(key, now)]
            if len(batch) < _BATCH:
                break
            after = batch[-1].id
        return found[:most]

    async def update(self, id: str, *, reason: str | None = None, **changes: Unpack[KeyFields]) -> APIKey:
        """Change these fields of the key, and leave all others. A list replaces the whole list.

        Raises ValueError for what no key can have, an end that is past, and a revoked key.
        """
        KeySpec(**changes).check_currency(self._currency)  # before anything is read

        def updated(key: APIKey) -> APIKey:
            if key.revoked:
                raise _revoked(id)
            new = replace(key, **changes)
            times = KeySpec(not_before=new.not_before, expires_at=new.expires_at)
            if new.expires_at != key.expires_at:
                times.check_end(self._now())
            return new

        return await self._alter("update", id, updated, reason)

    async def suspend(self, id: str, *, reason: str | None = None) -> APIKey:
        """Refuse the key until it is resumed. Raises ValueError for a revoked key."""

        def suspended(key: APIKey) -> APIKey:
            if key.revoked:
                raise _revoked(id)
            return replace(key, active=False, suspended=True)

        return await self._alter("suspend", id, suspended, reason)

    async def resume(self, id: str, *, reason: str | None = None) -> APIKey:
        """End the suspension of the key. Raises ValueError for a revoked key."""

        def resumed(key: APIKey) -> APIKey:
            if key.revoked:
                raise _revoked(id)
            return replace(key, active=True, suspended=False)

        return await self._alter("resume", id, resumed, reason)

    async def revoke(self, id: str, *, reason: str | None = None) -> APIKey:
        """End all secrets of the key; cannot be undone."""
        return await self._alter("revoke", id, lambda key: replace(key, active=False, suspended=False), reason)

    async def rotate(
        self, id: str, *, overlap: float = OVERLAP, expires_at: datetime | None = None, reason: str | None = None
    ) -> Issued:
        """Give the key another secret. The old one stays good for `overlap` seconds, but not beyond its own end.

        Without `expires_at` the key keeps its end. Raises ValueError for one that has ended, and a revoked key.
        """
        key, now = await self._registry.get(id), self._now()
        end = expires_at or key.expires_at
        if key.revoked:
            raise _revoked(id)
        if end is not None and end <= now:
            raise ValueError(f"Key {id!r} ended at {end.isoformat()}. Give it another end.")
        secret = new_secret(key.kind if key.kind in KINDS else "live")
        until = now + timedelta(seconds=overlap)
        if key.expires_at is not None:
            until = min(until, key.expires_at)
        after = {"expires_at": end, "overlap_until": until}
        entry = self._entry("rotate", id, {"expires_at": key.expires_at}, after, reason)
        await self._registry.rotate(id, self._stored(secret), entry, until=until, expires_at=end)
        return Issued(await self._registry.get(id), secret)

    def _new(self, action: str, spec: KeySpec, kind: str, secret: str) -> NewKey:
        now, given = self._now(), asdict(spec)
        spec.check_end(now)
        spec.check_currency(self._currency)
        key = APIKey("key_" + "".join(choice(ALPHABET) for _ in range(8)), kind=kind, created_at=now, **given)
        return NewKey(key, self._stored(secret), self._entry(action, key.id, {}, {"kind": kind, **given}))

    async def _alter(self, action: str, id: str, altered: Callable[[APIKey], APIKey], reason: str | None) -> APIKey:
        """Keep what `altered` makes of the key, with the fields that differ in the audit. Nothing new is no change."""
        while True:
            old = await self._registry.get(id)
            new = altered(old)
            if new == old:
                return old
            before, after = asdict(old), asdict(new)
            differ = [name for name in after if after[name] != before[name]]
            was, now = ({name: fields[name] for name in differ} for fields in (before, after))
            entry = self._entry(action, id, was, now, reason)
            try:
                await self._registry.replace(old, new, entry)
            except KeyConflict:
                continue
            return new

    def _entry(
        self, action: str, id: str, before: Mapping[str, object], after: Mapping[str, object], reason: str | None = None
    ) -> AuditEntry:
        if reason is not None and len(reason) > MAX_REASON:
            raise ValueError(f"The reason has {len(reason)} characters. Take at most {MAX_REASON}.")
        return AuditEntry(self._now(), self._by, action, id, in_json(before), in_json(after), reason)

    def _stored(self, secret: str) -> StoredSecret:
        return StoredSecret(self._hasher.digest(secret), self._hasher.version)


def _revoked(id: str) -> ValueError:
    return ValueError(f"Key {id!r} is revoked for good. Create another.")

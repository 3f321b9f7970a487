"""Stores without a database: keys in memory, a fixed list, a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from .base import (
    APIKey,
    AuditEntry,
    Changed,
    FindKey,
    KeyConflict,
    KeyExists,
    NewKey,
    StoredSecret,
    UnknownKey,
    earlier,
    utc_now,
)
from .secret import Hasher, importable, well_formed


class MemoryKeyStore:
    """Keeps keys for the life of the process: for tests, and for hosts that create keys while they run.

    Args:
        imported: Whether keys of another gateway may be added.
    """

    def __init__(self, *, imported: bool = False) -> None:
        self.imported = imported
        self._keys: dict[str, APIKey] = {}
        self._secrets: dict[bytes, tuple[str, datetime | None]] = {}  # the key's id, and the end of an overlap
        self._audit: list[AuditEntry] = []
        self._watchers: list[Changed] = []

    async def find(self, digests: Sequence[bytes], /) -> APIKey | None:
        for digest in digests:
            if digest in self._secrets:
                id, end = self._secrets[digest]
                return replace(self._keys[id], expires_at=earlier(self._keys[id].expires_at, end))
        return None

    def used(self, key: APIKey, /) -> None:
        self._keys[key.id] = replace(self._keys[key.id], last_used_at=utc_now())

    def watch(self, changed: Changed, /) -> None:
        self._watchers.append(changed)

    async def add(self, *new: NewKey) -> None:
        ids = {key.id for key, _, _ in new} - self._keys.keys()
        digests = {secret.digest for _, secret, _ in new} - self._secrets.keys()
        if len(ids) < len(new) or len(digests) < len(new):
            raise KeyExists("The key is in the store already.")
        for key, secret, entry in new:
            self._keys[key.id] = key
            self._secrets[secret.digest] = key.id, None
            self._audit.append(entry)

    async def rotate(
        self, id: str, secret: StoredSecret, entry: AuditEntry, /, *, until: datetime, expires_at: datetime | None
    ) -> None:
        key = await self.get(id)
        if secret.digest in self._secrets:
            raise KeyExists("The secret is in the store already.")
        for digest, (key_id, end) in self._secrets.items():
            if key_id == id:
                self._secrets[digest] = id, earlier(end, until)
        self._keys[id] = replace(key, expires_at=expires_at)
        self._secrets[secret.digest] = id, None
        self._note(entry)

    async def replace(self, old: APIKey, new: APIKey, entry: AuditEntry, /) -> None:
        used = (await self.get(old.id)).last_used_at
        if self._keys[old.id] != replace(old, last_used_at=used):
            raise KeyConflict
        self._keys[old.id] = replace(new, last_used_at=used)
        self._note(entry)

    async def get(self, id: str, /) -> APIKey:
        if id not in self._keys:
            raise UnknownKey(id)
        return self._keys[id]

    async def list(
        self, *, owner: str | None = None, after: str | None = None, most: int | None = None
    ) -> Sequence[APIKey]:
        ids = list(self._keys)
        start = 0 if after is None else ids.index((await self.get(after)).id) + 1
        found = [key for key in map(self._keys.__getitem__, ids[start:]) if owner is None or key.owner == owner]
        return found[:most]

    async def audit(self, id: str, /) -> Sequence[AuditEntry]:
        return [entry for entry in self._audit if entry.key_id == id]

    async def aclose(self) -> None: ...

    def _note(self, entry: AuditEntry) -> None:
        self._audit.append(entry)
        for changed in self._watchers:
            changed(entry.key_id)


class StaticKeys:
    """A fixed list of keys, by their secrets, which need not be of our form.

    Raises ValueError for a secret that cannot be sent in a header, or is longer than 512 characters.
    """

    def __init__(self, keys: Mapping[str, APIKey]) -> None:
        for secret, key in keys.items():
            if not importable(secret):
                raise ValueError(f"The secret of {key.id!r} is not 1 to 512 printable ASCII characters without spaces.")
        self.imported = not all(map(well_formed, keys))
        hasher = Hasher()
        self._keys = {hasher.digest(secret): key for secret, key in keys.items()}

    async def find(self, digests: Sequence[bytes], /) -> APIKey | None:
        return next((self._keys[digest] for digest in digests if digest in self._keys), None)

    def used(self, key: APIKey, /) -> None: ...

    def watch(self, changed: Changed, /) -> None: ...

    async def aclose(self) -> None: ...

    def __repr__(self) -> str:
        return f"StaticKeys({len(self._keys)} keys)"


class CallableKeyStore:
    """A function as a store: `async (digest) -> APIKey | None`, called with one digest after the other."""

    imported = True

    def __init__(self, find: FindKey) -> None:
        self._find = find

    async def find(self, digests: Sequence[bytes], /) -> APIKey | None:
        for digest in digests:
            if (key := await self._find(digest)) is not None:
                return key
        return None

    def used(self, key: APIKey, /) -> None: ...

    def watch(self, changed: Changed, /) -> None: ...

    async def aclose(self) -> None: ...

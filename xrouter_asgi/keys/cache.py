"""The cache between requests and a key store: few lookups, and known keys that survive an outage of the store."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

from ..asgi.hooks import host_refusal
from ..context import Principal
from ..errors import KeyStoreUnavailable
from ..queueing.single_flight import SingleFlight
from ..recent import Recent
from .base import APIKey, FindKey, KeyStore, utc_now
from .memory import CallableKeyStore
from .secret import ADMIN, Hasher, importable, well_formed

logger = logging.getLogger("xrouter")

TTL = 5.0  # seconds for which a found key is used without another lookup; a change of it takes effect after them
NEGATIVE_TTL = 2.0  # seconds for which an unknown key stays unknown without another lookup
STALE_IF_ERROR = 60.0  # seconds for which a found key is used while the store is away (the name is that of RFC 5861)
TIMEOUT = 2.0  # seconds that a lookup may take before the store counts as away
RETRY_INTERVAL = 1.0  # seconds between two lookups while the store is away
PATIENCE = 0.5  # seconds that the holder of a known key waits for another lookup
CAPACITY = 10_000  # known keys that are remembered, and as many unknown ones


class _Found(NamedTuple):
    key: APIKey
    principal: Principal
    since: float
    good_until: float  # until then nobody need look at it again


class CachedKeys:
    """Checks secrets against a store, and remembers what the store said.

    Known and unknown keys have a cache each: junk cannot displace good keys. Concurrent lookups of one secret are one
    lookup. A change takes effect at once if the store notifies of it, and otherwise after `TTL` seconds, or
    `STALE_IF_ERROR` if the store goes away in between or does not answer within `PATIENCE`: then a known key is used at
    once, and looked up in the background.

    Args:
        store: Where keys are kept; or a function `async (digest) -> APIKey | None`.
        hasher: The one that the keys were stored with.
        clock: Monotonic seconds, for the age of an entry.
        now: The wall clock, for the validity of a key.

    Raises TypeError for a store that lacks a method.
    """

    def __init__(
        self,
        store: KeyStore | FindKey,
        *,
        hasher: Hasher | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = _as_store(store)
        self._hasher = hasher or Hasher()
        self._clock = clock
        self._now = now
        # What is remembered is keyed for this process, so that the digests in a dump of it open nothing elsewhere.
        self._keyed = blake2b(key=os.urandom(32), digest_size=32)
        self._known: Recent[bytes, _Found] = Recent(CAPACITY)
        self._unknown: Recent[bytes, float] = Recent(CAPACITY)
        self._flights: SingleFlight[bytes, APIKey | None] = SingleFlight()
        self._away = False
        self._slow = False  # a known key has waited for a lookup in vain; until one ends, no other waits at all
        self._retry_at = 0.0
        self._under_way: list[set[str | None]] = []  # of each lookup, what changed since it began
        self._store.watch(self._changed)

    def remembered(self, secret: str) -> Principal | None:
        """The principal of a key that is known to be good now. None says nothing of the key: `check` it."""
        found = self._known.get(self._digest(secret))
        if found is None or found.good_until <= self._clock():
            return None
        self._store.used(found.key)
        return found.principal

    async def check(self, secret: str) -> APIKey | None:
        """The key of this secret; None if it is unknown, revoked, expired or not yet valid, without a difference.

        Raises KeyStoreUnavailable, unless an entry of the last `STALE_IF_ERROR` seconds says that the key is good; and
        HostRefusal if a function in place of the store raises an `HTTPException`.
        """
        if not (well_formed(secret) or (self._store.imported and importable(secret))):
            return None
        key = await self._find(secret)
        if key is not None:
            self._store.used(key)
        return key

    async def wait(self) -> None:
        """Wait until every lookup under way has ended."""
        await self._flights.wait()

    async def aclose(self) -> None:
        """Wait for the lookups under way, then close the store."""
        await self.wait()
        await self._store.aclose()

    async def _find(self, secret: str) -> APIKey | None:
        now, digest = self._clock(), self._digest(secret)
        known = self._known.get(digest)
        good = known is not None and known.key.usable(self._now())
        # A key that is no longer good is cached like an unknown one, so that timing does not tell them apart.
        if known is not None and now < known.since + (TTL if good else NEGATIVE_TTL):
            return known.key if good else None
        since = self._unknown.get(digest)
        if since is not None and now < since + NEGATIVE_TTL:
            return None
        usable = known is not None and good and now < known.since + STALE_IF_ERROR
        try:
            key = await self._ask(secret, digest, now, patience=(0 if self._slow else PATIENCE) if usable else None)
        except (KeyStoreUnavailable, TimeoutError):
            if known is not None and usable:
                return known.key
            raise
        return key if key is not None and key.usable(self._now()) else None

    async def _ask(self, secret: str, digest: bytes, now: float, *, patience: float | None) -> APIKey | None:
        """Look a key up. Raises TimeoutError when that takes longer than `patience`; the lookup goes on."""
        if self._away:
            if now < self._retry_at:
                raise _unavailable()
            # This caller tries; the others do not wait for it.
            self._retry_at = now + RETRY_INTERVAL
        until = None if patience is None else asyncio.get_running_loop().time() + patience
        try:
            return await self._flights.do(digest, lambda: self._look_up(secret, digest), deadline=until)
        except TimeoutError:
            self._slow = True
            raise

    async def _look_up(self, secret: str, digest: bytes) -> APIKey | None:
        try:
            async with asyncio.timeout(TIMEOUT):
                key, since = await self._find_unchanged(self._hasher.digests(secret))
        except Exception as exc:  # no exception of a store may admit anyone, or become a 500
            if (refusal := host_refusal(exc)) is not None and refusal.status < 500:
                raise refusal from exc  # the host's function is well, and says no
            self._lost(exc)
            raise _unavailable() from exc
        self._slow = False
        if self._away:
            self._away = False
            logger.warning("The key store answers again.")
        if key is None:
            self._known.discard(digest)
            self._unknown.put(digest, since)
        else:
            self._known.put(digest, _Found(key, key.principal(), since, self._good_until(key, since)))
        return key

    def _good_until(self, key: APIKey, since: float) -> float:
        """When a key that was found must be looked at again: after `TTL`, at its end, or at once if it is not good.

        A key of kind `admin` is always looked at, because it is good in one place only.
        """
        now = self._now()
        if key.kind == ADMIN or not key.usable(now):
            return since
        if key.expires_at is None:
            return since + TTL
        return min(since + TTL, self._clock() + (key.expires_at - now).total_seconds())

    def _digest(self, secret: str) -> bytes:
        digest = self._keyed.copy()
        digest.update(secret.encode("utf-8", "surrogatepass"))
        return digest.digest()

    async def _find_unchanged(self, digests: Sequence[bytes]) -> tuple[APIKey | None, float]:
        """The key, and when the lookup began. Looks it up again if it changed meanwhile."""
        changed: set[str | None] = set()
        self._under_way.append(changed)
        try:
            while True:
                # The age counts from the start: the key may change between the store's read and its answer.
                since = self._clock()
                key = await self._store.find(digests)
                if key is None or changed.isdisjoint((key.id, None)):
                    return key, since
                changed.clear()
        finally:
            self._under_way = [other for other in self._under_way if other is not changed]

    def _changed(self, id: str | None) -> None:
        """Forget a changed key. If any key may have changed, look all up again, but forget none.

        So a store that goes away right after it notified does not lock everybody out.
        """
        for changed in self._under_way:
            changed.add(id)
        for digest, known in list(self._known.items()):
            if id is None:
                now = self._clock()
                self._known.put(digest, known._replace(since=min(known.since, now - TTL), good_until=now))
            elif known.key.id == id:
                self._known.discard(digest)

    def _lost(self, error: Exception) -> None:
        if not self._away:
            why = getattr(error, "detail", None) or type(error).__name__
            logger.error("The key store cannot be asked (%s). Known keys stay good for %.0f s.", why, STALE_IF_ERROR)
        self._away = True
        self._retry_at = self._clock() + RETRY_INTERVAL


def _as_store(store: KeyStore | FindKey) -> KeyStore:
    if isinstance(store, KeyStore):
        return store
    if callable(store):
        return CallableKeyStore(store)
    missing = [name for name in ("imported", "find", "used", "watch", "aclose") if not hasattr(store, name)]
    raise TypeError(f"{type(store).__name__} is not a KeyStore: it has no {', '.join(missing)}.")


def _unavailable() -> KeyStoreUnavailable:
    message = "API keys cannot be checked right now. Try again in a moment."
    return KeyStoreUnavailable(message, retry_after=RETRY_INTERVAL)

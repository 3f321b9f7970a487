"""The cache between requests and a key store: few lookups, and known keys that survive an outage of the store."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from ..asgi.hooks import host_refusal
from ..errors import KeyStoreUnavailable
from ..queueing.single_flight import SingleFlight
from ..recent import Recent
from .base import APIKey, FindKey, KeyStore, utc_now
from .memory import CallableKeyStore
from .secret import Hasher, importable, well_formed

logger = logging.getLogger("xrouter")

TTL = 5.0  # seconds for which a found key is used without another lookup; a revocation takes effect after them
NEGATIVE_TTL = 2.0  # seconds for which an unknown key stays unknown without another lookup
STALE_IF_ERROR = 60.0  # seconds for which a found key is used while the store is away (the name is that of RFC 5861)
TIMEOUT = 2.0  # seconds that a lookup may take before the store counts as away
RETRY_INTERVAL = 1.0  # seconds between two lookups while the store is away
PATIENCE = 0.5  # seconds that the holder of a known key waits for another lookup
CAPACITY = 10_000  # known keys that are remembered, and as many unknown ones


class _Found(NamedTuple):
    key: APIKey
    since: float


class CachedKeys:
    """Checks secrets against a store, and remembers what the store said.

    Known and unknown keys have a cache each: junk cannot displace good keys. Concurrent lookups of one secret are one
    lookup. A revocation takes effect after `TTL` seconds, or `STALE_IF_ERROR` if the store goes away in between or does
    not answer within `PATIENCE`: then a known key is used at once, and looked up in the background.

    Args:
        store: Where keys are kept; or a function `async (digest) -> APIKey | None`.
        hasher: The one that the keys were stored with.
        clock: Monotonic seconds, for the age of an entry.
        now: The wall clock, for the validity of a key.
    """

    def __init__(
        self,
        store: KeyStore | FindKey,
        *,
        hasher: Hasher | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store: KeyStore = store if isinstance(store, KeyStore) else CallableKeyStore(store)
        self._hasher = hasher or Hasher()
        self._clock = clock
        self._now = now
        self._known: Recent[bytes, _Found] = Recent(CAPACITY)
        self._unknown: Recent[bytes, float] = Recent(CAPACITY)
        self._flights: SingleFlight[bytes, APIKey | None] = SingleFlight()
        self._away = False
        self._slow = False  # a known key has waited for a lookup in vain; until one ends, no other waits at all
        self._retry_at = 0.0

    async def check(self, secret: str) -> APIKey | None:
        """The key of this secret; None if it is unknown, revoked, expired or not yet valid, without a difference.

        Raises KeyStoreUnavailable, unless an entry of the last `STALE_IF_ERROR` seconds says that the key is good; and
        HostRefusal if a function in place of the store raises an `HTTPException`.
        """
        if not (well_formed(secret) or (self._store.imported and importable(secret))):
            return None
        key = await self._find(self._hasher.digests(secret))
        if key is not None:
            self._store.used(key)
        return key

    async def aclose(self) -> None:
        await self._flights.wait()
        await self._store.aclose()

    async def _find(self, digests: Sequence[bytes]) -> APIKey | None:
        now = self._clock()
        known = self._known.get(digests[0])
        good = known is not None and known.key.usable(self._now())
        # A key that is no longer good is cached like an unknown one, so that timing does not tell them apart.
        if known is not None and now < known.since + (TTL if good else NEGATIVE_TTL):
            return known.key if good else None
        since = self._unknown.get(digests[0])
        if since is not None and now < since + NEGATIVE_TTL:
            return None
        usable = known is not None and good and now < known.since + STALE_IF_ERROR
        try:
            key = await self._ask(digests, now, patience=(0 if self._slow else PATIENCE) if usable else None)
        except (KeyStoreUnavailable, TimeoutError):
            if known is not None and usable:
                return known.key
            raise
        return key if key is not None and key.usable(self._now()) else None

    async def _ask(self, digests: Sequence[bytes], now: float, *, patience: float | None) -> APIKey | None:
        """Look a key up. Raises TimeoutError when that takes longer than `patience`; the lookup goes on."""
        if self._away:
            if now < self._retry_at:
                raise _unavailable()
            # This caller tries; the others do not wait for it.
            self._retry_at = now + RETRY_INTERVAL
        until = None if patience is None else asyncio.get_running_loop().time() + patience
        try:
            return await self._flights.do(digests[0], lambda: self._look_up(digests), deadline=until)
        except TimeoutError:
            self._slow = True
            raise

    async def _look_up(self, digests: Sequence[bytes]) -> APIKey | None:
        # The age counts from the start: the key may be revoked between the store's read and its answer.
        since = self._clock()
        try:
            async with asyncio.timeout(TIMEOUT):
                key = await self._store.find(digests)
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
            self._known.discard(digests[0])
            self._unknown.put(digests[0], since)
        else:
            self._known.put(digests[0], _Found(key, since))
        return key

    def _lost(self, error: Exception) -> None:
        if not self._away:
            why = getattr(error, "detail", None) or type(error).__name__
            logger.error("The key store cannot be asked (%s). Known keys stay good for %.0f s.", why, STALE_IF_ERROR)
        self._away = True
        self._retry_at = self._clock() + RETRY_INTERVAL


def _unavailable() -> KeyStoreUnavailable:
    message = "API keys cannot be checked right now. Try again in a moment."
    return KeyStoreUnavailable(message, retry_after=RETRY_INTERVAL)

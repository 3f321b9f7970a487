"""What stands between requests and a store: it makes lookups rare, and an outage of the store bearable."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..errors import KeyStoreUnavailable
from ..queueing.single_flight import SingleFlight
from ..recent import Recent
from .base import APIKey, FindKey, KeyStore, utc_now
from .memory import CallableKeyStore
from .secret import Hasher, importable, well_formed

logger = logging.getLogger("xrouter")

FRESH = 5.0
"""Seconds a found key is good without asking again: the bound of a revocation made elsewhere."""
MISSING = 2.0
"""Seconds an unknown key stays unknown without asking again."""
STALE = 60.0
"""Seconds a found key is good while the store cannot be asked."""
PATIENCE = 2.0
"""Seconds a lookup may take before the store counts as away."""
PAUSE = 1.0
"""Seconds between two attempts to reach a store that is away."""
ENTRIES = 10_000
"""Of known keys, and as many of unknown ones."""


@dataclass(frozen=True, slots=True)
class _Known:
    key: APIKey
    since: float


class CachedKeys:
    """Checks secrets against a store, with a memory of its answers.

    It is keyed by whole digests; known and unknown ones are apart, so that junk cannot push good keys out. Lookups of
    the same secret share one flight. A revocation made anywhere is effective after `FRESH` seconds, or after
    `STALE` when the store goes away in between.

    Args:
        store: Where keys are; also a function `async (digest) -> APIKey | None`.
        hasher: The one that the keys were stored with.
        clock: Monotonic seconds, for the age of answers.
        now: The wall clock, for the validity of keys.
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
        self._known: Recent[bytes, _Known] = Recent(ENTRIES)
        self._unknown: Recent[bytes, float] = Recent(ENTRIES)
        self._flights: SingleFlight[bytes, APIKey | None] = SingleFlight()
        self._away = False
        self._ask_again_at = 0.0

    async def check(self, secret: str) -> APIKey | None:
        """The key that the secret opens. None when it is unknown, revoked, expired or not yet good: all one case.

        Raises:
            KeyStoreUnavailable: The store cannot tell, and the key was not seen to be good in the last minute.
        """
        if not (well_formed(secret) or (self._store.imported and importable(secret))):
            return None
        key = await self._find(self._hasher.digests(secret))
        if key is None or not key.usable(self._now()):
            return None
        self._store.used(key)
        return key

    async def aclose(self) -> None:
        """Close the store, once the lookups under way have ended."""
        await self._flights.wait()
        await self._store.aclose()

    async def _find(self, digests: Sequence[bytes]) -> APIKey | None:
        now = self._clock()
        known = self._known.get(digests[0])
        good = known is not None and known.key.usable(self._now())
        # A key that is no longer good is treated as one that never was, so that time does not tell them apart.
        if known is not None and now < known.since + (FRESH if good else MISSING):
            return known.key
        unknown_since = self._unknown.get(digests[0])
        if unknown_since is not None and now < unknown_since + MISSING:
            return None
        try:
            return await self._ask(digests, now)
        except KeyStoreUnavailable:
            if known is not None and good and now < known.since + STALE:
                return known.key
            raise

    async def _ask(self, digests: Sequence[bytes], now: float) -> APIKey | None:
        if self._away:
            if now < self._ask_again_at:
                raise _unavailable()
            # This one tries; the others do not wait for it.
            self._ask_again_at = now + PAUSE
        return await self._flights.do(digests[0], lambda: self._look_up(digests))

    async def _look_up(self, digests: Sequence[bytes]) -> APIKey | None:
        # The age counts from the question: the key may be revoked before the answer is here.
        since = self._clock()
        try:
            async with asyncio.timeout(PATIENCE):
                key = await self._store.find(digests)
        except Exception as exc:  # Whatever a store raises, it must neither admit anyone nor be a 500.
            self._lost(exc)
            raise _unavailable() from exc
        if self._away:
            self._away = False
            logger.warning("The key store answers again.")
        if key is None:
            self._known.discard(digests[0])
            self._unknown.put(digests[0], since)
        else:
            self._known.put(digests[0], _Known(key, since))
        return key

    def _lost(self, error: Exception) -> None:
        if not self._away:
            why = getattr(error, "detail", None) or type(error).__name__
            logger.error("The key store cannot be asked (%s). Known keys stay good for %.0f s.", why, STALE)
        self._away = True
        self._ask_again_at = self._clock() + PAUSE


def _unavailable() -> KeyStoreUnavailable:
    return KeyStoreUnavailable("API keys cannot be checked right now. Try again in a moment.", retry_after=PAUSE)

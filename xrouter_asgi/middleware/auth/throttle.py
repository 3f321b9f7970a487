"""The throttle for wrong keys: it slows guessing down before a guess costs a lookup."""

from __future__ import annotations

import hashlib
import os
from asyncio import get_running_loop

from ...recent import Recent

INTERVAL = 0.2
"""Seconds for which a wrong key is held against its address."""
BURST = 1.0
"""Seconds by which an address may be ahead: it may send 5 wrong keys at once."""
ADDRESSES = 10_000
"""Addresses that are remembered after a failure."""
TRUSTED = 10_000
"""Secrets that are remembered as good."""


class Failures:
    """Counts wrong keys by address, and remembers the right ones.

    An address may send 5 wrong keys in a second, then it has to wait. A key that was right before does not wait: behind
    a proxy or in an office all callers share one address. It is checked all the same.
    """

    def __init__(self) -> None:
        # By address: when all of its failures will be forgotten. A leaky bucket in one number (GCRA).
        self._clean: Recent[str, float] = Recent(ADDRESSES)
        # The digests are keyed, so that those in a dump of this process open nothing elsewhere.
        self._pepper = os.urandom(32)
        self._trusted: Recent[bytes, bool] = Recent(TRUSTED)

    def wait(self, address: str, secret: str) -> float:
        """Seconds until this address may try this secret; 0 if it may now."""
        if not self._clean:
            return 0.0
        clean = self._clean.get(address) or 0.0
        wait = clean + INTERVAL - BURST - get_running_loop().time()
        # Nobody waits for a rounding error.
        return 0.0 if wait < 1e-6 or self._digest(secret) in self._trusted else wait

    def wrong(self, address: str, secret: str) -> None:
        now = get_running_loop().time()
        self._trusted.discard(self._digest(secret))
        clean = max(now, self._clean.get(address) or 0.0) + INTERVAL
        # Failures of requests that ran together do not add up: the wait is one interval at most.
        self._clean.put(address, min(clean, now + BURST))

    def right(self, secret: str) -> None:
        self._trusted.put(self._digest(secret), True)

    def _digest(self, secret: str) -> bytes:
        return hashlib.blake2b(secret.encode("latin-1"), key=self._pepper, digest_size=32).digest()

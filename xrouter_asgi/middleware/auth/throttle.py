"""The throttle for wrong keys: it slows guessing down before a guess costs a lookup."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable

from ...recent import Recent

ADDRESSES = 10_000  # that are remembered after a failure
TRUSTED = 10_000  # secrets that are remembered as good


class Failures:
    """Counts wrong keys by address, and remembers the right ones.

    An address may send `rate` wrong keys in a second, then it has to wait. A key that was right before does not wait:
    behind a proxy or in an office all callers share one address. It is checked all the same.

    Args:
        rate: Wrong keys per second and address. Above 0.
        clock: Monotonic seconds.

    Raises:
        ValueError: The rate is not above 0.
    """

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not 0 < rate < math.inf:
            raise ValueError(f"Wrong keys per second must be a number above 0, not {rate!r}.")
        self._interval = 1 / rate
        self._burst = max(1.0, rate) * self._interval
        self._clock = clock
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
        wait = clean + self._interval - self._burst - self._clock()
        # Nobody waits for a rounding error.
        return 0.0 if wait < 1e-6 or self._digest(secret) in self._trusted else wait

    def wrong(self, address: str, secret: str) -> None:
        now = self._clock()
        self._trusted.discard(self._digest(secret))
        clean = max(now, self._clean.get(address) or 0.0) + self._interval
        # Failures of requests that ran together do not add up: the wait is one interval at most.
        self._clean.put(address, min(clean, now + self._burst))

    def right(self, secret: str) -> None:
        self._trusted.put(self._digest(secret), True)

    def _digest(self, secret: str) -> bytes:
        return hashlib.blake2b(secret.encode("latin-1"), key=self._pepper, digest_size=32).digest()

"""How often an address may be wrong: guessing is slowed down before it costs a lookup."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable
from ipaddress import IPv6Address

from ...recent import Recent

ADDRESSES = 10_000
"""Addresses that are remembered after a failure."""
TRUSTED = 10_000
"""Secrets that are remembered as good."""


class Failures:
    """Counts wrong keys by address, and remembers which keys were right.

    An address may be wrong `rate` times in a second, then has to wait. A key that was right before never waits for
    its neighbours: behind a proxy or in an office every caller has the same address. It is checked all the same.

    Args:
        rate: Wrong keys per second and address. Above 0.
        clock: Monotonic seconds.

    Raises:
        ValueError: For a rate that is not above 0.
    """

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not 0 < rate < math.inf:
            raise ValueError(f"Wrong keys per second must be a number above 0, not {rate!r}.")
        self._interval = 1 / rate
        self._burst = max(1.0, rate) * self._interval
        self._clock = clock
        # By address, when all of its failures will be forgotten: a leaky bucket in one number (GCRA).
        self._clean: Recent[bytes | str, float] = Recent(ADDRESSES)
        # Keyed, so that these digests are of use nowhere else, such as in a dump of this process.
        self._pepper = os.urandom(32)
        self._trusted: Recent[bytes, bool] = Recent(TRUSTED)

    def wait(self, address: str, secret: str) -> float:
        """Seconds until this address may try this secret; 0 for now."""
        if not self._clean:
            return 0.0
        clean = self._clean.get(_network(address)) or 0.0
        wait = clean + self._interval - self._burst - self._clock()
        # A rounding error is no reason to wait.
        return 0.0 if wait < 1e-6 or self._digest(secret) in self._trusted else wait

    def wrong(self, address: str, secret: str) -> None:
        now = self._clock()
        self._trusted.discard(self._digest(secret))
        network = _network(address)
        clean = max(now, self._clean.get(network) or 0.0) + self._interval
        # Failures that were under way together do not add up: the wait is one interval at most.
        self._clean.put(network, min(clean, now + self._burst))

    def right(self, secret: str) -> None:
        self._trusted.put(self._digest(secret), True)

    def _digest(self, secret: str) -> bytes:
        return hashlib.blake2b(secret.encode("latin-1"), key=self._pepper, digest_size=32).digest()


def _network(address: str) -> bytes | str:
    """What one caller holds: an IPv4 address, or the /64 of an IPv6 address, which has 2^64 to choose from."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped) if parsed.ipv4_mapped is not None else parsed.packed[:8]

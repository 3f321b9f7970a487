"""The Lua scripts of this folder, which count in Redis or Valkey, as methods."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from .base import SLICES, Charge, LimitStatus, Reservation

if TYPE_CHECKING:
    from redis.asyncio import Redis

CONNECTIONS: Final = 32  # more make no server faster, and keep this process so busy that answers seem to be late

_LEASE_TTL: Final = 3_600  # seconds for tokens or a slot; a lease that is settled later keeps its estimated cost
_BATCH: Final = 500  # slots renewed by one call, because Redis does nothing else meanwhile
_SCHEMES: Final = {
    "redis": "redis",
    "rediss": "rediss",
    "unix": "unix",
    "valkey": "redis",
    "valkeys": "rediss",
    "redis+unix": "unix",
    "valkey+unix": "unix",
}


class RedisScripts:
    """Runs the scripts on one server. A call is one round trip, uses the server's clock, and may be repeated.

    All keys have one hash tag, so that a cluster keeps them on one node, where one script can reach them. Keys hold
    digests, never text of a client.

    Args:
        url: As redis-py takes it; also the schemes `valkey`, `valkeys` and `redis+unix` of the library `limits`.
        slot_ttl: Seconds that a slot is held without being renewed.
    """

    def __init__(self, url: str, *, slot_ttl: float) -> None:
        self._redis = _connect(url)
        self._slot_ttl = slot_ttl
        folder = files(__package__)
        self._reserve, self._settle, self._renew = (
            self._redis.register_script(folder.joinpath(f"{name}.lua").read_text("utf-8"))
            for name in ("reserve", "settle", "renew")
        )

    async def probe(self) -> None:
        """Reserve nothing. A PING would not do: a full server and a replica answer it too."""
        await self.reserve(os.urandom(16).hex(), [])

    async def reserve(self, lease: str, charges: Sequence[Charge]) -> Reservation:
        # A charge for requests alone is settled only to give it back, which happens at once or never.
        lease_ttl = self._slot_ttl if all(charge.limit.unit == "requests" for charge in charges) else _LEASE_TTL
        arguments: list[str | int] = [lease, round(self._slot_ttl * 1e6), round(lease_ttl * 1e3), SLICES]
        for charge in charges:
            arguments += charge.limit.amount, charge.cost, round(charge.limit.window * 1e6)
        refused, wait, *numbers = await self._reserve(_keys(lease, charges), arguments)
        statuses = tuple(
            LimitStatus(charge.limit, remaining, reset / 1e6)
            for charge, remaining, reset in zip(charges, numbers[::2], numbers[1::2], strict=True)
        )
        limit = charges[refused - 1].limit if refused else None
        return Reservation(limit is None, limit, wait / 1e6, statuses)

    async def settle(self, lease: str, charges: Sequence[Charge], differences: Sequence[int]) -> None:
        arguments: list[str | int] = [lease, round(self._slot_ttl * 1e3), SLICES]
        for charge, difference in zip(charges, differences, strict=True):
            arguments += difference, round(charge.limit.window * 1e6)
        await self._settle(_keys(lease, charges), arguments)

    async def renew(self, slots: Mapping[str, Sequence[Charge]]) -> None:
        """Hold the slots of these leases for another `slot_ttl`."""
        pairs = [(lease, slot) for lease, charges in slots.items() for slot in charges]
        for start in range(0, len(pairs), _BATCH):
            batch = pairs[start : start + _BATCH]
            keys = [key for lease, slot in batch for key in _keys(lease, [slot])]
            await self._renew(keys, [round(self._slot_ttl * 1e6), *(lease for lease, _ in batch)])

    async def aclose(self) -> None:
        await self._redis.aclose()


def _connect(url: str) -> Redis:
    """A client that connects at first use, and tries every command twice, the second time on a new connection."""
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:  # the message does not show the rest of the URL, which may hold a password
        raise ValueError(f"RedisLimits cannot use a URL of the scheme {scheme[:32]!r}. Known: {', '.join(_SCHEMES)}.")
    try:
        from redis.asyncio import ConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError, ReadOnlyError
    except ImportError as error:
        raise ImportError('RedisLimits needs redis-py. Install it with: pip install "xrouter-asgi[redis]"') from error
    pool = ConnectionPool.from_url(
        f"{_SCHEMES[scheme]}://{rest}",
        max_connections=CONNECTIONS + 1,  # one for probes
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[ConnectionError, ReadOnlyError],  # the server closed an idle connection; became a replica
    )
    return Redis.from_pool(pool)


def _keys(lease: str, charges: Sequence[Charge]) -> list[str]:
    keys = [f"{{xrouter}}:lease:{lease}"]
    for charge in charges:
        limit = charge.limit
        name = f"{limit.amount} {limit.unit} {limit.window} {limit.per} {charge.subject}"
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        keys.append(f"{{xrouter}}:{limit.unit}:{digest}")
    return keys

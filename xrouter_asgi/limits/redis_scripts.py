"""Counts in Redis or Valkey: what the Lua files of this folder do, as calls."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .base import PARTS, Charge, LimitStatus, Reservation

if TYPE_CHECKING:
    from redis.asyncio import Redis

Command: TypeAlias = Callable[..., Awaitable[Any]]

CONNECTIONS: Final = 32
"""More at once make no server faster, and take this process so long that answers seem to be late."""

_KEPT: Final = 3_600
"""Seconds that a lease with tokens or a place may run; one that is settled later leaves its estimate as it is."""
_BATCH: Final = 500  # places held by one call: Redis does nothing else meanwhile
_SCHEMES: Final = {
    "redis": "redis",
    "rediss": "rediss",
    "unix": "unix",
    "valkey": "redis",
    "valkeys": "rediss",
    "redis+unix": "unix",
    "valkey+unix": "unix",
}


class RedisCounts:
    """Asks one server. Every call is one round trip, counts by the server's clock, and may be repeated.

    All keys stand under one hash tag, so that a cluster keeps them on one node, where one script can reach them. They
    hold digests, never what a client sent.

    Args:
        url: As redis-py takes it; the schemes `valkey`, `valkeys` and `redis+unix` of the library `limits` as well.
        life: Seconds that a place is held without being announced again.
    """

    def __init__(self, url: str, *, life: float) -> None:
        self._redis = _connect(url)
        self._life = life
        self._command: Command = self._redis.execute_command
        self._reserve, self._settle, self._announce = (
            _Script(self._command, name) for name in ("reserve", "settle", "announce")
        )

    async def probe(self) -> None:
        """Do what a reservation does, for nobody: a server that is full or a replica answers a PING, too."""
        await self.reserve(os.urandom(16).hex(), [])

    async def reserve(self, lease: str, charges: Sequence[Charge]) -> Reservation:
        """Take all or none."""
        # A request is not settled unless it is given back, and that is decided at once.
        kept = self._life if all(charge.limit.unit == "requests" for charge in charges) else _KEPT
        arguments: list[object] = [lease, _micro(self._life), _milli(kept), PARTS]
        for charge in charges:
            arguments += charge.limit.amount, charge.cost, _micro(charge.limit.window)
        refused, wait, *numbers = await self._reserve(_keys(lease, charges), arguments)
        standings = tuple(
            LimitStatus(charge.limit, remaining, reset / 1e6)
            for charge, remaining, reset in zip(charges, numbers[::2], numbers[1::2], strict=True)
        )
        limit = charges[refused - 1].limit if refused else None
        return Reservation(limit is None, limit, wait / 1e6, standings)

    async def settle(self, lease: str, charges: Sequence[Charge], differences: Sequence[int]) -> None:
        """Correct what was taken, once."""
        arguments: list[object] = [lease, _milli(self._life), PARTS]
        for charge, difference in zip(charges, differences, strict=True):
            arguments += difference, _micro(charge.limit.window)
        await self._settle(_keys(lease, charges), arguments)

    async def announce(self, places: Mapping[str, Sequence[Charge]]) -> None:
        """Hold the places of these leases for another life."""
        pairs = [(lease, place) for lease, charges in places.items() for place in charges]
        for start in range(0, len(pairs), _BATCH):
            batch = pairs[start : start + _BATCH]
            keys = [key for lease, place in batch for key in _keys(lease, [place])]
            await self._announce(keys, [_micro(self._life), *(lease for lease, _ in batch)])

    async def aclose(self) -> None:
        await self._redis.aclose()


class _Script:
    """A Lua file, sent whole when the server does not know it yet or any more."""

    def __init__(self, command: Command, name: str) -> None:
        self._command = command
        self._text = files(__package__).joinpath(f"{name}.lua").read_text("utf-8")
        self._digest = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        from redis.exceptions import NoScriptError

        rest = (len(keys), *keys, *arguments)
        try:
            return await self._command("EVALSHA", self._digest, *rest)
        except NoScriptError:
            return await self._command("EVAL", self._text, *rest)


def _connect(url: str) -> Redis:
    """A client that connects when it is first used, and asks twice, once on a new connection.

    Raises:
        ValueError: A scheme nobody knows here. The rest of the URL may hold a password and is not shown.
        ImportError: redis-py is not installed.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
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
        max_connections=CONNECTIONS + 1,  # one to find out whether the server is back
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[ConnectionError, ReadOnlyError],  # closed while idle; demoted to a replica
    )
    return Redis.from_pool(pool)


def _keys(lease: str, charges: Sequence[Charge]) -> list[str]:
    return [f"{{xrouter}}:lease:{lease}", *map(_key, charges)]


def _key(charge: Charge) -> str:
    limit = charge.limit
    name = f"{limit.amount} {limit.unit} {limit.window} {limit.per} {charge.subject}"
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{{xrouter}}:{limit.unit}:{digest}"


def _micro(seconds: float) -> int:
    return round(seconds * 1e6)


def _milli(seconds: float) -> int:
    return round(seconds * 1e3)

"""Responses in a Redis or Valkey that several processes share."""

from __future__ import annotations

import asyncio
import logging
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeVar

from ..checks import require_positive
from ..wire import KeptResponse
from ..wire.codec import decode, encode

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

TIMEOUT: Final = 0.05  # seconds that a request waits for an answer of Redis
MAX_KEPT: Final = 16 << 20  # bytes of a response that is kept

_CONNECT_TIMEOUT: Final = 1.0
_CONNECTIONS: Final = 16
_PAUSE: Final = 1.0  # seconds for which a Redis that failed is left alone
_LARGE: Final = 64 << 10  # bytes; to pack more than this would hold up every other request
_VALKEY = re.compile(r"^valkey(?=s?://)")

logger = logging.getLogger("xrouter")


class RedisResponses:
    """Keeps responses for all processes that use one Redis or Valkey.

    Names in it are digests, and texts are packed by zlib. While it does not answer, it is as if nothing were kept.

    Args:
        url: `redis://`, `rediss://`, `unix://`, or the same for Valkey; as redis-py takes it.
        ttl: Seconds that a response is kept after its last use.
        timeout: Seconds that a request waits for an answer.

    Raises ValueError for an unknown scheme, and ImportError without redis-py.
    """

    def __init__(self, url: str, *, ttl: float = 3600.0, timeout: float = TIMEOUT) -> None:
        require_positive(ttl=ttl, timeout=timeout)
        self.ttl = ttl
        self._redis = _connect(url, timeout=timeout)
        self._away_until = 0.0
        self._away = False

    async def put(self, owner: str, kept: KeptResponse, /) -> None:
        if kept.size > MAX_KEPT:
            return
        packed = _pack(kept) if kept.size <= _LARGE else await asyncio.to_thread(_pack, kept)
        await self._ask(lambda: self._redis.set(_name(owner, kept.id), packed, px=self._milliseconds), None)

    async def find(self, owner: str, ids: Sequence[str], /) -> Mapping[str, KeptResponse]:
        pipeline = self._redis.pipeline(transaction=False)
        for id in ids:
            pipeline.getex(_name(owner, id), px=self._milliseconds)
        answers: list[bytes | None] = await self._ask(pipeline.execute, [])
        packed = {id: answer for id, answer in zip(ids, answers, strict=False) if answer is not None}
        if sum(map(len, packed.values())) <= _LARGE:
            return _unpack_all(packed)
        return await asyncio.to_thread(_unpack_all, packed)

    async def delete(self, owner: str, id: str, /) -> bool:
        return bool(await self._ask(lambda: self._redis.delete(_name(owner, id)), 0))

    async def aclose(self) -> None:
        await self._redis.aclose()

    @property
    def _milliseconds(self) -> int:
        return max(1, round(self.ttl * 1000))

    async def _ask(self, operation: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """The answer of Redis, or `otherwise` while it does not answer, for every failure of it or of a library."""
        time = asyncio.get_running_loop().time
        if time() < self._away_until:
            return otherwise
        try:
            answer = await operation()
        except Exception as error:
            self._away_until = time() + _PAUSE
            if not self._away:
                self._away = True
                logger.warning("The Redis of the responses is away (%s: %.200s)", type(error).__name__, error)
            return otherwise
        if self._away:
            self._away = False
            logger.warning("The Redis of the responses is back")
        return answer


def _connect(url: str, *, timeout: float) -> Redis:
    """A client that connects at first use, and tries every command twice, the second time on a new connection."""
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError
    except ImportError as error:
        message = 'RedisResponses needs redis-py. Install it with: pip install "xrouter-asgi[redis]"'
        raise ImportError(message) from error
    try:
        pool = BlockingConnectionPool.from_url(
            _VALKEY.sub("redis", url),
            max_connections=_CONNECTIONS,
            timeout=timeout,  # to wait for a free one
            socket_connect_timeout=_CONNECT_TIMEOUT,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 1),
            retry_on_error=[ConnectionError],  # the server closed an idle connection
        )
    except ValueError:  # which quotes a part of the URL, maybe of its password
        message = 'RedisResponses cannot use this URL. Write "redis://USER:PASSWORD@HOST:PORT/NUMBER"; in a password'
        raise ValueError(f"{message}, %2F stands for /, %23 for #, %3F for ? and %40 for @.") from None
    return Redis.from_pool(pool)


def _name(owner: str, id: str) -> str:
    digest = blake2b(f"{owner}\0{id}".encode("utf-8", "surrogatepass"), digest_size=20)
    return f"xrouter:response:{digest.hexdigest()}"


def _pack(kept: KeptResponse) -> bytes:
    head = encode({"id": kept.id, "ancestors": kept.ancestors, "input": len(kept.input)})
    return zlib.compress(b"%b\n%b%b" % (head, kept.input, kept.response), level=1)


def _unpack_all(packed: Mapping[str, bytes]) -> dict[str, KeptResponse]:
    found = {id: _unpack(data) for id, data in packed.items()}
    return {id: kept for id, kept in found.items() if kept is not None}


def _unpack(packed: bytes) -> KeptResponse | None:
    """What was packed; None for what another version, or somebody else, has put there."""
    unpacking = zlib.decompressobj()
    try:
        head, _, texts = unpacking.decompress(packed, 2 * MAX_KEPT).partition(b"\n")
        value = decode(head)
        size = value["input"]
        kept = KeptResponse(value["id"], tuple(value["ancestors"]), texts[:size], texts[size:])
    except (zlib.error, ValueError, LookupError, TypeError):
        return None
    return kept if unpacking.eof else None

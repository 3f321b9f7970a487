"""Responses and answers in a Redis or Valkey that several processes share."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

from ..checks import require_positive
from ..wire import KeptResponse
from ..wire.codec import decode, encode
from ..wire.reading import by_size
from .answer import KeptAnswer
from .redis_link import TIMEOUT, RedisLink

MAX_KEPT: Final = 16 << 20  # bytes of a response or an answer that is kept

_LARGE: Final = 64 << 10  # bytes; to pack more than this would hold up every other request


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
        require_positive(ttl=ttl)
        self.ttl = ttl
        self._link = RedisLink(url, holds="responses", timeout=timeout)

    async def put(self, owner: str, kept: KeptResponse, /) -> None:
        if kept.size > MAX_KEPT:
            return
        packed = _pack(kept) if kept.size <= _LARGE else await asyncio.to_thread(_pack, kept)
        redis = self._link.redis
        await self._link.ask(lambda: redis.set(_name("response", owner, kept.id), packed, px=_ms(self.ttl)), None)

    async def find(self, owner: str, ids: Sequence[str], /) -> Mapping[str, KeptResponse]:
        pipeline = self._link.redis.pipeline(transaction=False)
        for id in ids:
            pipeline.getex(_name("response", owner, id), px=_ms(self.ttl))
        answers: list[bytes | None] = await self._link.ask(pipeline.execute, [])
        packed = {id: answer for id, answer in zip(ids, answers, strict=False) if answer is not None}
        if sum(map(len, packed.values())) <= _LARGE:
            return _unpack_all(packed)
        return await asyncio.to_thread(_unpack_all, packed)

    async def delete(self, owner: str, id: str, /) -> bool:
        redis = self._link.redis
        return bool(await self._link.ask(lambda: redis.delete(_name("response", owner, id)), 0))

    async def aclose(self) -> None:
        await self._link.aclose()


class RedisAnswers:
    """Keeps answers for all processes that use one Redis or Valkey.

    Names in it are digests. While it does not answer, it is as if nothing were kept.

    Args:
        url: `redis://`, `rediss://`, `unix://`, or the same for Valkey; as redis-py takes it.
        timeout: Seconds that a request waits for an answer.

    Raises ValueError for an unknown scheme, and ImportError without redis-py.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        self._link = RedisLink(url, holds="answers", timeout=timeout)

    async def get(self, owner: str, key: bytes, /) -> KeptAnswer | None:
        redis = self._link.redis
        found: bytes | None = await self._link.ask(lambda: redis.get(_name("answer", owner, key)), None)
        return None if found is None else await by_size(len(found), KeptAnswer.decode, found)

    async def put(self, owner: str, key: bytes, answer: KeptAnswer, ttl: float, /) -> None:
        data = await by_size(answer.size, answer.encode)
        if len(data) > MAX_KEPT:
            return
        redis = self._link.redis
        await self._link.ask(lambda: redis.set(_name("answer", owner, key), data, px=_ms(ttl)), None)

    async def aclose(self) -> None:
        await self._link.aclose()


def _ms(ttl: float) -> int:
    return max(1, round(ttl * 1000))


def _name(kind: str, owner: str, id: str | bytes) -> str:
    whose = owner.encode("utf-8", "surrogatepass")
    which = id.encode("utf-8", "surrogatepass") if isinstance(id, str) else id
    digest = blake2b(b"%d %b%b" % (len(whose), whose, which), digest_size=20)
    return f"xrouter:{kind}:{digest.hexdigest()}"


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

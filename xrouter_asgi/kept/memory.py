"""Responses and answers in the memory of this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ..checks import require_positive
from ..wire import KeptResponse
from .answer import KeptAnswer
from .bounded import Bounded

MAX_BYTES: Final = 64 << 20

_OVERHEAD: Final = 1024  # bytes of a value beside its texts
_POINTER: Final = 8
_PART: Final = 256  # of a chunk: its row and the heads of its texts


class MemoryResponses:
    """Keeps responses in this process alone: several workers need `RedisResponses`.

    A response that is too much makes those go that were used least recently, first those of its owner, who may fill a
    quarter of the store.

    Args:
        max_bytes: The size of the store. A response larger than a quarter of it is not kept.
        ttl: Seconds that a response is kept after its last use.
        clock: Seconds from any start.
    """

    def __init__(
        self, *, max_bytes: int = MAX_BYTES, ttl: float = 3600.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        require_positive(max_bytes=max_bytes, ttl=ttl)
        self.ttl = ttl
        self._clock = clock
        self._kept: Bounded[str, _Response] = Bounded(max_bytes)

    async def put(self, owner: str, kept: KeptResponse, /) -> None:
        self._expire()
        size = kept.size + _OVERHEAD + _POINTER * len(kept.ancestors)
        self._kept.put(owner, kept.id, _Response(kept, self._clock() + self.ttl), size)

    async def find(self, owner: str, ids: Sequence[str], /) -> Mapping[str, KeptResponse]:
        self._expire()
        found = {}
        for id in ids:
            if (response := self._kept.get(owner, id)) is not None:
                found[id] = response.kept
                response.until = self._clock() + self.ttl
        return found

    async def delete(self, owner: str, id: str, /) -> bool:
        self._expire()
        return self._kept.drop(owner, id)

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _expire(self) -> None:
        # All are kept equally long after their last use, so the least recently used one expires first.
        now = self._clock()
        while (oldest := self._kept.oldest()) is not None and oldest[2].until <= now:
            self._kept.drop(*oldest[:2])


class _Response:
    __slots__ = ("kept", "until")

    def __init__(self, kept: KeptResponse, until: float) -> None:
        self.kept = kept
        self.until = until


class MemoryAnswers:
    """Keeps answers in this process alone.

    An answer that is too much makes those go that were used least recently, first those of its owner, who may fill a
    quarter of the store.

    Args:
        max_bytes: The size of the store. An answer larger than a quarter of it is not kept.
        clock: Seconds from any start.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        require_positive(max_bytes=max_bytes)
        self._clock = clock
        self._kept: Bounded[bytes, tuple[KeptAnswer, float]] = Bounded(max_bytes)  # with the time when it is forgotten

    async def get(self, owner: str, key: bytes, /) -> KeptAnswer | None:
        found = self._kept.get(owner, key)
        if found is None:
            return None
        answer, until = found
        if until <= self._clock():
            self._kept.drop(owner, key)
            return None
        return answer

    async def put(self, owner: str, key: bytes, answer: KeptAnswer, ttl: float, /) -> None:
        size = len(key) + answer.size + _OVERHEAD + _PART * len(answer.parts)
        self._kept.put(owner, key, (answer, self._clock() + ttl), size)

    async def aclose(self) -> None:
        """There is nothing to close."""

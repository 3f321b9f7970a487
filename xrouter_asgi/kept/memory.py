"""Responses in the memory of this process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from ..checks import require_positive
from ..wire import KeptResponse

_OVERHEAD: Final = 1024  # bytes of a response beside its texts
_POINTER: Final = 8
_SHARE: Final = 4  # one owner may fill a quarter of the store


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
        self, *, max_bytes: int = 64 << 20, ttl: float = 3600.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        require_positive(max_bytes=max_bytes, ttl=ttl)
        self.ttl = ttl
        self._max_bytes = max_bytes
        self._clock = clock
        self._size = 0
        self._used: OrderedDict[tuple[str, str], _Entry] = OrderedDict()  # the least recently used first
        self._owners: dict[str, _Owner] = {}

    async def put(self, owner: str, kept: KeptResponse, /) -> None:
        self._expire()
        self._drop(owner, kept.id)
        size = kept.size + _OVERHEAD + _POINTER * len(kept.ancestors)
        share = self._max_bytes // _SHARE
        if size > share:
            return
        own = self._owners.setdefault(owner, _Owner())
        while own.size + size > share:
            self._drop(owner, next(iter(own.used)))
        while self._size + size > self._max_bytes:
            self._drop(*next(iter(self._used)))
        self._used[owner, kept.id] = _Entry(kept, size, self._clock() + self.ttl)
        self._owners[owner] = own  # it went if it had nothing left
        own.used[kept.id] = None
        own.size += size
        self._size += size

    async def find(self, owner: str, ids: Sequence[str], /) -> Mapping[str, KeptResponse]:
        self._expire()
        found = {}
        for id in ids:
            if (entry := self._used.get((owner, id))) is not None:
                found[id] = entry.kept
                self._used[owner, id] = entry._replace(until=self._clock() + self.ttl)
                self._used.move_to_end((owner, id))
                self._owners[owner].used.move_to_end(id)
        return found

    async def delete(self, owner: str, id: str, /) -> bool:
        self._expire()
        return self._drop(owner, id)

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _expire(self) -> None:
        now = self._clock()
        while self._used:
            (owner, id), entry = next(iter(self._used.items()))
            if entry.until > now:
                return
            self._drop(owner, id)

    def _drop(self, owner: str, id: str) -> bool:
        entry = self._used.pop((owner, id), None)
        if entry is None:
            return False
        own = self._owners[owner]
        del own.used[id]
        own.size -= entry.size
        self._size -= entry.size
        if not own.used:
            del self._owners[owner]
        return True


class _Entry(NamedTuple):
    kept: KeptResponse
    size: int
    until: float


class _Owner:
    """The ids of one owner's responses, the least recently used first, and their size."""

    def __init__(self) -> None:
        self.used: OrderedDict[str, None] = OrderedDict()
        self.size = 0

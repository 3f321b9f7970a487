"""Values in the memory of this process, up to a size."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, NamedTuple, TypeVar

K = TypeVar("K", str, bytes)
T = TypeVar("T")

_SHARE: Final = 4  # one owner may fill a quarter of it


class Bounded(Generic[K, T]):
    """Values by owner and id, up to a size in all. Each owner has values of their own.

    A value that is too much makes those go that were used least recently, first those of its owner, who may fill a
    quarter. So nobody can push out what all the others keep.

    Args:
        max_size: The sum of all sizes. A value larger than a quarter of it is not kept.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._size = 0
        self._used: OrderedDict[tuple[str, K], _Sized[T]] = OrderedDict()  # the least recently used first
        self._owners: dict[str, _Owner[K]] = {}

    def put(self, owner: str, id: K, value: T, size: int) -> None:
        """Keep a value, in place of the one with this id."""
        self.drop(owner, id)
        share = self._max_size // _SHARE
        if size > share:
            return
        own = self._owners.setdefault(owner, _Owner())
        while own.size + size > share:
            self.drop(owner, next(iter(own.used)))
        while self._size + size > self._max_size:
            self.drop(*next(iter(self._used)))
        self._used[owner, id] = _Sized(value, size)
        self._owners[owner] = own  # it went if it had nothing left
        own.used[id] = None
        own.size += size
        self._size += size

    def get(self, owner: str, id: K) -> T | None:
        """The value with this id, which counts as used now."""
        found = self._used.get((owner, id))
        if found is None:
            return None
        self._used.move_to_end((owner, id))
        self._owners[owner].used.move_to_end(id)
        return found.value

    def oldest(self) -> tuple[str, K, T] | None:
        """Owner, id and value of what was used least recently; None if nothing is kept."""
        if not self._used:
            return None
        (owner, id), found = next(iter(self._used.items()))
        return owner, id, found.value

    def drop(self, owner: str, id: K) -> bool:
        """Forget a value. Returns whether it was there."""
        found = self._used.pop((owner, id), None)
        if found is None:
            return False
        own = self._owners[owner]
        del own.used[id]
        own.size -= found.size
        self._size -= found.size
        if not own.used:
            del self._owners[owner]
        return True


class _Sized(NamedTuple, Generic[T]):
    value: T
    size: int


class _Owner(Generic[K]):
    """The ids of one owner's values, the least recently used first, and their size."""

    def __init__(self) -> None:
        self.used: OrderedDict[K, None] = OrderedDict()
        self.size = 0

"""The contract of a store of responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..wire import KeptResponse


class ResponseStore(Protocol):
    """Keeps responses for a while. It may forget any of them earlier, and no failure of it is an error for a client.

    Each owner has responses of its own, and nobody finds those of another.

    Attributes:
        ttl: Seconds that a response is kept after it was put or found last.
    """

    @property
    def ttl(self) -> float: ...

    async def put(self, owner: str, kept: KeptResponse, /) -> None:
        """Keep a response."""

    async def find(self, owner: str, ids: Sequence[str], /) -> Mapping[str, KeptResponse]:
        """The responses with these ids, as many as are still there, by their ids."""

    async def delete(self, owner: str, id: str, /) -> bool:
        """Forget a response. Returns whether it was there."""

    async def aclose(self) -> None:
        """Close connections."""

"""The contracts of a store of responses, and of one of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..wire import KeptResponse
from .answer import KeptAnswer


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


class AnswerStore(Protocol):
    """Keeps answers by what was asked, or by a digest of it. It may forget any of them earlier, and no failure of it is
    an error for a client.

    Each owner has answers of their own, and nobody finds those of another.
    """

    async def get(self, owner: str, key: bytes, /) -> KeptAnswer | None:
        """The answer; None if there is none, or none any more."""

    async def put(self, owner: str, key: bytes, answer: KeptAnswer, ttl: float, /) -> None:
        """Keep an answer for so many seconds."""

    async def aclose(self) -> None:
        """Close connections."""

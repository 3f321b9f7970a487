"""The memory that bodies of requests may take up."""

from __future__ import annotations

from .refusals import Reason

SMALL = 64 << 10
"""Bytes of each body that are counted, but never refused. A server reads as much ahead anyway, and so no storm of large
bodies stops the small requests of the others."""


class BodyBudget:
    """Counts the bytes of the bodies of all running requests.

    Args:
        most: Bytes of all bodies together.
        most_of_key: Bytes of the bodies of one key.

    Attributes:
        held: Bytes that are taken.
    """

    def __init__(self, most: int, *, most_of_key: int) -> None:
        self._most = most
        self._most_of_key = most_of_key
        self._of_keys: dict[str, int] = {}
        self.held = 0

    def take(self, size: int, key: str, *, before: int) -> Reason | None:
        """Take so many bytes, or say which budget they exceed.

        Args:
            key: Whose request it is; empty for nobody's, of which only the sum is bounded.
            before: Bytes that the body has taken before.
        """
        of_key = self._of_keys.get(key, 0) + size if key else 0
        if before + size > SMALL:
            if self.held + size > self._most:
                return "bodies"
            if of_key > self._most_of_key:
                return "bodies_of_key"
        self.held += size
        if key:
            self._of_keys[key] = of_key
        return None

    def give_back(self, size: int, key: str) -> None:
        """Give back what was taken, when the request has ended."""
        self.held -= size
        if key and size:
            left = self._of_keys[key] - size
            if left:
                self._of_keys[key] = left
            else:
                del self._of_keys[key]

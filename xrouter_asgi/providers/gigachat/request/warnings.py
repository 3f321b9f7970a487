"""What was ignored, changed or emulated on the way, as words for a header; in strict mode the first one is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ....errors import UnsupportedOperation

MAX_WARNINGS = 24
_NOT_A_WORD = re.compile(r"[^a-z_]+")


class Warnings:
    """A list of words, each once, in the order they came up.

    Args:
        strict: Refuse instead of warning.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._words: dict[str, None] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def add(self, word: str, *, param: str, reason: str) -> None:
        """Note `word`. Raises UnsupportedOperation about `param`, with `reason` as a clause, when strict."""
        if self._strict:
            message = f"'{param}': {reason}. The gateway is strict, so it does not go on without it."
            raise UnsupportedOperation(message, param=param)
        # A client chooses how many unknown parameters it sends; a header has its bounds.
        if len(self._words) < MAX_WARNINGS:
            self._words[word] = None

    def ignored(self, param: str) -> None:
        """Note that `param` has no counterpart and was dropped, as `<param>_ignored`."""
        word = _NOT_A_WORD.sub("_", param.lower()[:48])
        self.add(f"{word}_ignored", param=param[:64], reason="GigaChat has no such parameter")

"""`stop`, which GigaChat does not know: the text is cut here."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Passes text on up to the stop sequence that is completed first, as a model would stop generating.

    What may still become a stop sequence is held back. How the text is cut into pieces makes no difference.

    Attributes:
        hit: A stop sequence was met; all further text is dropped.
    """

    def __init__(self, sequences: Sequence[str] = ()) -> None:
        self._sequences = [sequence for sequence in sequences if sequence]
        self._held = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """The text that is safe to show now."""
        if self.hit or not self._sequences:
            return "" if self.hit else text
        text = self._held + text
        found = [(start + len(sequence), start) for sequence in self._sequences if (start := text.find(sequence)) >= 0]
        if found:
            self.hit = True
            self._held = ""
            return text[: min(found)[1]]
        safe = len(text) - max(overlap(text, sequence) for sequence in self._sequences)
        self._held = text[safe:]
        return text[:safe]

    def close(self) -> str:
        """What was held back in vain."""
        held, self._held = self._held, ""
        return held


def overlap(text: str, sequence: str) -> int:
    """How many characters at the end of `text` begin `sequence`, short of all of it."""
    for length in range(min(len(text), len(sequence) - 1), 0, -1):
        if text.endswith(sequence[:length]):
            return length
    return 0

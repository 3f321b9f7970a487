"""Filters of an answer's text: one cuts it at a stop sequence, one tells reasoning apart.

How the text is split into pieces makes no difference to them.
"""

from __future__ import annotations

from collections.abc import Sequence

_OPEN = "<think>"
_CLOSE = "</think>"


class Stops:
    """Passes text on up to the stop sequence that is completed first, as a model would stop generating.

    It holds back what may still become a stop sequence.
    """

    def __init__(self, sequences: Sequence[str] = ()) -> None:
        self._sequences = [sequence for sequence in sequences if sequence]
        self._held = ""
        self.hit = False  # a stop sequence was met, and all further text is dropped

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
        """What was held back and is no stop sequence."""
        held, self._held = self._held, ""
        return held


class Thinking:
    """Tells `<think>…</think>` from the answer: some models write their reasoning into the text.

    Only a block at the start counts: a tag in the middle is one that the model talks about.
    """

    def __init__(self) -> None:
        self._step = Thinking._before  # not a bound method, which would hold this object
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """The reasoning and the answer, as far as they can be told apart now."""
        return self._step(self, text)

    def close(self) -> tuple[str, str]:
        """What was held back, as reasoning or as answer."""
        held, self._held = self._held, ""
        return (held, "") if self._step is Thinking._inside else ("", held)

    def _before(self, text: str) -> tuple[str, str]:
        self._held += text
        start = self._held.lstrip()
        if start.startswith(_OPEN):
            self._held = ""
            self._step = Thinking._inside
            return self._inside(start[len(_OPEN) :])
        if _OPEN.startswith(start):  # nothing but white space too
            return "", ""
        held, self._held = self._held, ""
        self._step = Thinking._after
        return "", held

    def _inside(self, text: str) -> tuple[str, str]:
        text = self._held + text
        reasoning, closed, rest = text.partition(_CLOSE)
        if closed:
            self._held = ""
            self._step = Thinking._between
            return reasoning, self._between(rest)[1]
        safe = len(text) - overlap(text, _CLOSE)
        self._held = text[safe:]
        return text[:safe], ""

    def _between(self, text: str) -> tuple[str, str]:
        """The white space between the block and the answer belongs to neither."""
        text = text.lstrip()
        if text:
            self._step = Thinking._after
        return "", text

    def _after(self, text: str) -> tuple[str, str]:
        return "", text


def overlap(text: str, sequence: str) -> int:
    """How many characters at the end of `text` begin `sequence`, short of all of it."""
    for length in range(min(len(text), len(sequence) - 1), 0, -1):
        if text.endswith(sequence[:length]):
            return length
    return 0

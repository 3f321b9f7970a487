"""`<think>…</think>` at the start of an answer: some models write their reasoning into the text."""

from __future__ import annotations

from .text_filters import overlap

_OPEN = "<think>"
_CLOSE = "</think>"


class Thinking:
    """Tells reasoning from the answer. How the text is cut into pieces makes no difference.

    Only a block that opens the answer counts; a tag in the middle is a tag the model talks about.
    """

    def __init__(self) -> None:
        self._step = self._before
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """The reasoning and the answer in what is certain now."""
        return self._step(text)

    def close(self) -> tuple[str, str]:
        """What was held back, and turned out to be what it looked like."""
        held, self._held = self._held, ""
        return (held, "") if self._step == self._inside else ("", held)

    def _before(self, text: str) -> tuple[str, str]:
        self._held += text
        start = self._held.lstrip()
        if start.startswith(_OPEN):
            self._held = ""
            self._step = self._inside
            return self._inside(start[len(_OPEN) :])
        if _OPEN.startswith(start):  # nothing but white space too
            return "", ""
        held, self._held = self._held, ""
        self._step = self._after
        return "", held

    def _inside(self, text: str) -> tuple[str, str]:
        text = self._held + text
        reasoning, closed, rest = text.partition(_CLOSE)
        if closed:
            self._held = ""
            self._step = self._between
            return reasoning, self._between(rest)[1]
        safe = len(text) - overlap(text, _CLOSE)
        self._held = text[safe:]
        return text[:safe], ""

    def _between(self, text: str) -> tuple[str, str]:
        """The white space between the block and the answer belongs to neither."""
        text = text.lstrip()
        if text:
            self._step = self._after
        return "", text

    def _after(self, text: str) -> tuple[str, str]:
        return "", text

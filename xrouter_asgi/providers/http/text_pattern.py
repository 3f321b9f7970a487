"""What the events have in common that add a text and nothing else, in dialects whose events have a `type`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...wire.codec import decode, encode

_TRIES = 8
_LONGEST = 16 << 10  # bytes of an event to learn from
_SPACES = re.compile(rb"(?:\\ )+")
_COUNT = re.compile(rb'("sequence_number":(?:\\ \*)?)\d+')
_NOISE = re.compile(rb'("obfuscation":(?:\\ \*)?)"[^"\\]*"')


class TextPattern:
    """Reads the text of an event without decoding it, once it has seen one like it.

    Events that match differ from the one that was learned in their text, their `sequence_number`, their `obfuscation`
    and in white space alone: a number stands where one stood, and a string without escapes where one stood, so all
    else in them is read as it was then.
    """

    __slots__ = ("_match", "_tries")

    def __init__(self) -> None:
        self._match: re.Pattern[bytes] | None = None
        self._tries = _TRIES  # left to learn: some upstreams write each event differently

    def text_of(self, event: bytes) -> str | None:
        """The text of an event that matches, None for any other. Nothing in it needs an escape in JSON."""
        if self._match is None or (found := self._match.fullmatch(event)) is None:
            return None
        try:
            text = found[1].decode()
        except UnicodeDecodeError:
            return None
        if not text.isprintable():
            return None
        self._tries = _TRIES
        return text

    def forget(self) -> None:
        """Match nothing until the next event is learned."""
        self._match = None

    def learn(self, event: bytes, value: Mapping[str, Any], *path: str) -> None:
        """Learn from an event.

        Args:
            value: The event, decoded.
            path: Where its text stands.
        """
        if not self._tries or len(event) > _LONGEST or b"\n" in event:
            return
        self._tries -= 1
        text: Any = value
        for step in path:
            text = text[step]
        before, quoted, after = event.partition(encode(text))
        if not quoted:
            return
        # The same text may stand elsewhere, too: check that another text here gives the event that it should.
        try:
            if decode(before + encode(text + "x") + after) != _with(value, path, text + "x"):
                return
        except ValueError:
            return  # where it stands, it is no string
        self._match = re.compile(_general(before) + rb'"([^"\\\x00-\x1f]+)"' + _general(after))


def _with(value: Mapping[str, Any], path: tuple[str, ...], text: str) -> dict[str, Any]:
    first, *rest = path
    return {**value, first: _with(value[first], tuple(rest), text) if rest else text}


def _general(part: bytes) -> bytes:
    """What matches this part of an event with another number, other noise and other spaces."""
    spaced = _SPACES.sub(rb"\\ *", re.escape(part))
    return _NOISE.sub(rb'\1"[^"\\\\\\x00-\\x1f]*"', _COUNT.sub(rb"\1\\d{1,15}", spaced))

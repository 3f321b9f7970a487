"""What the events of one stream have in common: most differ in one text alone, and need no decoding.

It saves a fifth of the instructions of an event: see docs/performance.md.
"""

from __future__ import annotations

from typing import Any, get_args

from ...wire.codec import decode, encode
from ...wire.documents import TextMember

_TEXTS: tuple[TextMember, ...] = get_args(TextMember)
_TRIES = 8
_LONGEST = 16 << 10  # bytes of an event to learn from, which takes as long as decoding it four times


class EventPattern:
    """The bytes before and after the text of an event.

    Any text between them that needs no escape in JSON makes an event that differs from the first in this text alone:
    how JSON is read at a place depends only on what stands before it.

    Attributes:
        member: Where the text stands in the delta.
    """

    __slots__ = ("_after", "_before", "_tries", "member")

    def __init__(self) -> None:
        self._before = self._after = b""
        self._tries = _TRIES  # left to learn a pattern: some upstreams pad each event with something else
        self.member: TextMember = "content"

    def text_of(self, event: bytes) -> str | None:
        """The text of an event that matches the pattern, None for any other."""
        if not (self._before and event.startswith(self._before) and event.endswith(self._after)):
            return None
        begin, end = len(self._before), len(event) - len(self._after)
        if end < begin:
            return None  # one quote, which is both the first and the last
        try:
            text = event[begin:end].decode()
        except UnicodeDecodeError:
            return None
        if '"' in text or "\\" in text or not text.isprintable():
            return None
        self._tries = _TRIES
        return text

    def learn(self, event: bytes, value: dict[str, Any]) -> None:
        """Learn the pattern from an event, if its first choice holds one text and nothing else that is counted.

        Args:
            value: The event, decoded.
        """
        if not self._tries or len(event) > _LONGEST:
            return
        choice = value["choices"][0]
        told = [name for name, said in choice["delta"].items() if name != "role" and said is not None]
        member = next((name for name in _TEXTS if [name] == told), None)
        if member is None or not isinstance(text := choice["delta"][member], str):
            return
        self._tries -= 1
        before, quoted, after = event.partition(encode(text))
        # The same text may stand elsewhere, too: check that another text here gives the event that it should.
        other = text + "x"
        expected = {**value, "choices": [{**choice, "delta": {**choice["delta"], member: other}}]}
        try:
            if quoted and decode(before + encode(other) + after) == expected:
                self._before, self._after, self.member = before + b'"', b'"' + after, member
        except ValueError:
            pass  # where it stands, it is no string


def without_field(event: bytes) -> bytes:
    """The event without a second `data:` before it, which gateways in front of gateways add."""
    while event[:5] == b"data:":
        event = event[5:].lstrip()
    return event

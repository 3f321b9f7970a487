"""Reasoning that survives the way to the client and back, in `encrypted_content`. It hides nothing."""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

MAX_SEALED: Final = 64 << 10
"""Bytes of text in one seal."""
MAX_UNSEALED: Final = 1 << 20
"""Bytes of text in all seals of one request."""

MARK: Final = "xr1."
"""How the seals of this gateway begin."""


def seal(text: str) -> str | None:
    """The text as a seal; None if it is longer than `MAX_SEALED`."""
    data = text.encode("utf-8", "replace")
    return None if len(data) > MAX_SEALED else MARK + urlsafe_b64encode(zlib.compress(data)).decode("ascii")


class Unsealing:
    """Opens the seals of one request.

    Attributes:
        size: Bytes that came out so far. A broken seal counts as the longest one, because it costs as much.
        exhausted: A seal was left closed because of `MAX_UNSEALED`.
    """

    def __init__(self) -> None:
        self.size = 0
        self.exhausted = False

    def open(self, sealed: str) -> str | None:
        """The text in a seal; None if somebody else made it, or if it is too much."""
        if not sealed.startswith(MARK):
            return None
        if self.size + MAX_SEALED > MAX_UNSEALED:
            self.exhausted = True
            return None
        unpacking = zlib.decompressobj()
        try:
            data = unpacking.decompress(urlsafe_b64decode(sealed[len(MARK) :]), MAX_SEALED + 1)
            text = data.decode("utf-8") if unpacking.eof and len(data) <= MAX_SEALED else None
        except (ValueError, zlib.error):  # no base64, no zlib, no UTF-8
            text = None
        self.size += MAX_SEALED if text is None else len(data)
        return text

"""A request as the bytes that go on the wire (RFC 9112, 2 and 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import httpx

Fields: TypeAlias = Sequence[tuple[bytes, bytes]]


def encoded(method: str, url: httpx.URL, fields: Fields, body: bytes) -> bytes:
    """A request of httpx's, with the `Host` and `Content-Length` that it may lack.

    Raises:
        httpx.LocalProtocolError: See `start` and `finished`; or a `Content-Length` that is not the body's.
    """
    kept = []
    names = set()
    for name, value in fields:
        lower = name.lower()
        if lower == b"transfer-encoding":
            continue  # The body is whole here, and has a length.
        if lower == b"content-length" and value != b"%d" % len(body):
            raise httpx.LocalProtocolError(f"'Content-Length' is not {len(body)}, the size of the body.")
        names.add(lower)
        kept.append((name, value))
    if body and b"content-length" not in names:
        kept.append((b"Content-Length", b"%d" % len(body)))
    host = () if b"host" in names else ((b"Host", url.netloc),)
    return finished(start(method, url, host), kept, body)


def start(method: str, url: httpx.URL, fields: Fields) -> bytes:
    """How a request begins: its first line and some fields.

    Raises:
        httpx.LocalProtocolError: The method is no word, or a field holds a line break or NUL.
    """
    if not (method.isascii() and method.isalpha()):
        raise httpx.LocalProtocolError("The method is not a word.")
    return b"%b %b HTTP/1.1\r\n%b" % (method.encode("ascii"), url.raw_path, _lines(fields))


def finished(begun: bytes, fields: Fields, body: bytes) -> bytes:
    """The whole request as one piece, so that a small one is one write and one packet.

    Raises:
        httpx.LocalProtocolError: A field holds a line break or NUL.
    """
    return b"%b%b\r\n%b" % (begun, _lines(fields), body)


def _lines(fields: Fields) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % field for field in fields])
    # The line breaks that are ours and not one more: nothing can smuggle a field, or a second request.
    if lines.count(b"\n") != len(fields) or lines.count(b"\r") != len(fields) or 0 in lines:
        raise httpx.LocalProtocolError("The head of the request holds a line break or a NUL.")
    return lines


async def whole(stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> bytes:
    """The body of a request of httpx's."""
    if isinstance(stream, httpx.ByteStream):
        return b"".join(stream)
    if isinstance(stream, httpx.AsyncByteStream):
        return b"".join([part async for part in stream])
    raise httpx.LocalProtocolError("The body of the request cannot be awaited.")

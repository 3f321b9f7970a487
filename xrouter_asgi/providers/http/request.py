"""A request as the bytes that go on the wire (RFC 9112, 2 and 3)."""

from __future__ import annotations

from collections.abc import Sequence

import httpx


def encoded(method: str, url: httpx.URL, fields: Sequence[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Head and body as one piece, so that a small request is one write and one packet.

    Raises:
        httpx.LocalProtocolError: A line break or NUL in the head, a method that is none, or a `Content-Length` that
            is not the body's.
    """
    if not (method.isascii() and method.isalpha()):
        raise httpx.LocalProtocolError("The method is not a word.")
    lines = [b"%b %b HTTP/1.1" % (method.encode("ascii"), url.raw_path)]
    host = length = False
    for name, value in fields:
        match name.lower():
            case b"transfer-encoding":
                continue  # The body is whole here, and has a length.
            case b"host":
                host = True
            case b"content-length":
                length = True
                if value != b"%d" % len(body):
                    raise httpx.LocalProtocolError(f"'Content-Length' is not {len(body)}, the size of the body.")
        lines.append(b"%b: %b" % (name, value))
    if not host:
        lines.insert(1, b"Host: " + url.netloc)
    if body and not length:
        lines.append(b"Content-Length: %d" % len(body))
    head = b"\r\n".join(lines)
    # The line breaks that are ours and not one more: nothing can smuggle a field, or a second request.
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1 or b"\0" in head:
        raise httpx.LocalProtocolError("The head of the request holds a line break or a NUL.")
    return b"%b\r\n\r\n%b" % (head, body)


async def whole(stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> bytes:
    """The body of a request of httpx's."""
    if isinstance(stream, httpx.ByteStream):
        return b"".join(stream)
    if isinstance(stream, httpx.AsyncByteStream):
        return b"".join([part async for part in stream])
    raise httpx.LocalProtocolError("The body of the request cannot be awaited.")

"""A request as the bytes that go on the wire (RFC 9112, 2 and 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import httpx

Fields: TypeAlias = Sequence[tuple[bytes, bytes]]

SharedFields: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""What many requests have in common, so that its lines are written once: a constant, and nothing of a client's."""

Site: TypeAlias = tuple[str, str, int | None]
"""Scheme, host and port of a URL: requests to one site share connections."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What all requests of one method to one path, of one kind, share.

    Attributes:
        fields: Header fields that each of them has.
        start: The request line and these fields, as they go on the wire.
        where: Method and address, for the operator's eyes only.
        takes_body: Whether a request without a body has to say so.
    """

    method: str
    url: httpx.URL
    site: Site
    fields: Fields
    start: bytes
    where: str
    takes_body: bool


def site_of(url: httpx.URL) -> Site:
    """The site of a URL; its properties are made anew each time, so keep it."""
    return url.scheme, url.raw_host.decode("ascii"), url.port


def encoded(method: str, url: httpx.URL, fields: Fields, body: bytes) -> bytes:
    """The bytes of an httpx request, with the `Host` and `Content-Length` that it may lack.

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
    """The beginning of a request: its first line and some fields.

    Raises:
        httpx.LocalProtocolError: The method is no word, or a field holds a line break or NUL.
    """
    if not (method.isascii() and method.isalpha()):
        raise httpx.LocalProtocolError("The method is not a word.")
    return b"%b %b HTTP/1.1\r\n%b" % (method.encode("ascii"), url.raw_path, _lines(fields))


def finished(begun: bytes, fields: Fields, body: bytes, *, sized: bool = False) -> bytes:
    """The whole request in one piece, so that a small one is one write and one packet.

    Args:
        sized: Whether `Content-Length` is added.

    Raises:
        httpx.LocalProtocolError: A field holds a line break or NUL.
    """
    lines = _lines(fields) if fields else b""
    if sized:
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (begun, lines, len(body), body)
    return b"%b%b\r\n%b" % (begun, lines, body)


def _lines(fields: Fields) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % field for field in fields])
    # No line break but ours: nothing can smuggle a field, or a second request.
    if lines.count(b"\n") != len(fields) or lines.count(b"\r") != len(fields) or 0 in lines:
        raise httpx.LocalProtocolError("The head of the request holds a line break or a NUL.")
    return lines

"""Reads the body of a request, and bounds it while it arrives."""

from __future__ import annotations

from starlette.types import Receive, Scope

from ..errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from .disconnect import ClientDisconnected


class AmbiguousLength(InvalidRequest):
    """The request has Content-Length and Transfer-Encoding: smuggling, or a broken client (RFC 9112, 6.1)."""


async def read_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """Read the whole body, at most `limit` bytes.

    Raises:
        PayloadTooLarge: The body is larger, or the request says that it will be.
        UnsupportedMediaType: The body is compressed, or a form.
        AmbiguousLength: The request says in two ways where the body ends.
        ClientDisconnected: The client left before the body was complete.
    """
    _check_head(scope, limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnected
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _check_head(scope: Scope, limit: int) -> None:
    length = coding = False
    for name, value in scope["headers"]:
        match name:
            case b"content-length":
                length = True
                if value.isdigit() and _exceeds(value, limit):
                    raise _too_large(limit)
            case b"transfer-encoding":
                coding = True
            case b"content-encoding" if value.strip().lower() != b"identity":
                raise UnsupportedMediaType("Compressed request bodies are not accepted. Send the JSON as it is.")
            case b"content-type" if value.lower().startswith(b"multipart/"):
                raise UnsupportedMediaType("A form is not accepted here. Send a JSON body.")
    if length and coding:
        raise AmbiguousLength("A request must not carry both Content-Length and Transfer-Encoding.")


def _exceeds(digits: bytes, limit: int) -> bool:
    # CPython refuses to convert thousands of digits.
    return len(digits.lstrip(b"0")) > 20 or int(digits[-20:]) > limit


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The request body is larger than {limit} bytes.")

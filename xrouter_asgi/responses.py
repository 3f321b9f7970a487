"""Answers as ASGI messages: JSON, the error envelope, and the event stream that always closes its upstream."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeAlias

from starlette.types import Send

from .errors import UpstreamError, XRouterError
from .streaming import DONE, ChatStream, encode_event
from .wire import ChatChunk
from .wire.codec import encode

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_EVENTS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the stream back
)

_PRINTABLE = bytes(32 if code < 32 or code == 127 else code for code in range(256))

logger = logging.getLogger("xrouter")


def header(name: str, value: str) -> tuple[bytes, bytes]:
    """A header whose value cannot end it: control characters become spaces, what Latin-1 lacks becomes `?`."""
    return name.encode("ascii"), value.encode("latin-1", "replace").translate(_PRINTABLE)


async def send_json(send: Send, data: bytes, *, headers: Headers = (), status: int = 200) -> None:
    """One whole JSON answer."""
    length = (b"content-length", b"%d" % len(data))
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
    await send({"type": "http.response.body", "body": data})


async def send_error(send: Send, error: XRouterError, *, headers: Headers = ()) -> None:
    """The envelope, with the status and the headers the error asks for."""
    await send_json(send, encode(error.envelope()), headers=[*error.headers(), *headers], status=error.status)


async def send_stream(send: Send, stream: ChatStream, *, include_usage: bool, headers: Headers = ()) -> None:
    """An event stream, ended by `[DONE]` or, when the upstream fails, by one error event without it.

    What one read of the upstream returned goes out as one message. The chunk that holds nothing but the usage is held
    back to the end, and is there only with `include_usage`; it is made when the upstream put its usage elsewhere.
    """
    try:
        await send({"type": "http.response.start", "status": 200, "headers": [*_EVENTS, *headers]})
        try:
            usage: ChatChunk | None = None
            async for batch in stream:
                body = b""
                for chunk in batch:
                    if not chunk.only_usage:
                        body += encode_event(chunk.data)
                    if include_usage and chunk.value.get("usage"):
                        usage = chunk
                if body:
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            tail = DONE
            if usage is not None:
                tail = encode_event((usage if usage.only_usage else usage.replace(choices=[])).data) + DONE
        except XRouterError as error:
            logger.warning("A stream broke: %s", error.detail or error.message, extra={"code": error.code})
            tail = encode_event(encode(error.envelope()))
        except Exception:
            logger.exception("A stream broke for a reason that is a defect of this program")
            tail = encode_event(encode(UpstreamError("The answer broke off.", code="stream_broken").envelope()))
        await send({"type": "http.response.body", "body": tail})
    finally:
        await stream.aclose()

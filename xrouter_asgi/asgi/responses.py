"""Answers as ASGI messages: JSON, errors, event streams."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import TypeAlias

from starlette.types import Message, Send

from ..context import RequestContext
from ..dialects.writers import EventWriter
from ..envelopes import anthropic
from ..errors import UpstreamError, XRouterError
from ..wire.codec import encode
from ..wire.stream import ChatStream

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

CLOSE = (b"connection", b"close")
NOSNIFF = (b"x-content-type-options", b"nosniff")  # browsers must not take the words of a model for a page
_JSON = ((b"content-type", b"application/json"), NOSNIFF)
_EVENTS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    NOSNIFF,
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the stream back
)

HEADS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
"""Messages that carry the headers of an answer."""

_LONGEST = 4096  # bytes; clients give up on a head of 8 KiB (aiohttp, for one field) or 16 KiB (Node, in all)
_PRINTABLE = bytes(32 if code < 32 or code == 127 else code for code in range(256))

logger = logging.getLogger("xrouter")


@lru_cache(maxsize=1024)
def header(name: str, value: str) -> tuple[bytes, bytes]:
    """A header whose value cannot end it: control characters become spaces, what Latin-1 lacks becomes `?`.

    Cuts the value at `_LONGEST` bytes, because clients choose names of models of any length. Leaves no spaces at its
    ends, because h11 refuses them (RFC 9110, 5.5), and then sends no answer at all.
    """
    return name.encode("ascii"), value[:_LONGEST].encode("latin-1", "replace").translate(_PRINTABLE).strip()


def id_headers(context: RequestContext) -> list[tuple[bytes, bytes]]:
    """`x-request-id`, which every answer carries; and `request-id`, which Anthropic's clients show to people."""
    request_id = context.request_id.encode("ascii")
    headers = [(b"x-request-id", request_id)]
    if context.envelope is anthropic:
        headers.append((b"request-id", request_id))
    return headers


def status_of(message: Message) -> int | None:
    """The status in the head of an answer, None for any other message.

    To accept a WebSocket is a 101; to close it before that is a 403 for the client.
    """
    match message["type"]:
        case "http.response.start" | "websocket.http.response.start":
            return int(message["status"])
        case "websocket.accept":
            return 101
        case "websocket.close":
            return 403
    return None


def with_request_id(message: Message, request_id: str) -> Message:
    """Add `x-request-id` to the head of an answer that has none. Any other message stays as it is."""
    if message["type"] not in HEADS:
        return message
    headers = message.get("headers", ())
    for name, _ in headers:
        if name == b"x-request-id":
            return message
    return {**message, "headers": [*headers, (b"x-request-id", request_id.encode("ascii"))]}


def with_headers(message: Message, ours: Headers) -> Message:
    """The head of an answer with our headers, except those it has already; any other message as it is."""
    if message["type"] not in HEADS:
        return message
    headers = message.get("headers", ())
    names = {name.lower() for name, _ in headers}
    return {**message, "headers": [*headers, *[header for header in ours if header[0] not in names]]}


async def send_json(send: Send, data: bytes, *, headers: Headers = (), status: int = 200) -> None:
    """Answer with one JSON document."""
    length = (b"content-length", b"%d" % len(data))
    await send({"type": "http.response.start", "status": status, "headers": [*_JSON, length, *headers]})
    await send({"type": "http.response.body", "body": data})


async def send_error(send: Send, error: XRouterError, *, context: RequestContext, headers: Headers = ()) -> None:
    """Answer with an error, in the envelope that the client of this request understands."""
    status, own, body = context.envelope(error, context.request_id)
    await send_json(send, encode(body), headers=[*own, *headers], status=status)


def stream_head(headers: Headers = ()) -> Message:
    """The head of an event stream."""
    return {"type": "http.response.start", "status": 200, "headers": [*_EVENTS, *headers]}


async def send_stream(
    send: Send,
    stream: ChatStream,
    writer: EventWriter,
    *,
    context: RequestContext,
    headers: Headers = (),
    comment: Callable[[], bytes] | None = None,
    before_end: Callable[[], Awaitable[None]] | None = None,
) -> XRouterError | None:
    """Answer with an event stream, which the caller closes. What one read of the upstream returned is one message.

    Args:
        comment: Makes one line to tell before the end: many clients hang up at the end and read nothing after it.
        before_end: Awaited before the last events of a whole stream go out.

    Returns:
        The error that broke the stream, None if the stream is whole.
    """
    await send(stream_head(headers))
    broken: XRouterError | None = None
    events = writer.begin()
    while True:
        try:
            events += writer.feed(await stream.__anext__())
        except StopAsyncIteration:
            break
        except Exception as error:
            broken = _broken(error, context)
            break
        if events:
            await send({"type": "http.response.body", "body": events, "more_body": True})
            events = b""
    events += writer.end() if broken is None else writer.fail(broken, context.request_id)
    if before_end is not None and broken is None:
        await before_end()
    if comment is not None:
        events = b": " + comment() + b"\n\n" + events
    await send({"type": "http.response.body", "body": events, "more_body": False})
    return broken


def _broken(error: Exception, context: RequestContext) -> XRouterError:
    if isinstance(error, XRouterError):
        facts = {**context.facts, "code": error.code}
        logger.warning("A stream broke: %s", error.detail or error.message, extra=facts)
        return error
    logger.error("A stream broke by a defect of this program", exc_info=error, extra=context.facts)
    return UpstreamError("The answer broke off.", code="stream_broken")

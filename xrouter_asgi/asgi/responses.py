"""Answers as ASGI messages: JSON, the error envelope, the event stream."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

from starlette.types import Message, Send

from ..errors import UpstreamError, XRouterError
from ..wire import ChatChunk
from ..wire.codec import encode
from ..wire.sse import DONE, encode_event
from ..wire.stream import ChatStream

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

NOSNIFF = (b"x-content-type-options", b"nosniff")  # a model's words are no page, whatever they look like
_JSON = ((b"content-type", b"application/json"), NOSNIFF)
_EVENTS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    NOSNIFF,
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the stream back
)

_HEADS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
_LONGEST = 4096  # bytes; clients give up on a head of 8 KiB (aiohttp, for one field) or 16 KiB (Node, in all)
_PRINTABLE = bytes(32 if code < 32 or code == 127 else code for code in range(256))

_NONE: Mapping[str, object] = MappingProxyType({})

logger = logging.getLogger("xrouter")


@lru_cache(maxsize=1024)
def header(name: str, value: str) -> tuple[bytes, bytes]:
    """A header whose value cannot end it: control characters become spaces, what Latin-1 lacks becomes `?`.

    Names of models come from clients and may be of any length, so what is too long for a head is cut.
    """
    return name.encode("ascii"), value[:_LONGEST].encode("latin-1", "replace").translate(_PRINTABLE)


def id_header(request_id: str) -> tuple[bytes, bytes]:
    """`x-request-id`, which every answer bears."""
    return b"x-request-id", request_id.encode("ascii")


def status_of(message: Message) -> int | None:
    """The status that a head of an answer stands for, None for any other message.

    A WebSocket is accepted by 101; to close it without that is 403 for the client.
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
    """The head of an answer with `x-request-id`, unless it has one; any other message as it is."""
    if message["type"] not in _HEADS:
        return message
    headers = message.get("headers", ())
    for name, _ in headers:
        if name == b"x-request-id":
            return message
    return {**message, "headers": [*headers, id_header(request_id)]}


def with_headers(message: Message, ours: Headers) -> Message:
    """The head of an answer with our headers, except those it has already; any other message as it is."""
    if message["type"] not in _HEADS:
        return message
    headers = message.get("headers", ())
    names = {name.lower() for name, _ in headers}
    return {**message, "headers": [*headers, *(header for header in ours if header[0] not in names)]}


async def send_json(send: Send, data: bytes, *, headers: Headers = (), status: int = 200) -> None:
    """One whole JSON answer."""
    length = (b"content-length", b"%d" % len(data))
    await send({"type": "http.response.start", "status": status, "headers": [*_JSON, length, *headers]})
    await send({"type": "http.response.body", "body": data})


async def send_error(send: Send, error: XRouterError, *, headers: Headers = ()) -> None:
    """The envelope, with the status and the headers the error asks for."""
    await send_json(send, encode(error.envelope()), headers=[*error.headers(), *headers], status=error.status)


def stream_head(headers: Headers = ()) -> Message:
    """The head of an event stream."""
    return {"type": "http.response.start", "status": 200, "headers": [*_EVENTS, *headers]}


async def send_stream(
    send: Send,
    stream: ChatStream,
    *,
    include_usage: bool,
    facts: Mapping[str, object] = _NONE,
    headers: Headers = (),
    comment: Callable[[], bytes] | None = None,
) -> XRouterError | None:
    """An event stream, ended by `[DONE]` or, when the upstream fails, by one error event without it.

    What one read of the upstream returned goes out as one message. The usage comes in a chunk of its own at the end,
    wherever the upstream put it, and only with `include_usage`. Whoever has the stream closes it.

    Args:
        facts: For the line in the log about a stream that broke, as its `extra`.
        comment: What to say, in one line, before the end: many clients hang up on `[DONE]` and read nothing after it.

    Returns:
        What the stream broke off with, None if it is whole.
    """
    await send(stream_head(headers))
    events = _Events(stream, include_usage=include_usage, facts=facts)
    more = True
    while more:
        body, more = await events.next()
        if not more and comment is not None:
            body = b": " + comment() + b"\n\n" + body
        if body:
            await send({"type": "http.response.body", "body": body, "more_body": more})
    return events.broken


async def send_break(send: Send, error: XRouterError) -> None:
    """End a stream that is under way by an error event. There is no `[DONE]` after it."""
    await send({"type": "http.response.body", "body": encode_event(encode(error.envelope()))})


class _Events:
    """The bytes of an event stream, message by message."""

    def __init__(self, stream: ChatStream, *, include_usage: bool, facts: Mapping[str, object]) -> None:
        self._stream = stream
        self._include_usage = include_usage
        self._facts = facts
        self._usage: ChatChunk | None = None
        self.broken: XRouterError | None = None

    async def next(self) -> tuple[bytes, bool]:
        """The next bytes, none for a batch that holds nothing to pass on; and whether more will follow."""
        try:
            chunks = await self._stream.__anext__()
            return b"".join(
                [self._encode(chunk) if chunk.text is None else encode_event(chunk.data) for chunk in chunks]
            ), True
        except StopAsyncIteration:
            return self._end(), False
        except XRouterError as error:
            facts = {**self._facts, "code": error.code}
            logger.warning("A stream broke: %s", error.detail or error.message, extra=facts)
            self.broken = error
        except Exception:
            logger.exception("A stream broke for a reason that is a defect of this program", extra=self._facts)
            self.broken = UpstreamError("The answer broke off.", code="stream_broken")
        return encode_event(encode(self.broken.envelope())), False

    def _encode(self, chunk: ChatChunk) -> bytes:
        if chunk.value.get("usage"):
            self._usage = chunk
            if chunk.only_usage:
                return b""
            # Shown once: there are clients that add up what they see.
            chunk = chunk.replace(usage=None) if self._include_usage else chunk.without("usage")
        return encode_event(chunk.data)

    def _end(self) -> bytes:
        if self._usage is None or not self._include_usage:
            return DONE
        # OpenAI's own SDK fails without `choices`, others on a choice in here.
        return encode_event(self._usage.replace(choices=[]).data) + DONE

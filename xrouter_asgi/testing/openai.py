"""An OpenAI-compatible upstream on a socket: correct by default, broken in any way a test asks for.

    async with FakeOpenAI() as fake:
        provider = OpenAIProvider(fake.base_url)
        fake.next(refuse(503), raw(chunked(event(b"{"))[:-3], then="reset"))

The first two requests get those two answers, in order of arrival; all others are answered properly.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal, Self

from .http import FakeExchange, FakeServer, Handler
from .openai_answers import MODELS, chunks, completion, embeddings, text_chunks, text_completion

DONE = b"data: [DONE]\n\n"
JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}


class FakeOpenAI:
    """Answers `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings` and `/v1/models`. An async context manager.

    A chat echoes the last user message, streamed word by word; `call NAME {…}` calls the tool of that name if there
    is one, its arguments streamed in two pieces. Usage counts words, and comes in a stream only if asked for. Each of
    `n` choices says the same. A legacy completion echoes each of its prompts. A vector is
    `[length of the text, 0.5, 0.25, 0.125]`. Nothing depends on time or chance.

    Args:
        api_key: Answer 401 to any other bearer token; None takes all.

    Attributes:
        base_url: Ends in `/v1`.
        requests: All that came: `method`, `path`, `headers` (names in lower case), `body`.
        running: How many of them are not answered yet and whose client is still there.
    """

    def __init__(self, *, api_key: str | None = None) -> None:
        self.requests: list[FakeExchange] = []
        self.running = 0
        self._api_key = api_key
        self._scripts: deque[Handler] = deque()
        self._changed = asyncio.Condition()
        self._server = FakeServer(self._handle)

    @property
    def base_url(self) -> str:
        return f"{self._server.url}/v1"

    @property
    def connections(self) -> int:
        """How many were made so far."""
        return self._server.connections

    @property
    def last(self) -> dict[str, Any]:
        """The body of the last request."""
        value: dict[str, Any] = json.loads(self.requests[-1].body)
        return value

    def next(self, *scripts: Handler) -> None:
        """Answer the next requests so: with one of the functions below, or any that takes an `Exchange`."""
        self._scripts.extend(scripts)

    async def arrived(self, count: int = 1) -> None:
        """Wait until so many requests have come in all."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)

    async def settled(self) -> None:
        """Wait until nothing is running: each request is answered, or its client has gone."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.running == 0)

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.__aexit__(*exc)

    async def _handle(self, exchange: FakeExchange) -> None:
        self.requests.append(exchange)
        await self._count(+1)
        try:
            await (self._scripts.popleft() if self._scripts else self.proper)(exchange)
        finally:
            await self._count(-1)

    async def _count(self, difference: int) -> None:
        async with self._changed:
            self.running += difference
            self._changed.notify_all()

    async def proper(self, exchange: FakeExchange) -> None:
        """The proper answer, for scripts that only want to come before it."""
        if self._api_key is not None and exchange.headers.get("authorization") != f"Bearer {self._api_key}":
            await refuse(401, "Incorrect API key provided: sk-wrong.", code="invalid_api_key")(exchange)
            return
        match exchange.method, exchange.path:
            case "GET", "/v1/models":
                await whole(MODELS)(exchange)
            case "POST", "/v1/embeddings":
                await whole(embeddings(json.loads(exchange.body)))(exchange)
            case "POST", "/v1/chat/completions":
                request = json.loads(exchange.body)
                answer = stream(*chunks(request)) if request.get("stream") else whole(completion(request))
                await answer(exchange)
            case "POST", "/v1/completions":
                request = json.loads(exchange.body)
                texts = text_chunks(request)
                await (stream(*texts) if request.get("stream") else whole(text_completion(request)))(exchange)
            case _:
                await refuse(404, "Unknown request URL.")(exchange)


# Scripts: how to answer.


def whole(value: object, *, status: int = 200, headers: Mapping[str, str] = JSON) -> Handler:
    """One body: bytes as they are, anything else as JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()

    async def script(exchange: FakeExchange) -> None:
        await exchange.answer(status, body, headers)

    return script


def refuse(status: int, message: str = "No.", *, headers: Mapping[str, str] | None = None, **members: Any) -> Handler:
    """OpenAI's error envelope."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None, **members}
    return whole({"error": error}, status=status, headers={**JSON, **(headers or {})})


def stream(
    *payloads: object, end: bytes = DONE, hold: asyncio.Event | None = None, headers: Mapping[str, str] = SSE
) -> Handler:
    """An event stream, each event in a write of its own: bytes as they are, anything else as the JSON of one event.

    Args:
        hold: Wait for it, or for the client to go, before `end`.
    """

    async def script(exchange: FakeExchange) -> None:
        await exchange.start(200, headers)
        for payload in payloads:
            await exchange.write(payload if isinstance(payload, bytes) else event(payload))
        if hold is not None:
            await exchange.until(hold)
        if end:
            await exchange.write(end)
        await exchange.end()

    return script


def endless(piece: bytes) -> Handler:
    """An event stream that repeats one piece until the client goes."""

    async def script(exchange: FakeExchange) -> None:
        await exchange.start(200, SSE)
        while not exchange.gone.is_set():
            await exchange.write(piece)
            await asyncio.sleep(0)

    return script


def held(until: asyncio.Event, answer: Handler) -> Handler:
    """Nothing until an event, or until the client goes; then an answer."""

    async def script(exchange: FakeExchange) -> None:
        await exchange.until(until)
        await answer(exchange)

    return script


def raw(data: bytes = b"", *, size: int | None = None, then: Literal["close", "reset"] = "close") -> Handler:
    """Bytes as they are on the wire (see `identity` and `chunked`), `size` of them per write; then the end.

    Args:
        then: Close in order (FIN) or with a reset (RST).
    """

    async def script(exchange: FakeExchange) -> None:
        async for piece in _pieces(data, size or len(data) or 1):
            exchange.writer.write(piece)
            await exchange.writer.drain()
        if then == "reset":
            connection = exchange.writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            exchange.writer.transport.abort()
        else:
            exchange.writer.close()
        raise ConnectionResetError  # this connection serves no other request

    return script


async def _pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
        await asyncio.sleep(0)


# Bytes on the wire.


def event(payload: object) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


def identity(body: bytes, *, status: int = 200, headers: Mapping[str, str] = SSE, length: int | None = None) -> bytes:
    """A whole answer. Without `length` its end is the end of the connection."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if length is not None:
        fields += f"content-length: {length}\r\n"
    return f"HTTP/1.1 {status} Status\r\n{fields}\r\n".encode() + body


def chunked(*pieces: bytes, headers: Mapping[str, str] = SSE) -> bytes:
    """A whole chunked answer, its last chunk included."""
    coded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return identity(coded + b"0\r\n\r\n", headers={**headers, "transfer-encoding": "chunked"})

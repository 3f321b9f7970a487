"""A closed loop of requests over kept-alive connections, cheap enough not to be what is measured."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Iterator, Mapping
from typing import cast

_QUESTION = "Tell me what it is, and what it is not, and how one would know. " * 12


_MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": _QUESTION}]
DIALECTS: dict[str, tuple[str, dict[str, object]]] = {
    "chat": ("/v1/chat/completions", {"messages": _MESSAGES}),
    "responses": ("/v1/responses", {"input": _MESSAGES}),
}
"""Where each dialect is spoken, and the same question in it."""


LONG: dict[str, object] = {"messages": [{"role": "user", "content": "What, and why? " * 33} for _ in range(1900)]}
"""1 MB of short messages, in place of the question of a chat."""
BURST: dict[str, object] = {"messages": [{"role": "system", "content": "burst"}, _MESSAGES[1]]}
"""Makes the upstream send a stream at once. A message, because some gateways drop members that they do not need."""


def request(
    port: int,
    *,
    stream: bool,
    model: str = "bench",
    dialect: str = "chat",
    members: Mapping[str, object] = {},
    key: str = "x",
    path: str | None = None,
    headers: Mapping[str, str] = {},
) -> bytes:
    """One request of about 1 kB, as bytes for the socket.

    Args:
        members: What else the body holds, such as `LONG`.
        path: Where the dialect is spoken, if not where OpenAI speaks it.
        headers: More headers than the key.
    """
    place, question = DIALECTS[dialect]
    body = json.dumps({"model": model, **question, "temperature": 0.5, "stream": stream, **members}).encode()
    lines = [
        f"POST {path or place} HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        "content-type: application/json",
        f"authorization: Bearer {key}",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"content-length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Work:
    """What the connections of one run share.

    Attributes:
        latencies: Seconds from each request to the end of its answer.
    """

    def __init__(self, payloads: Iterator[bytes], requests: int | None, seconds: float) -> None:
        self.latencies: list[float] = []
        self._payloads = payloads
        self._left = math.inf if requests is None else requests
        self._end = time.perf_counter() + seconds

    def next(self) -> bytes | None:
        """The next request; None if there is to be none."""
        if self._left <= 0 or time.perf_counter() >= self._end:
            return None
        self._left -= 1
        return next(self._payloads)


class _Connection(asyncio.Protocol):
    """Sends one request after the other until there are no more."""

    def __init__(self, work: _Work) -> None:
        self.work = work
        self.done = asyncio.get_running_loop().create_future()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports inherit from none of asyncio's
        self._next()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self._whole():
            if self.buffer.split(b" ", 2)[1] != b"200":
                self.done.set_exception(RuntimeError(self.buffer[:500].decode("latin-1")))
                return
            self.work.latencies.append(time.perf_counter() - self.began)
            self.buffer = b""
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"The connection was closed: {error!r}"))

    def _whole(self) -> bool:
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return False
        lower = head.lower()
        if b"chunked" in lower:
            return body.endswith(b"0\r\n\r\n")
        return len(body) >= int(lower.partition(b"content-length:")[2].split(b"\r\n")[0])

    def _next(self) -> None:
        payload = self.work.next()
        if payload is None:
            self.done.set_result(None)
            self.transport.close()
            return
        self.began = time.perf_counter()
        self.transport.write(payload)


async def run(
    port: int, payloads: Iterator[bytes], *, connections: int, requests: int | None = None, seconds: float = math.inf
) -> list[float]:
    """Send requests over so many connections, which each wait for the answer to the one before.

    Args:
        requests: How many, in all; None for any number.
        seconds: After which no more are sent.

    Returns the seconds that each answer took. Raises RuntimeError for any answer but a 200.
    """
    loop = asyncio.get_running_loop()
    work = _Work(payloads, requests, seconds)
    made = [await loop.create_connection(lambda: _Connection(work), "127.0.0.1", port) for _ in range(connections)]
    try:
        await asyncio.gather(*(connection.done for _, connection in made))
    finally:
        for transport, connection in made:
            connection.done.cancel()
            transport.close()
    return work.latencies

"""A closed loop of requests over kept-alive connections, cheap enough not to be what is measured."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import cast

_QUESTION = "Tell me what it is, and what it is not, and how one would know. " * 12


_MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": _QUESTION}]
DIALECTS: dict[str, tuple[str, dict[str, object]]] = {
    "chat": ("/v1/chat/completions", {"messages": _MESSAGES}),
    "responses": ("/v1/responses", {"input": _MESSAGES}),
}
"""Where each dialect is spoken, and the same question in it."""

NATIVE: dict[str, tuple[str, dict[str, object]]] = {
    "native-messages": ("/v1/messages", {"messages": _MESSAGES[1:], "max_tokens": 1000, "model": "claude"}),
    "native-responses": ("/v1/responses", {"input": _MESSAGES, "store": False, "model": "gpt"}),
    "cached": ("/v1/chat/completions", {"messages": _MESSAGES, "model": "cached"}),
}
"""The same at upstreams that speak the dialect themselves; and a chat that is answered from the cache."""


LONG: dict[str, object] = {"messages": [{"role": "user", "content": "What, and why? " * 33} for _ in range(1900)]}
"""1 MB of short messages, in place of the question of a chat."""
BURST: dict[str, object] = {"user": "burst"}
"""Makes the upstream send a stream at once."""


def request(
    port: int, *, stream: bool, model: str = "bench", dialect: str = "chat", members: Mapping[str, object] = {}
) -> bytes:
    """One request of about 1 kB, as bytes for the socket.

    Args:
        members: What else the body holds, such as `LONG`.
    """
    path, question = (DIALECTS | NATIVE)[dialect]
    body = json.dumps({"model": model, **question, "temperature": 0.5, "stream": stream, **members}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer x\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """Sends the same request again and again until the shared count is used up."""

    def __init__(self, payload: bytes, left: list[int], done: asyncio.Future[None]) -> None:
        self.payload = payload
        self.left = left
        self.done = done
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports inherit from none of asyncio's
        self._next()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self._whole():
            if not self.buffer.startswith(b"HTTP/1.1 200"):
                self.done.set_exception(RuntimeError(self.buffer[:500].decode("latin-1")))
                return
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
        if self.left[0] <= 0:
            self.done.set_result(None)
            self.transport.close()
            return
        self.left[0] -= 1
        self.transport.write(self.payload)


async def run(port: int, payload: bytes, *, requests: int, connections: int) -> None:
    """Send `requests` over `connections`. Raises RuntimeError for any answer but a 200."""
    loop = asyncio.get_running_loop()
    left = [requests]
    futures: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    for done in futures:
        await loop.create_connection(lambda done=done: _Connection(payload, left, done), "127.0.0.1", port)  # type: ignore[misc]  # a lambda with a default has no type
    await asyncio.gather(*futures)

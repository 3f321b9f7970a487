"""An open loop of requests: each is sent when it is due, however many are still under way.

A closed loop asks less of a gateway that is slow, and so does not see how slow it is ("coordinated omission").
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import uvloop

_QUESTION = "Tell me what it is, and what it is not, and how one would know. " * 12
_PATIENCE = 30.0  # seconds after which a client gives up


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one request.

    Attributes:
        due: When it was to be sent, in seconds of the monotonic clock.
        latency: Seconds from then until the last byte of the answer.
        status: 0 where no whole answer came.
        good: Whether it is a 200 and, if a stream, was ended by `[DONE]`.
        provider: Who answered; empty for an error.
        asked: Which targets were asked, in their order.
        retry_after: Seconds after which to ask again; 0 if nothing was said.
    """

    due: float
    latency: float
    status: int
    good: bool
    provider: str
    asked: tuple[str, ...]
    retry_after: float = 0.0


def request(model: str, *, stream: bool = False, key: str = "x") -> bytes:
    """A chat request of about 1 kB that wants to be told how it was routed, as bytes for the socket."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": _QUESTION}]
    body = json.dumps({"model": model, "messages": messages, "temperature": 0.5, "stream": stream}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\nx-xrouter-explain: 1\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def arrive(port: int, payload: bytes, *, rate: float, seconds: float) -> list[Answer]:
    """Send the request `rate` times a second, and wait for all answers."""
    client = Client(port)
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(round(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(due - time.monotonic())
            tasks.append(group.create_task(client.ask(payload, due=due)))
    client.close()
    return [task.result() for task in tasks]


def storm(port: int, payload: bytes, rate: float, seconds: float) -> list[Answer]:
    """The same from a process of its own, so that it does not hold up the clients that are measured here."""
    return uvloop.run(arrive(port, payload, rate=rate, seconds=seconds))


def p99(answers: Sequence[Answer]) -> float:
    """Seconds within which 99 of 100 had an answer, good or not; to those without one it never came."""
    latencies = sorted(answer.latency if answer.status else math.inf for answer in answers)
    return latencies[math.ceil(0.99 * len(latencies)) - 1]


class Client:
    """Keeps connections, and makes another whenever none is free."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[_Connection] = []

    async def ask(self, payload: bytes, *, due: float) -> Answer:
        connection, data = None, b""
        try:
            async with asyncio.timeout(_PATIENCE):
                connection = await self._connection()
                data = await connection.ask(payload)
        except (OSError, TimeoutError):
            pass
        finally:
            if connection is not None and not data:
                connection.close()
        if connection is not None and data:
            self._free.append(connection)
        return _answer(data, due)

    def close(self) -> None:
        for connection in self._free:
            connection.close()

    async def _connection(self) -> _Connection:
        while self._free:
            connection = self._free.pop()
            if not connection.closed:
                return connection
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self._port)
        return connection


class _Connection(asyncio.Protocol):
    closed = False
    _answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports inherit from none of asyncio's

    async def ask(self, payload: bytes) -> bytes:
        """The bytes of a whole answer; empty if the connection was closed before its end."""
        self._buffer = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(payload)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if _is_whole(self._buffer):
            self._settle(self._buffer)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._settle(b"")

    def close(self) -> None:
        self.closed = True
        self._transport.abort()

    def _settle(self, data: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(data)


def _is_whole(data: bytes) -> bool:
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return False
    lower = head.lower()
    if b"\r\ntransfer-encoding: chunked" in lower:
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(lower.partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0])


def _answer(data: bytes, due: float) -> Answer:
    latency = time.monotonic() - due
    if not data:
        return Answer(due=due, latency=latency, status=0, good=False, provider="", asked=())
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(first.split()[1])
    streamed = headers["content-type"].startswith("text/event-stream")
    told = json.loads(headers.get("x-xrouter-explain", "{}"))
    return Answer(
        due=due,
        latency=latency,
        status=status,
        good=status == 200 and (not streamed or b"data: [DONE]\n" in body),
        provider=headers.get("x-xrouter-provider", ""),
        asked=tuple(attempt["target"] for attempt in told.get("attempts", ())),
        retry_after=float(headers.get("retry-after-ms", 0)) / 1000,
    )

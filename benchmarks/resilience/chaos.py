"""An OpenAI-compatible upstream that fails as it is told, in a process of its own.

    python -m benchmarks.resilience.chaos SECONDS

It answers after that many seconds, at a free port of 127.0.0.1, which it prints. Then it reads orders from the standard
input, one a line, does each, and answers by a line; it ends with its input.

    fail SHARE FAULT ...  from now on that share of the requests meets one of the faults: 500, 503, empty, hang, reset
    close                 refuse connections, and reset those that are there
    open                  take connections again
    journal               when requests came, as JSON: seconds of the monotonic clock, which all processes share

A fault comes at once. Requests for a model named `stalled` are never answered.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
import sys
import time
from functools import partial
from typing import cast

import uvloop

from ..upstream import ANSWER, EVENT, STREAM_END, STREAM_HEAD

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": ?true')
_STALLED = re.compile(rb'"model": ?"stalled"')
_AT_ONCE = struct.pack("ii", 1, 0)  # linger for 0 seconds: close by a reset (socket(7), SO_LINGER)


def _refusal(status: int, reason: str) -> bytes:
    body = json.dumps({"error": {"message": "It is not my day.", "type": "server_error", "code": None}}).encode()
    head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


_FAULTS = {
    "500": _refusal(500, "Internal Server Error"),
    "503": _refusal(503, "Service Unavailable"),
    "empty": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n",
}


class Chaos:
    """The upstream: what it does now, and what came to it."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.journal: list[float] = []
        self.conversations: set[Conversation] = set()
        self._share = 0.0
        self._faults: list[str] = []
        self._dice = random.Random(1)
        # Bound for good and never listening, so that nobody else gets the port while it is closed.
        self._place = _bound(0)
        self.port: int = self._place.getsockname()[1]
        self._server: asyncio.Server | None = None

    async def obey(self, order: str) -> str:
        """Do what one line says."""
        match order.split():
            case ["fail", share, *faults]:
                self._share, self._faults = float(share), faults
            case ["close"]:
                self.close()
            case ["open"]:
                await self.open()
            case ["journal"]:
                return json.dumps(self.journal)
            case _:
                raise ValueError(f"There is no order {order!r}.")
        return "done"

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        listener = _bound(self.port)
        self._server = await loop.create_server(partial(Conversation, self), sock=listener, backlog=1024)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for conversation in list(self.conversations):
            conversation.reset()

    def fault(self) -> str | None:
        """What the request that is here meets."""
        return self._dice.choice(self._faults) if self._faults and self._dice.random() < self._share else None


class Conversation(asyncio.Protocol):
    """One connection, with one request after another."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports inherit from none of asyncio's
        self._chaos.conversations.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._chaos.conversations.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not separator or length is None or len(body) < int(length[1]):
            return
        self._buffer = b""
        self._chaos.journal.append(time.monotonic())
        fault = "hang" if _STALLED.search(body) else self._chaos.fault()
        if fault == "reset":
            self.reset()
        elif fault is None:
            answer = STREAM_HEAD + EVENT * 3 + STREAM_END if _STREAM.search(body) else ANSWER
            asyncio.get_running_loop().call_later(self._chaos.delay, self._write, answer)
        elif fault != "hang":
            self._write(_FAULTS[fault])

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)

    def reset(self) -> None:
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._transport.abort()


def _bound(port: int) -> socket.socket:
    place = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    place.bind(("127.0.0.1", port))
    place.setblocking(False)
    return place


async def main(delay: float) -> None:
    chaos = Chaos(delay)
    await chaos.open()
    print(chaos.port, flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while order := await orders.readline():
        print(await chaos.obey(order.decode()), flush=True)


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1])))

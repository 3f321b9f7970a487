"""An OpenAI-compatible upstream that costs next to nothing, so that what is measured is the gateway.

python -m benchmarks.upstream PORT [WORDS]

It prints its port, which is a free one for 0. To whatever is posted that asks for no stream, the answer is a 200: so it
serves as a collector of spans, too. A stream comes in one piece if a message is `burst`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import cast

import uvloop

CHUNKS = 40
BURST = 100  # events of a stream that come at once
PACE = 0.02  # seconds between two chunks of a paced stream

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "bench"}


def _answer() -> bytes:
    message = {"role": "assistant", "content": "It is what it is. " * 40, "refusal": None}
    body = json.dumps(
        {
            **_HEAD,
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 200, "total_tokens": 220},
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    data = json.dumps({**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}).encode()
    return _chunk(b"data: " + data + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


ANSWER = _answer()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = _event({"content": " word"})
STREAM_END = _event({}, "stop") + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """Answers each request on a connection in turn: whole, or `words` events, `PACE` seconds apart."""

    words = CHUNKS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports inherit from none of asyncio's
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, rest = self.buffer.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not separator or length is None or len(rest) < int(length[1]):
            return
        self.buffer = b""
        if b'"stream":true' in rest or b'"stream": true' in rest:
            self.transport.write(STREAM_HEAD)
            if b'"burst"' in rest:
                self.transport.write(EVENT * BURST + STREAM_END)
            else:
                self._event(self.words)
        else:
            self.transport.write(ANSWER)

    def _event(self, left: int) -> None:
        if self.transport.is_closing():
            return
        if left:
            self.transport.write(EVENT)
            self.later(partial(self._event, left - 1))
        else:
            self.transport.write(STREAM_END)

    def later(self, step: Callable[[], None]) -> None:
        """Take the next step of a stream when it is time."""
        asyncio.get_running_loop().call_later(PACE, step)


async def main(port: int, words: int = CHUNKS) -> None:
    Upstream.words = words
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*map(int, sys.argv[1:])))

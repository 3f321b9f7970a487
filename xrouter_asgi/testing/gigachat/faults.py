"""Answers that a test scripts: what the fake says next instead of the truth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..http import FakeExchange

STREAM = {"Content-Type": "text/event-stream"}
JSON = {"Content-Type": "application/json; charset=utf-8"}


class Fault(Protocol):
    """One scripted answer."""

    async def play(self, exchange: FakeExchange) -> None: ...


@dataclass(frozen=True)
class ScriptedAnswer:
    """Any whole answer; a `body` that is not bytes becomes JSON."""

    status: int
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)

    async def play(self, exchange: FakeExchange) -> None:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body, ensure_ascii=False).encode()
        await exchange.answer(self.status, body, self.headers)


def refusal(status: int, message: str) -> ScriptedAnswer:
    """GigaChat's error envelope."""
    return ScriptedAnswer(status, json.dumps({"status": status, "message": message}).encode() + b"\n")


HTML_502 = ScriptedAnswer(
    502,
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    b"<hr><center>SynGX</center>\r\n</body>\r\n</html>\r\n",
    {"Content-Type": "text/html"},
)


@dataclass(frozen=True)
class Events:
    """A stream of these events: dicts become JSON, text is sent as it is, as one `data:` payload.

    Attributes:
        done: Whether `[DONE]` follows.
        cut: Break the connection instead of ending the answer.
        size: Bytes per write, so that characters and lines come in pieces; None writes event by event.
        stall: Wait for it after the events.
    """

    events: Sequence[dict[str, Any] | str]
    done: bool = True
    cut: bool = False
    size: int | None = None
    stall: asyncio.Event | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: STREAM)

    async def play(self, exchange: FakeExchange) -> None:
        await exchange.start(200, self.headers)
        texts = [event if isinstance(event, str) else json.dumps(event, ensure_ascii=False) for event in self.events]
        pieces = [f"data: {text}\n\n".encode() for text in [*texts, *(["[DONE]"] if self.done else [])]]
        if self.size is not None:
            whole = b"".join(pieces)
            pieces = [whole[start : start + self.size] for start in range(0, len(whole), self.size)]
        for piece in pieces:
            await exchange.write(piece)
        if self.stall is not None:
            await exchange.until(self.stall)
        if self.cut:
            exchange.reset()
        else:
            await exchange.end()


@dataclass(frozen=True)
class Reset:
    """The connection ends before any answer."""

    async def play(self, exchange: FakeExchange) -> None:
        exchange.reset()


@dataclass(frozen=True)
class Stall:
    """Nothing comes until `event` is set; then the connection ends."""

    event: asyncio.Event = field(default_factory=asyncio.Event)

    async def play(self, exchange: FakeExchange) -> None:
        await exchange.until(self.event)
        exchange.reset()

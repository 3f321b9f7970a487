"""A collector on a real socket, that understands OTLP/JSON."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

from tests.fakes.http import Exchange, Handler
from tests.middleware.spans import Span, of_json


class Collecting:
    """Takes what is posted, after it has given these answers.

    Attributes:
        requests: All, also those that were refused.
        asked: Set as soon as one comes.
    """

    def __init__(self, *refusals: Handler) -> None:
        self.requests: list[Exchange] = []
        self.taken: list[Any] = []
        self.asked = asyncio.Event()
        self._came = asyncio.Condition()
        self._refusals = list(refusals)

    async def __call__(self, exchange: Exchange) -> None:
        self.requests.append(exchange)
        self.asked.set()
        if self._refusals:
            await self._refusals.pop(0)(exchange)
            return
        packed = exchange.headers.get("content-encoding") == "gzip"
        await exchange.answer(200, b"{}", {"content-type": "application/json"})
        async with self._came:
            self.taken.append(json.loads(gzip.decompress(exchange.body) if packed else exchange.body))
            self._came.notify_all()

    async def has_documents(self, number: int) -> None:
        """Wait until so many have been taken."""
        async with self._came:
            await self._came.wait_for(lambda: len(self.taken) >= number)

    async def has(self, spans: int) -> None:
        """Wait until so many have come."""
        async with self._came:
            await self._came.wait_for(lambda: len(self.spans) >= spans)

    @property
    def spans(self) -> list[Span]:
        """Those of all documents, in the order in which they came."""
        resources = [each for document in self.taken for each in document["resourceSpans"]]
        return [of_json(span) for each in resources for scope in each["scopeSpans"] for span in scope["spans"]]


def refusing(status: int, **headers: str) -> Handler:
    """An answer with this status."""

    async def handler(exchange: Exchange) -> None:
        await exchange.answer(status, b"{}", {name.replace("_", "-"): value for name, value in headers.items()})

    return handler

"""What clients see of an upstream that speaks their dialect: the same through the gateway as without it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import pytest

from xrouter_asgi.context import RequestContext, Usage
from xrouter_asgi.testing.http import FakeExchange, Handler
from xrouter_asgi.testing.openai import SSE, whole


class Upstream(Protocol):
    def next(self, *scripts: Handler) -> None: ...


class Stood(Protocol):
    """A gateway before an upstream, and the requests that it answered."""

    sdk: Any
    direct: Any  # the same SDK, without the gateway
    ended: list[RequestContext]


class NativeContract:
    """Runs with the fixtures `fake`, the upstream, and `it`, which is `Stood` before it.

    Attributes:
        asked: A request.
        events: A stream as it was recorded.
        samples: Streams with each kind of event or block that is not in it.
        answer: A whole answer.
        usage: What both count.
        sse: Writes an event as the upstream does.
        resource: What of an SDK has the method `create`.
    """

    asked: ClassVar[dict[str, Any]]
    events: ClassVar[Sequence[dict[str, Any]]]
    samples: ClassVar[Sequence[Sequence[dict[str, Any]]]]
    answer: ClassVar[dict[str, Any]]
    usage: ClassVar[Usage]
    sse: Callable[[dict[str, Any]], bytes]
    resource: Callable[[Any], Any]

    def told(self, events: Sequence[dict[str, Any]], size: int = 1000) -> Handler:
        """The stream in pieces of so many bytes."""
        data = b"".join(map(self.sse, events))

        async def script(exchange: FakeExchange) -> None:
            await exchange.start(200, SSE)
            for start in range(0, len(data), size):
                await exchange.write(data[start : start + size])
            await exchange.end()

        return script

    async def heard(self, sdk: Any) -> list[dict[str, Any]]:
        """The events as the SDK hands them on."""
        async with await self.resource(sdk).create(**self.asked, stream=True) as events:
            return [event.to_dict() async for event in events]

    async def test_each_event_reaches_the_client_as_it_came(self, fake: Upstream, it: Stood) -> None:
        fake.next(*[self.told(self.events)] * 2)
        through = await self.heard(it.sdk)
        assert through == await self.heard(it.direct)
        assert len(through) == sum(event["type"] != "ping" for event in self.events)

    async def test_so_does_each_kind_that_the_sdk_knows(self, fake: Upstream, it: Stood) -> None:
        for events in self.samples:
            fake.next(*[self.told(events)] * 2)
            assert await self.heard(it.sdk) == await self.heard(it.direct) == events

    @pytest.mark.parametrize("size", [1, 7, 64, 1000, 100_000])
    async def test_however_the_bytes_come_they_are_the_same(self, fake: Upstream, it: Stood, size: int) -> None:
        fake.next(self.told(self.events, size))
        async with self.resource(it.sdk).with_streaming_response.create(**self.asked, stream=True) as answer:
            assert b"".join([piece async for piece in answer.iter_bytes()]) == b"".join(map(self.sse, self.events))

    async def test_a_whole_answer_reaches_the_client_as_it_came(self, fake: Upstream, it: Stood) -> None:
        fake.next(whole(self.answer))
        told = await self.resource(it.sdk).with_raw_response.create(**self.asked)
        assert told.http_response.content == json.dumps(self.answer).encode()
        assert "x-xrouter-warnings" not in told.headers

    @pytest.mark.parametrize("stream", [False, True])
    async def test_the_counts_are_known(self, fake: Upstream, it: Stood, stream: bool) -> None:
        fake.next(self.told(self.events) if stream else whole(self.answer))
        await (self.heard(it.sdk) if stream else self.resource(it.sdk).create(**self.asked))
        (context,) = it.ended
        assert context.usage == self.usage

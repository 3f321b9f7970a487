"""How a body is read while its client takes its time."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from tests.asgi_client import http_scope
from xrouter_asgi.asgi.body import CREDIT, RATE, RequestTimeout, read_body
from xrouter_asgi.testing.virtual import virtual

POST = http_scope("POST", "/")


class Trickle:
    """A client that sends the parts of its body, each after its wait in seconds."""

    def __init__(self, *parts: tuple[float, int], then: float = 0.0) -> None:
        self._parts = [*parts, (then, 0)]

    async def receive(self) -> Message:
        wait, size = self._parts.pop(0)
        await asyncio.sleep(wait)
        return {"type": "http.request", "body": b"a" * size, "more_body": bool(self._parts)}


async def read(*parts: tuple[float, int], then: float = 0.0) -> int:
    return len(await read_body(POST, Trickle(*parts, then=then).receive, limit=32 << 20))


@virtual
async def test_a_body_may_take_its_credit_and_no_longer() -> None:
    assert await read((0, 1), then=CREDIT - 1) == 1
    with pytest.raises(RequestTimeout):
        await read((0, 1), then=CREDIT + 1)


@virtual
async def test_a_body_that_keeps_up_the_rate_may_take_any_time() -> None:
    assert await read(*[(1, RATE)] * 1000, then=1) == 1000 * RATE


@virtual
async def test_a_body_that_came_fast_gains_no_time_for_its_last_bytes() -> None:
    with pytest.raises(RequestTimeout):
        await read((0, 31 << 20), *[(5, 1)] * 10)


@virtual
async def test_a_read_that_is_cancelled_ends_as_cancelled() -> None:
    reading = asyncio.create_task(read((0, 1), then=CREDIT - 1))
    await asyncio.sleep(1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

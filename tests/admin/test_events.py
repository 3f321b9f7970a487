from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.admin.stand import HOST, SETTINGS, Stand, bearer
from tests.asgi_client import Exchange, body_messages, http_scope
from xrouter_asgi.admin.api.events import LONGEST, MOST
from xrouter_asgi.context import RequestContext
from xrouter_asgi.events import CircuitOpened, CooldownStarted
from xrouter_asgi.testing.virtual import virtual


def listen(stand: Stand) -> Exchange:
    headers = [HOST, bearer(stand.admin.secret)]
    return Exchange(stand.app, http_scope("GET", "/api/events", headers=headers), script=body_messages())


def events(exchange: Exchange) -> list[tuple[str, Any]]:
    found = []
    for block in exchange.answer.body.decode().split("\n\n"):
        if block.startswith("event: "):
            name, data = block.removeprefix("event: ").split("\ndata: ")
            found.append((name, json.loads(data)))
    return found


@virtual
async def test_what_happens_is_told_as_it_happens() -> None:
    stand = await Stand.open()
    exchange = listen(stand)
    running = asyncio.create_task(exchange.run())
    await exchange.sent(2)
    await stand.chat(x_request_id="req_1")
    stand.live(CircuitOpened(RequestContext(), "other", 5, "other/b"))
    stand.live(CooldownStarted(RequestContext(), "other", "rate", 5, "other/b"))
    await exchange.sent(3)
    await stand.router.replace(SETTINGS.model_copy(update={"models": {}}))
    await exchange.sent(4)
    exchange.leave()
    await running
    *others, (first, request), (last, reloaded) = events(exchange)
    assert (first, request["id"]) == ("request", "req_1")
    assert [(name, data["kind"]) for name, data in others] == [("circuit", "circuit_open"), ("problem", "cooling")]
    assert (last, reloaded) == ("reloaded", {"version": stand.router.settings.version})
    await stand.router.aclose()


@virtual
async def test_a_stream_ends_when_its_reader_leaves() -> None:
    stand = await Stand.open()
    loop = asyncio.get_running_loop()
    began, exchange = loop.time(), listen(stand)
    running = asyncio.create_task(exchange.run())
    await exchange.sent(2)
    exchange.leave()
    await running
    assert loop.time() - began < 1


@virtual
async def test_more_than_ten_events_a_second_are_dropped_and_counted() -> None:
    stand = await Stand.open()
    exchange = listen(stand)
    running = asyncio.create_task(exchange.run())
    await exchange.sent(2)
    for _ in range(MOST + 5):
        await stand.chat()
    await exchange.sent(3)
    exchange.leave()
    await running
    assert [name for name, _ in events(exchange)] == ["request"] * MOST + ["dropped"]
    assert events(exchange)[-1] == ("dropped", {"count": 5})


@virtual
async def test_a_stream_ends_after_a_minute_so_that_a_revoked_key_ends_with_it() -> None:
    stand = await Stand.open()
    loop = asyncio.get_running_loop()
    began, exchange = loop.time(), listen(stand)
    answer = await exchange.run()
    assert answer.finished
    assert LONGEST <= loop.time() - began < LONGEST + 2
    assert answer.bodies[1:-1] == [b":\n\n"] * 3  # every 15 s of silence

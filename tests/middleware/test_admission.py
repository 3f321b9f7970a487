"""What `AdmissionMiddleware` refuses, around the router and around other applications."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.asgi_client import Answer, Exchange, body_messages, http_scope
from xrouter_asgi import AdmissionMiddleware, APIKeyMiddleware, LLMRouter, Principal
from xrouter_asgi.admission import BodyBudget, LoopLag, MemoryGate, Refusals
from xrouter_asgi.admission.loop_lag import INTERVAL
from xrouter_asgi.admission.memory import STREAMS_UNTIL
from xrouter_asgi.testing.scripted import ScriptedProvider, chat, chunk

MIB = 1 << 20
CHAT = "/v1/chat/completions"


class Gate(MemoryGate):
    """Says what a test says."""

    def __init__(self, share: float) -> None:
        self.told = share

    def share(self) -> float:
        return self.told


def overloaded() -> LoopLag:
    """Lets one of twenty pass."""
    lag = LoopLag(0.1)
    for turn in range(100):
        lag.note(1.0, turn * INTERVAL)
    return lag


def exchange(
    app: ASGIApp, body: bytes = b"", *, path: str = CHAT, script: Iterable[Message] | None = None, **more: Any
) -> Exchange:
    scope = http_scope("POST", path, **more)
    return Exchange(app, scope, script=body_messages(body) if script is None else script)


async def ask(app: ASGIApp, *, stream: bool = False, size: int = 0) -> Answer:
    request = chat(stream=stream)
    request["messages"][0]["content"] = "a" * size
    return await exchange(app, json.dumps(request).encode()).run()


def router() -> LLMRouter:
    return LLMRouter({"scripted": ScriptedProvider()})


def refused(answer: Answer) -> bool:
    if answer.status != 503:
        return False
    assert answer.error["code"] == "overloaded"
    assert int(answer.header("retry-after") or 0) >= 1
    return True


async def test_while_the_loop_is_late_some_requests_are_refused_and_counted() -> None:
    refusals = Refusals()
    app = AdmissionMiddleware(router(), lag=overloaded(), refusals=refusals)
    answers = [await ask(app) for _ in range(100)]
    assert sum(answer.status == 200 for answer in answers) == 5
    assert sum(refused(answer) for answer in answers) == 95 == refusals.counts["loop_lag"]


async def test_a_refusal_reads_nothing_of_the_request() -> None:
    asked = exchange(AdmissionMiddleware(router(), lag=overloaded()), b"{}")
    assert refused(await asked.run())
    assert asked.received == 0


@pytest.mark.parametrize(("share", "whole", "stream"), [(0.84, 200, 200), (STREAMS_UNTIL, 200, 503), (0.95, 503, 503)])
async def test_memory_ends_streams_first_and_then_all(share: float, whole: int, stream: int) -> None:
    app = AdmissionMiddleware(router(), memory=Gate(share))
    assert (await ask(app)).status == whole
    assert (await ask(app, stream=True)).status == stream


async def test_a_stream_that_runs_goes_on_when_memory_is_used_up() -> None:
    gate, go_on = Gate(0.0), asyncio.Event()
    provider = ScriptedProvider([chunk("a")], go_on, [chunk(finish="stop")])
    app = AdmissionMiddleware(LLMRouter({"scripted": provider}), memory=gate)
    running = asyncio.create_task(ask(app, stream=True))
    async with asyncio.timeout(10):
        await provider.reached.wait()
    gate.told = 1.0
    assert refused(await ask(app))
    go_on.set()
    assert (await running).events[-1] == "[DONE]"


async def test_a_refusal_for_memory_closes_the_connection() -> None:
    assert (await ask(AdmissionMiddleware(router(), memory=Gate(1.0)))).header("connection") == "close"


async def test_bodies_hold_no_more_than_their_budget_and_the_rest_get_503() -> None:
    budget, refusals = BodyBudget(8 * MIB, most_of_key=8 * MIB), Refusals()
    go_on = asyncio.Event()
    app = AdmissionMiddleware(LLMRouter({"scripted": ScriptedProvider(go_on)}), bodies=budget, refusals=refusals)
    asking = [asyncio.create_task(ask(app, size=MIB)) for _ in range(50)]
    async with asyncio.timeout(30):
        while refusals.counts["bodies"] < 43:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    assert budget.held <= 8 * MIB
    go_on.set()
    answers = await asyncio.gather(*asking)
    assert sum(answer.status == 200 for answer in answers) == 7
    assert sum(refused(answer) for answer in answers) == 43
    assert budget.held == 0


async def test_one_key_takes_no_more_than_its_share_of_the_bodies() -> None:
    def whoever(scope: Scope) -> Principal:
        return Principal(scope["query_string"].decode())

    budget, refusals = BodyBudget(8 * MIB, most_of_key=2 * MIB), Refusals()
    guarded = APIKeyMiddleware(router(), identify=whoever)
    app = AdmissionMiddleware(guarded, bodies=budget, refusals=refusals)
    large = json.dumps(chat() | {"user": "a" * 3 * MIB}).encode()
    small = json.dumps(chat()).encode()
    assert refused(await exchange(app, large, query_string=b"greedy").run())
    assert (await exchange(app, small, query_string=b"greedy").run()).status == 200
    assert refusals.counts["bodies_of_key"] == 1
    assert budget.held == 0


async def test_a_body_that_says_it_is_small_is_not_counted() -> None:
    budget = BodyBudget(1, most_of_key=1)
    held: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        held.append(budget.held)

    full = AdmissionMiddleware(app, bodies=budget)
    for length in (b"2", b"65536", b"65537", b"x"):
        await exchange(full, b"{}", headers=[(b"content-length", length)]).run()
    assert held == [0, 0, 2, 2]


async def test_an_application_of_a_host_hears_of_a_refused_body_that_its_client_left() -> None:
    app = FastAPI()

    @app.post("/")
    async def size(request: Request) -> int:
        return len(await request.body())

    full = AdmissionMiddleware(app, bodies=BodyBudget(MIB, most_of_key=MIB))
    assert (await exchange(full, b"a" * MIB, path="/").run()).json == MIB
    assert refused(await exchange(full, b"a" * (MIB + 1), path="/").run())


async def test_what_an_application_reads_after_its_answer_has_begun_is_left_alone() -> None:
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": (await receive())["body"]})

    app = AdmissionMiddleware(echo, bodies=BodyBudget(1, most_of_key=1))
    assert len((await exchange(app, b"a" * MIB).run()).body) == MIB


async def test_a_websocket_is_refused_and_otherwise_let_through() -> None:
    sent: list[Message] = []
    reached: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope)

    async def receive() -> Message:
        raise AssertionError("Nobody reads this.")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "headers": []}
    await AdmissionMiddleware(app, memory=Gate(1.0))(scope, receive, send)
    assert (sent[0]["type"], reached) == ("websocket.close", [])
    await AdmissionMiddleware(app, memory=Gate(0.0))(scope, receive, send)
    assert len(reached) == 1


async def test_what_an_application_raises_is_raised_unless_its_client_was_refused() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise RuntimeError("a defect")

    full = AdmissionMiddleware(app, bodies=BodyBudget(MIB, most_of_key=MIB))
    with pytest.raises(RuntimeError):
        await exchange(full, b"a").run()
    assert refused(await exchange(full, b"a" * (MIB + 1)).run())

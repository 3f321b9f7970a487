"""Claude, which follows a plan; and a wire that keeps what passes over it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from xrouter_asgi.testing.anthropic import FakeAnthropic
from xrouter_asgi.testing.anthropic.answers import events, message
from xrouter_asgi.testing.anthropic.faults import ID, refuse, told
from xrouter_asgi.testing.anthropic.rules import check, sign
from xrouter_asgi.testing.http import FakeExchange, FakeServer, Handler
from xrouter_asgi.testing.openai import JSON, whole

from .model import SAYS, WORD, Model

THOUGHT = "I go by the plan."


class Claude(FakeAnthropic):
    """Takes one step of a model's plan after the other, and signs what it thinks. Away after the first result."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    def _message(self, request: dict[str, Any], *, beta: bool) -> Handler:
        check(request, beta=beta)
        results = _results_in(request)
        plan = self._model.plan
        if plan[0].name not in {tool["name"] for tool in request.get("tools", ())}:
            said: dict[str, Any] = {"type": "text", "text": "A title"}
        elif len(results) == 1:
            return refuse(500, "api_error", "Oh.", headers={"x-should-retry": "false"})
        elif len(results) == len(plan):
            said = {"type": "text", "text": SAYS}
        else:
            step = plan[len(results)]
            arguments = json.loads(json.dumps(step.arguments).replace("{word}", WORD))
            said = {"type": "tool_use", "id": f"toolu_{len(results)}", "name": step.name, "input": arguments}
        thought = {"type": "thinking", "thinking": THOUGHT, "signature": sign(THOUGHT)}
        stop = "tool_use" if said["type"] == "tool_use" else "end_turn"
        answer = {
            **message({**request, "messages": [{"content": ""}]}),
            "content": [thought, said],
            "stop_reason": stop,
        }
        return told(*events(answer)) if request.get("stream") else whole(answer, headers={**JSON, **ID})


def _results_in(request: dict[str, Any]) -> list[dict[str, Any]]:
    turns = [turn["content"] for turn in request["messages"] if isinstance(turn["content"], list)]
    return [block for blocks in turns for block in blocks if block["type"] == "tool_result"]


class Wire:
    """Stands between an agent and a gateway.

    Attributes:
        asked: The requests to the Messages API that passed.
    """

    def __init__(self, gateway: str, client: httpx.AsyncClient) -> None:
        self.asked: list[FakeExchange] = []
        self.url = ""
        self._gateway = gateway
        self._client = client

    async def pass_on(self, exchange: FakeExchange) -> None:
        if exchange.method == "POST" and exchange.path.startswith("/v1/messages?"):
            self.asked.append(exchange)
        own = ("host", "content-length", "connection", "accept-encoding", "transfer-encoding")
        answer = await self._client.request(
            exchange.method,
            self._gateway + exchange.path,
            content=exchange.body,
            headers={name: value for name, value in exchange.headers.items() if name not in own},
        )
        headers = {name: value for name, value in answer.headers.items() if name not in own}
        await exchange.answer(answer.status_code, answer.content, headers)


@asynccontextmanager
async def wire(gateway: str) -> AsyncIterator[Wire]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        between = Wire(gateway, client)
        async with FakeServer(between.pass_on) as server:
            between.url = server.url
            yield between

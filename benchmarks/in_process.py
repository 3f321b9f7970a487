"""What a call to the gateway costs without a socket, and with one: `python -m benchmarks.in_process`.

Microseconds of CPU for a chat, whole and streamed, that this program asks its own router: by `router.chat`, by a client
of `in_process`, and by the same client over a loopback hop to uvicorn on uvloop. Both ends of the hop are in this
process, so all that it costs is counted. The kinds take turns; the quickest round of each counts.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import uvloop

from tests.serving import uvicorn_here
from xrouter_asgi import EchoProvider, LLMRouter, in_process

ROUNDS = 20
REQUESTS = 50
TEXT = "word " * 100
BODY: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": TEXT}]}


def _chat(router: LLMRouter, stream: bool) -> Callable[[], Awaitable[None]]:
    async def whole() -> None:
        await router.chat(BODY["messages"], model="echo")

    async def streamed() -> None:
        async for _ in router.chat(BODY["messages"], model="echo"):
            pass

    return streamed if stream else whole


def _post(client: httpx.AsyncClient, stream: bool) -> Callable[[], Awaitable[None]]:
    async def post() -> None:
        async with client.stream("POST", "/v1/chat/completions", json={**BODY, "stream": stream}) as answer:
            async for _ in answer.aiter_raw():
                pass

    return post


async def _cpu(ask: Callable[[], Awaitable[None]]) -> float:
    """Microseconds for one call, the mean of many."""
    begin = time.process_time()
    for _ in range(REQUESTS):
        await ask()
    return (time.process_time() - begin) / REQUESTS * 1e6


async def main() -> None:
    router = LLMRouter({"echo": EchoProvider()})
    async with (
        router.lifespan(),
        uvicorn_here(router) as url,
        in_process(router) as near,
        httpx.AsyncClient(base_url=url, trust_env=False) as far,
    ):
        for stream in (False, True):
            kinds = {
                "router.chat": _chat(router, stream),
                "in_process": _post(near, stream),
                "loopback": _post(far, stream),
            }
            taken: dict[str, list[float]] = {name: [] for name in kinds}
            for _ in range(ROUNDS):
                for name, ask in kinds.items():
                    taken[name].append(await _cpu(ask))
            print("a stream of 100 words" if stream else "whole answer")
            hop = min(taken["loopback"])
            for name, each in taken.items():
                print(f"  {name:12}{min(each):8.0f} us  {min(each) / hop:6.2f} of the hop")


if __name__ == "__main__":
    uvloop.run(main())

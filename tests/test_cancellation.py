"""A request that ends before its time: cancelled at every step, or left by its client on a real socket."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from typing import Any

import litestar
import pytest
import uvloop
from litestar.handlers import asgi
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp

from tests.asgi_client import Exchange, body_messages, http_scope
from tests.serving import hypercorn_here, uvicorn_here
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.scripted import ScriptedProvider, Step, chat, chunk

# Cancelled at every step


class Interrupted:
    """Awaits a coroutine and calls `interrupt` at some of its suspensions, counted from 1."""

    def __init__(self, inner: Coroutine[Any, Any, Any], at: range, interrupt: Callable[[], object]) -> None:
        self.suspensions = 0
        self._inner = inner
        self._at = at
        self._interrupt = interrupt

    async def run(self) -> None:
        await self

    def __await__(self) -> Generator[Any, Any, None]:
        step = self._inner.send
        value: Any = None
        while True:
            try:
                waiting_for = step(value)
            except StopIteration:
                return
            self.suspensions += 1
            if self.suspensions in self._at:
                self._interrupt()
            try:
                step, value = self._inner.send, (yield waiting_for)
            except BaseException as error:  # passed on into the coroutine
                step, value = self._inner.throw, error


def exchange(provider: ScriptedProvider, *, stream: bool) -> Exchange:
    body = json.dumps(chat(stream=stream)).encode()
    scope = http_scope("POST", "/v1/chat/completions")
    return Exchange(LLMRouter({"scripted": provider}), scope, script=body_messages(body))


def cancel_now() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


def cancel_one_tick_later() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)


async def nothing_is_left(provider: ScriptedProvider) -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    assert provider.opened == provider.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("cancel", [cancel_now, cancel_one_tick_later])
@pytest.mark.parametrize("times", [1, 2, 1000])
async def test_a_request_cancelled_at_any_step_leaves_nothing_open(
    stream: bool, cancel: Callable[[], None], times: int
) -> None:
    """Once, twice in a row, or again and again as the cancel scopes of anyio do."""
    for n in itertools.count(1):
        provider = ScriptedProvider()
        interrupted = Interrupted(exchange(provider, stream=stream).run(), range(n, n + times), cancel)
        task = asyncio.create_task(interrupted.run())
        await asyncio.wait([task])
        await nothing_is_left(provider)
        if interrupted.suspensions < n:
            break
        assert task.cancelled()
    assert n > (4 if stream else 2)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_at_any_step_leaves_nothing_open_and_raises_nothing(stream: bool) -> None:
    for n in itertools.count(1):
        provider = ScriptedProvider()
        running = exchange(provider, stream=stream)
        interrupted = Interrupted(running.run(), range(n, n + 1), running.leave)
        await asyncio.create_task(interrupted.run())
        await nothing_is_left(provider)
        if interrupted.suspensions < n:
            break
        assert not running.answer.finished
    assert n > (4 if stream else 2)


# Left by the client


class Untouched(BaseHTTPMiddleware):
    """What people put in front: it runs the app in another task and owns `receive` and `send`."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


def inside_starlette(router: ASGIApp) -> ASGIApp:
    middleware = [Middleware(GZipMiddleware, minimum_size=1), Middleware(Untouched)]
    return Starlette(routes=[Mount("/", router)], middleware=middleware)


def inside_litestar(router: LLMRouter) -> ASGIApp:
    return litestar.Litestar([asgi("/", is_mount=True, copy_scope=True)(router.__call__)])  # type: ignore[return-value]  # Litestar names the same types its own way


Serve = Callable[[LLMRouter], AbstractAsyncContextManager[str]]
HOSTS: dict[str, Serve] = {
    "uvicorn with httptools": lambda router: uvicorn_here(router, http="httptools"),
    "uvicorn with h11": lambda router: uvicorn_here(router, http="h11"),
    "hypercorn": hypercorn_here,
    "Starlette behind BaseHTTPMiddleware and GZip": lambda router: uvicorn_here(inside_starlette(router)),
    "Litestar": lambda router: uvicorn_here(inside_litestar(router)),
}
MOMENTS: dict[str, tuple[bool, list[Step | None]]] = {
    "a plain answer": (False, [None]),
    "a stream before its first chunk": (True, [None]),
    "a stream after its first chunk": (True, [[chunk("first")], None]),
}
"""Whether it streams, and its script; None stands for a wait without end."""


async def leave(serve: Serve, *, stream: bool, script: list[Step | None]) -> None:
    """Ask, wait until the upstream is busy (and the first chunk here), leave; return when the upstream is closed."""
    provider = ScriptedProvider(*(step or asyncio.Event() for step in script))
    body = json.dumps(chat(stream=stream)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    async with serve(LLMRouter({"scripted": provider})) as url, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(head.encode() + body)
        await provider.reached.wait()
        if len(script) > 1:
            await reader.readuntil(b"first")
        assert provider.closed == 0
        writer.close()
        await writer.wait_closed()
        await provider.settled.wait()
    assert provider.opened == provider.closed == 1


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_client_that_leaves_ends_the_upstream_s_work(host: str, moment: str) -> None:
    stream, script = MOMENTS[moment]
    await leave(HOSTS[host], stream=stream, script=script)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_client_that_leaves_ends_the_upstream_s_work_on_uvloop_too(moment: str) -> None:
    stream, script = MOMENTS[moment]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(leave(uvicorn_here, stream=stream, script=script))

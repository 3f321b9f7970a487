"""A caller may leave at any moment: nothing stays open, no slot is lost, and the next request works."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.providers.http.scripted_server import (
    BOTH,
    LOOPS,
    Make,
    Peer,
    Run,
    answering,
    busy,
    own,
    serving,
    until_quiet,
)
from xrouter_asgi.providers.http import TLS, AnswerStream, OwnedTransport, Timeouts, Upstream
from xrouter_asgi.providers.http.transport import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Cut:
    """Drives a coroutine and cancels its task at the n-th suspension.

    Args:
        at_once: Cancel while it waits; otherwise in the tick in which what it waits for happens.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, object], nth: int, *, at_once: bool) -> None:
        self._coroutine = coroutine
        self._nth = nth
        self._at_once = at_once
        self.reached = False

    def __await__(self) -> Generator[Any, Any, object]:
        task = asyncio.current_task()
        assert task is not None
        inner = self._coroutine.__await__()
        suspensions = 0
        thrown: BaseException | None = None
        while True:
            try:
                waited = next(inner) if thrown is None else inner.throw(thrown)
            except StopIteration as end:
                return end.value
            suspensions += 1
            if suspensions == self._nth:
                self.reached = True
                self._cancel_when(waited, task)
            try:
                yield waited
                thrown = None
            except BaseException as exc:
                thrown = exc

    def _cancel_when(self, waited: asyncio.Future[Any] | None, task: asyncio.Task[Any]) -> None:
        if self._at_once or waited is None:
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            # Before the task's own callback: the result is there, and the task has not seen it.
            waited.add_done_callback(lambda _: task.cancel())


async def fetch(upstream: Upstream) -> None:
    assert (await upstream.fetch("POST", "/", content=b"{}")).body == b"onetwothree"


async def stream(upstream: Upstream) -> None:
    answer = await upstream.open("POST", "/", content=b"{}")
    try:
        assert b"".join([chunk async for chunk in answer]) == b"onetwothree"
    finally:
        await answer.aclose()


async def opened_only(upstream: Upstream) -> None:
    answer = await upstream.open("POST", "/", content=b"{}")
    await answer.aclose()


async def in_pieces(peer: Peer) -> None:
    """Each piece is a packet of its own, so that there is something to wait for."""
    while True:
        await peer.request()
        for piece in (CHUNKED, b"3\r\none\r\n", b"3\r\ntwo\r\n", b"5\r\nthree\r\n", b"0\r\n\r\n"):
            await peer.send(piece)
            await asyncio.sleep(0)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


async def until_alone() -> None:
    """Let the tasks of this tick end; one that was left behind would not."""
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 -- the end of a task nobody holds sets no event
            await asyncio.sleep(0)


PATIENCE = Timeouts(connect=5, first=5, idle=5, write=5, pool=2)


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("act", [fetch, stream, opened_only])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("at_once", [True, False], ids=["waiting", "same-tick"])
async def test_cancelled_at_any_suspension_nothing_is_left(
    make: Make,
    act: Callable[[Upstream], Coroutine[Any, Any, None]],
    tls: bool,
    warm: bool,
    at_once: bool,
    authority: trustme.CA,
) -> None:
    context = server_tls(authority) if tls else None
    trust = TLS(authority.cert_pem.bytes().decode()).context() if tls else None
    async with serving(in_pieces, tls=context) as server:
        nth = 0
        reached = True
        while reached:
            nth += 1
            assert nth < 100
            transport = make(trust, max_connections=1)
            upstream = Upstream(server.url, timeouts=PATIENCE, transport=transport)
            if warm:
                await fetch(upstream)
            cut = Cut(act(upstream), nth, at_once=at_once)
            await asyncio.gather(asyncio.ensure_future(cut), return_exceptions=True)
            reached = cut.reached
            await until_quiet(transport)
            assert busy(transport) == 0
            await fetch(upstream)
            await upstream.aclose()
            await server.until_open(0)
            await until_alone()
        # The last round was not cancelled: every suspension has had its turn.
        assert nth >= 2


@pytest.mark.parametrize("at_once", [True, False], ids=["waiting", "same-tick"])
async def test_cancelled_in_line_a_request_passes_its_turn_on(at_once: bool) -> None:
    async with serving(in_pieces) as server:
        nth = 0
        reached = True
        while reached:
            nth += 1
            transport = own(max_connections=1)
            upstream = Upstream(server.url, timeouts=PATIENCE, transport=transport)
            first = asyncio.create_task(fetch(upstream))
            await asyncio.sleep(0)
            cut = Cut(fetch(upstream), nth, at_once=at_once)
            second = asyncio.ensure_future(cut)
            await asyncio.sleep(0)
            third = asyncio.create_task(fetch(upstream))
            await asyncio.gather(second, return_exceptions=True)
            await asyncio.gather(first, third)
            reached = cut.reached
            assert transport.open_connections == transport.idle_connections == 1
            await upstream.aclose()
            await server.until_open(0)
        assert nth >= 2


async def test_cancelled_in_line_for_a_slot_alone_passes_it_on() -> None:
    closing = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\nonetwothree"
    async with serving(answering(closing)) as server:
        transport = own(max_connections=1)
        upstream = Upstream(server.url, timeouts=PATIENCE, transport=transport)
        first = asyncio.create_task(fetch(upstream))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(Cut(fetch(upstream), 1, at_once=False))
        await asyncio.sleep(0)
        third = asyncio.create_task(fetch(upstream))
        await asyncio.gather(second, return_exceptions=True)
        assert second.cancelled()
        await asyncio.gather(first, third)
        assert transport.open_connections == 0
        await upstream.aclose()


@pytest.mark.parametrize("make", BOTH)
async def test_cancelled_while_closing_a_stream_is_closed_all_the_same(make: Make) -> None:
    async with serving(in_pieces) as server:
        transport = make(max_connections=1)
        upstream = Upstream(server.url, timeouts=PATIENCE, transport=transport)
        answer = await upstream.open("POST", "/")
        closing = asyncio.create_task(answer.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await until_quiet(transport)
        assert busy(transport) == 0
        await fetch(upstream)
        await upstream.aclose()


async def churn(make: Make) -> None:
    chance = random.Random(7)
    async with serving(in_pieces) as server:
        transport = make(max_connections=10)
        upstream = Upstream(server.url, timeouts=PATIENCE, transport=transport)
        loop = asyncio.get_running_loop()
        for _ in range(15):
            tasks = [asyncio.create_task(chance.choice([fetch, stream])(upstream)) for _ in range(40)]
            for task in tasks:
                if chance.random() < 0.7:
                    loop.call_later(chance.random() * 0.02, task.cancel)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
        await until_quiet(transport)
        assert busy(transport) == 0
        await asyncio.gather(*(fetch(upstream) for _ in range(40)))
        await until_quiet(transport)
        assert busy(transport) == 0
        if isinstance(transport, HTTPTransport):
            await server.until_open(transport.idle_connections)
        await upstream.aclose()
        await server.until_open(0)
        await until_alone()


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("run", LOOPS)
def test_600_requests_of_which_most_are_cancelled_leave_a_pool_of_10_whole(make: Make, run: Run) -> None:
    run(churn(make))


async def test_an_owner_outlives_its_caller_only_until_the_next_piece() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await peer.server.go_on.wait()
        await peer.send(b"3\r\ntwo\r\n")
        await peer.gone()

    async with serving(script) as server:
        transport = BOTH[1]()
        assert isinstance(transport, OwnedTransport)
        upstream = Upstream(server.url, transport=transport)
        answer = await upstream.open("GET", "/")
        assert await anext(answer) == b"one"
        reading: asyncio.Task[bytes] = asyncio.create_task(_next(answer))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert transport.running == 1
        server.go_on.set()
        await server.until_open(0)
        await until_quiet(transport)
        await upstream.aclose()


async def _next(answer: AnswerStream) -> bytes:
    return await anext(answer)

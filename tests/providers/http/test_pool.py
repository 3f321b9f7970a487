"""Which connection a request gets, and when it must wait."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.providers.http.scripted_server import OK, Peer, Script, answering, own, serving, silent
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.providers.http import Timeouts, Upstream
from xrouter_asgi.providers.http.connection import Connection
from xrouter_asgi.providers.http.pool import Origin, Pool
from xrouter_asgi.providers.http.transport import HTTPTransport


async def answer_once_told(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.server.go_on.wait()
        await peer.send(OK)


async def one_answer_then_reset(peer: Peer) -> None:
    await peer.request()
    await peer.send(OK)
    await peer.request()
    peer.reset()


async def one_answer_then_close(peer: Peer) -> None:
    await peer.request()
    await peer.send(OK)
    await peer.request()


async def only_reset(peer: Peer) -> None:
    await peer.request()
    peer.reset()


@pytest.mark.parametrize("script", [one_answer_then_reset, one_answer_then_close])
async def test_a_reset_idle_connection_is_retried_once(script: Script) -> None:
    async with serving(script, answering(OK)) as server:
        upstream = Upstream(server.url, transport=own())
        for _ in range(2):
            assert (await upstream.fetch("POST", "/", content=b"{}")).body == b"hi"
        await upstream.aclose()
    assert len(server.requests) == 3
    assert server.connections == 2


async def test_the_repeat_itself_is_not_repeated() -> None:
    async with serving(one_answer_then_reset, only_reset) as server:
        transport = own()
        upstream = Upstream(server.url, transport=transport)
        await upstream.fetch("GET", "/")
        with pytest.raises(UpstreamUnavailable) as caught:
            await upstream.fetch("GET", "/")
        assert caught.value.code == "connection_lost"
        assert transport.open_connections == 0
        await upstream.aclose()
    assert len(server.requests) == 3


async def test_a_reset_fresh_connection_is_not_retried() -> None:
    async with serving(only_reset) as server:
        upstream = Upstream(server.url, transport=own())
        with pytest.raises(UpstreamUnavailable):
            await upstream.fetch("GET", "/")
        await upstream.aclose()
    assert len(server.requests) == 1


async def test_a_reused_connection_that_broke_inside_an_answer_is_not_retried() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await peer.send(b"HTTP/1.1 20")

    async with serving(script) as server:
        upstream = Upstream(server.url, transport=own())
        await upstream.fetch("GET", "/")
        with pytest.raises(UpstreamUnavailable):
            await upstream.fetch("GET", "/")
        await upstream.aclose()
    assert len(server.requests) == 2


async def test_a_silent_reused_connection_is_not_retried() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await silent(peer)

    async with serving(script) as server:
        transport = own()
        await Upstream(server.url, transport=transport).fetch("GET", "/")
        with pytest.raises(Exception, match="in time"):
            await Upstream(server.url, timeouts=Timeouts(first=0.05), transport=transport).fetch("GET", "/")
        await transport.aclose()
    assert len(server.requests) == 2


async def test_a_failed_repeat_frees_the_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*args: object, **options: object) -> None:
        raise ConnectionRefusedError(111, "refused")

    async with serving(one_answer_then_close) as server:
        transport = own(max_connections=1)
        upstream = Upstream(server.url, transport=transport)
        await upstream.fetch("GET", "/")
        with monkeypatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "create_connection", refused)
            with pytest.raises(UpstreamUnavailable) as caught:
                await upstream.fetch("GET", "/")
        assert caught.value.code == "connect_refused"
        assert transport.open_connections == 0
        await upstream.fetch("GET", "/")
        await upstream.aclose()


async def test_requests_are_served_in_the_order_in_which_they_waited() -> None:
    async with serving(answer_once_told) as server:
        transport = own(max_connections=1)
        upstream = Upstream(server.url, transport=transport)
        tasks = []
        for number in range(5):
            tasks.append(asyncio.create_task(upstream.fetch("GET", f"/{number}")))
            await asyncio.sleep(0)
        server.go_on.set()
        await asyncio.gather(*tasks)
        await upstream.aclose()
    assert [request.split()[1] for request in server.requests] == [b"/0", b"/1", b"/2", b"/3", b"/4"]
    assert server.connections == 1


async def test_a_slot_freed_by_a_closed_connection_goes_to_the_first_in_line() -> None:
    closing = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"
    async with serving(answering(closing)) as server:
        transport = own(max_connections=1)
        upstream = Upstream(server.url, transport=transport)
        answers = await asyncio.gather(*(upstream.fetch("GET", "/") for _ in range(5)))
        assert [answer.body for answer in answers] == [b"hi"] * 5
        assert transport.open_connections == 0
        await upstream.aclose()
    assert server.connections == 5


async def test_the_most_recently_used_connection_is_taken_first() -> None:
    """Of two at rest always the same one, so that the other grows old."""

    def named(name: bytes) -> Script:
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n" + name

        async def script(peer: Peer) -> None:
            while True:
                await peer.request()
                await peer.server.go_on.wait()
                await peer.send(answer)

        return script

    async with serving(named(b"1"), named(b"2")) as server:
        upstream = Upstream(server.url, transport=own())
        both = [asyncio.create_task(upstream.fetch("GET", "/")) for _ in range(2)]
        await server.until_open(2)
        server.go_on.set()
        assert {answer.body for answer in await asyncio.gather(*both)} == {b"1", b"2"}
        assert len({(await upstream.fetch("GET", "/")).body for _ in range(4)}) == 1
        await upstream.aclose()


async def test_a_connection_is_closed_when_it_has_rested_too_long() -> None:
    async with serving(answering(OK)) as server:
        transport = HTTPTransport(keepalive=0.05)
        upstream = Upstream(server.url, transport=transport)
        await upstream.fetch("GET", "/")
        assert transport.idle_connections == 1
        await server.until_open(0)
        assert transport.open_connections == 0
        await upstream.aclose()


async def test_a_rest_that_is_over_counts_even_before_its_timer_fired() -> None:
    async with serving(answering(OK)) as server:
        transport = HTTPTransport(keepalive=1e-9)
        upstream = Upstream(server.url, transport=transport)
        for _ in range(3):
            await upstream.fetch("GET", "/")
        await upstream.aclose()
    assert server.connections == 3


async def test_a_connection_that_ends_on_its_way_to_a_waiter_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = Pool._keep

    def keep_and_lose(pool: Pool, connection: Connection) -> None:
        keep(pool, connection)
        monkeypatch.undo()
        connection.connection_lost(None)

    async with serving(answer_once_told, answering(OK)) as server:
        transport = own(max_connections=1)
        upstream = Upstream(server.url, transport=transport)
        first = asyncio.create_task(upstream.fetch("GET", "/"))
        await server.until_open(1)
        second = asyncio.create_task(upstream.fetch("GET", "/"))
        await asyncio.sleep(0)
        monkeypatch.setattr(Pool, "_keep", keep_and_lose)
        server.go_on.set()
        assert (await first).body == b"hi"
        assert (await second).body == b"hi"
        assert transport.open_connections == transport.idle_connections == 1
        await upstream.aclose()
    assert server.connections == 2


async def test_who_leaves_the_line_is_not_remembered() -> None:
    async with serving(silent) as server:
        transport = own(max_connections=1)
        upstream = Upstream(server.url, transport=transport)
        tasks = [asyncio.create_task(upstream.fetch("GET", "/")) for _ in range(100)]
        await server.until_open(1)
        (pool,) = transport._pools.values()
        assert len(pool._waiters) == 99
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks[1:], return_exceptions=True)
        assert len(pool._waiters) == 0
        tasks[0].cancel()
        await asyncio.gather(tasks[0], return_exceptions=True)
        await upstream.aclose()


async def test_each_origin_has_its_own_connections() -> None:
    async with serving(answering(OK)) as one, serving(answering(OK)) as other:
        transport = HTTPTransport(max_connections=1)
        async with httpx.AsyncClient(transport=transport) as client:
            for server in (one, other, one, other):
                assert (await client.get(server.url)).text == "hi"
            assert transport.idle_connections == 2
        assert (one.connections, other.connections) == (1, 1)


async def test_a_closed_transport_ends_what_runs_waits_and_connects() -> None:
    async with serving(silent) as server:
        transport = own(max_connections=1)
        upstream = Upstream(server.url, transport=transport)
        running = asyncio.create_task(upstream.fetch("GET", "/"))
        await server.until_open(1)
        waiting = asyncio.create_task(upstream.fetch("GET", "/"))
        connecting = asyncio.create_task(upstream.fetch("GET", "/"))
        await asyncio.sleep(0)
        await upstream.aclose()
        results = await asyncio.gather(running, waiting, connecting, return_exceptions=True)
        assert [getattr(result, "code", None) for result in results] == [
            "connection_lost",
            "connect_refused",
            "connect_refused",
        ]
        assert transport.open_connections == 0


def test_a_closed_transport_opens_anew_in_another_event_loop() -> None:
    """As in a test suite that starts its app again and again."""

    async def start_and_stop() -> None:
        async with serving(answering(OK)) as server:
            upstream = Upstream(server.url, transport=transport)
            assert (await upstream.fetch("GET", "/")).status == 200
            await upstream.aclose()
            assert transport.open_connections == 0

    transport = own()
    for _ in range(2):
        asyncio.run(start_and_stop())


async def test_a_connection_made_while_the_transport_closes_is_closed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.create_connection
    made, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(*args: Any, **options: Any) -> Any:
        result = await connect(*args, **options)
        made.set()
        await go_on.wait()
        return result

    monkeypatch.setattr(loop, "create_connection", slowly)
    async with serving(silent) as server:
        transport = own()
        upstream = Upstream(server.url, transport=transport)
        connecting = asyncio.create_task(upstream.fetch("GET", "/"))
        await made.wait()
        await upstream.aclose()
        go_on.set()
        with pytest.raises(UpstreamUnavailable):
            await connecting
        assert transport.open_connections == 0
        await server.until_open(0)
    assert server.requests == []


async def test_a_waiter_who_leaves_as_a_dead_connection_is_handed_over_frees_the_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep = Pool._keep

    def keep_lose_and_leave(pool: Pool, connection: Connection) -> None:
        keep(pool, connection)
        monkeypatch.undo()
        connection.connection_lost(None)
        second.cancel()

    async with serving(answer_once_told) as server:
        transport = own(max_connections=1)
        upstream = Upstream(server.url, transport=transport)
        first = asyncio.create_task(upstream.fetch("GET", "/"))
        await server.until_open(1)
        second = asyncio.create_task(upstream.fetch("GET", "/"))
        await asyncio.sleep(0)
        monkeypatch.setattr(Pool, "_keep", keep_lose_and_leave)
        server.go_on.set()
        await first
        await asyncio.gather(second, return_exceptions=True)
        assert second.cancelled()
        assert transport.open_connections == 0
        await upstream.aclose()


async def test_a_closed_pool_does_not_even_connect() -> None:
    async with serving(silent) as server:
        pool = Pool(Origin("127.0.0.1", server.port, None), max_connections=1, keepalive=1)
        pool.close()
        with pytest.raises(httpx.ConnectError, match="closed"):
            await pool.acquire(wait=1, connect=1)
        assert pool.slots == 0
    assert server.connections == 0


async def test_a_waiter_who_was_served_in_the_last_moment_is_not_sent_away() -> None:
    """Loops differ in whether timers or callbacks come first in a tick."""
    pool = Pool(Origin("127.0.0.1", 1, None), max_connections=1, keepalive=1)
    served: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
    served.set_result(None)
    pool._send_away(served)
    assert served.result() is None


def test_a_transport_belongs_to_one_event_loop() -> None:
    transport = own()

    async def one_request() -> None:
        async with serving(answering(OK.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))) as server:
            await transport.handle_async_request(httpx.Request("GET", server.url))
            await server.until_open(0)  # no socket is left, and the transport is not closed

    asyncio.run(one_request())
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(one_request())


async def test_a_scheme_that_is_not_http_is_refused() -> None:
    with pytest.raises(httpx.UnsupportedProtocol, match="ftp"):
        await own().handle_async_request(httpx.Request("GET", "ftp://127.0.0.1/"))


async def test_no_timeouts_means_no_bounds() -> None:
    async with serving(answering(OK)) as server, httpx.AsyncClient(transport=own(max_connections=1), timeout=None) as c:  # noqa: S113 -- the point
        answers = await asyncio.gather(*(c.get(server.url) for _ in range(3)))
        assert [answer.text for answer in answers] == ["hi"] * 3


async def test_a_repr_shows_counts_only() -> None:
    async with serving(answering(OK)) as server:
        transport = own()
        upstream = Upstream(server.url, headers={"Authorization": "Bearer secret"}, transport=transport)
        await upstream.fetch("GET", "/")
        assert repr(transport) == "HTTPTransport(open_connections=1, idle_connections=1)"
        assert repr(upstream) == f"Upstream('{server.url}')"
        await upstream.aclose()

"""Clients that do not send, or do not read: each bound, made short, and who must not be cut by it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from starlette.types import Receive, Scope, Send

from tests.edge import App, Client, connected, idle, on_both_loops, post, served
from xrouter_asgi.context import RequestContext
from xrouter_asgi.server.bounds import ClientBounds

SHORT = 0.3
LONG = 60.0
PATIENT = ClientBounds(first=LONG, head=LONG, body=LONG, idle=LONG, write=LONG, linger=LONG)


async def trickle(client: Client, data: bytes) -> None:
    """Send byte by byte, 50 in a second."""
    for byte in data:
        client.send(bytes([byte]))
        await client.writer.drain()
        await asyncio.sleep(0.02)


@on_both_loops
async def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    """A browser that connects ahead of time would show what is said as the answer to its first request."""
    async with served(App(), replace(PATIENT, first=SHORT)) as port, connected(port) as client:
        assert await client.rest() == b""


@on_both_loops
async def test_a_connection_may_rest_for_its_time_after_an_answer_however_long_that_took() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await idle(receive, send)
            return
        await asyncio.sleep(SHORT)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with served(app, replace(PATIENT, idle=SHORT)) as port, connected(port) as client:
        for _ in range(2):
            client.send(post("content-length: 0"))
            assert (await client.answer()).status == 204
        answered = time.monotonic()
        assert await client.rest() == b""
        assert time.monotonic() - answered > SHORT - 0.01


@on_both_loops
async def test_empty_lines_before_a_request_keep_no_connection_open() -> None:
    async with served(App(), replace(PATIENT, first=SHORT)) as port, connected(port) as client:
        lines = asyncio.create_task(trickle(client, b"\r\n" * 200))
        assert await client.rest() == b""
        lines.cancel()


@on_both_loops
async def test_a_head_that_takes_too_long_is_a_408() -> None:
    app = App()
    async with served(app, replace(PATIENT, head=SHORT)) as port, connected(port) as client:
        head = asyncio.create_task(trickle(client, post("x-a: 1") * 10))
        answer = await client.last_answer()
        head.cancel()
    assert answer.status == 408
    assert answer.error["code"] == "request_timeout"
    assert app.scopes == []


@pytest.mark.parametrize("body", [b"", b" " * 200], ids=["nothing", "byte by byte"])
@on_both_loops
async def test_a_body_that_takes_too_long_is_a_408_and_the_application_hears_that_nobody_is_there(body: bytes) -> None:
    app = App()
    async with served(app, replace(PATIENT, body=SHORT)) as port, connected(port) as client:
        client.send(post("content-length: 5000"))
        sending = asyncio.create_task(trickle(client, body))
        answer = await client.last_answer()
        sending.cancel()
        await app.left.wait()
    assert answer.status == 408
    assert answer.error["code"] == "request_timeout"
    assert answer.headers["x-request-id"] == RequestContext.of(app.scopes[0]).request_id
    assert app.bodies == []


@on_both_loops
async def test_a_body_that_comes_fast_enough_may_take_longer() -> None:
    app = App()
    bounds = replace(PATIENT, body=SHORT, body_rate=100)
    async with served(app, bounds) as port, connected(port) as client:
        client.send(post("content-length: 200"))
        begun = time.monotonic()
        for _ in range(20):
            client.send(b"a" * 10)
            await asyncio.sleep(SHORT / 10)
        assert (await client.answer()).status == 200
        assert time.monotonic() - begun > SHORT  # or this would prove nothing
    assert app.bodies == [b"a" * 200]


@on_both_loops
async def test_chunks_without_content_do_not_prolong_a_body() -> None:
    async with served(App(), replace(PATIENT, body=SHORT, body_rate=1)) as port, connected(port) as client:
        client.send(post("transfer-encoding: chunked", body=b"1;"))
        sending = asyncio.create_task(trickle(client, b"x" * 500))
        assert (await client.last_answer()).status == 408
        sending.cancel()


@on_both_loops
async def test_a_body_that_goes_on_after_its_answer_does_not_go_on_for_ever() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await idle(receive, send)
            return
        await send({"type": "http.response.start", "status": 405, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with served(app, replace(PATIENT, body=SHORT)) as port, connected(port) as client:
        client.send(post("content-length: 5000"))
        sending = asyncio.create_task(trickle(client, b" " * 200))
        assert (await client.answer()).status == 405
        assert await client.rest() == b""
        sending.cancel()


@on_both_loops
async def test_no_bound_counts_while_an_answer_is_awaited_or_between_two_requests() -> None:
    bounds = replace(PATIENT, first=SHORT, head=SHORT, body=SHORT)
    async with served(App(wait=2 * SHORT), bounds) as port, connected(port) as client:
        for _ in range(2):
            client.send(post("content-length: 2", body=b"{}"))
            assert (await client.answer()).status == 200
            await asyncio.sleep(2 * SHORT)


@on_both_loops
async def test_the_beginning_of_a_next_request_waits_for_the_answer_to_the_one_before() -> None:
    async with served(App(wait=3 * SHORT), replace(PATIENT, head=SHORT)) as port, connected(port) as client:
        request = post("content-length: 2", body=b"{}")
        client.send(request + request[:10])
        assert (await client.answer()).status == 200
        client.send(request[10:])
        assert (await client.answer()).status == 200


@on_both_loops
async def test_each_part_of_a_request_has_a_time_of_its_own() -> None:
    bounds = replace(PATIENT, head=3 * SHORT, body=3 * SHORT, linger=SHORT)  # the last, so that it looks more often
    async with served(App(), bounds) as port, connected(port) as client:
        request = post("content-length: 2", body=b"{}")
        for part in (request, request[:10], request[10:-2], request[-2:]):
            client.send(part)
            if part.endswith(b"{}"):
                assert (await client.answer()).status == 200
            await asyncio.sleep(2 * SHORT)


@on_both_loops
async def test_a_refused_client_that_goes_on_sending_is_closed_on_in_the_end() -> None:
    async with served(App(), replace(PATIENT, linger=SHORT)) as port, connected(port) as client:
        client.send(b"FOO / HTTP/1.1\r\n\r\n")
        assert (await client.last_answer()).status == 400
        with pytest.raises(ConnectionError):
            await trickle(client, b"a" * 500)


class Flood:
    """Answers without end.

    Attributes:
        left: It was told that the client left.
    """

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await idle(receive, send)
            return
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        flood = asyncio.create_task(self._flood(send))
        while (await receive())["type"] != "http.disconnect":
            pass
        flood.cancel()
        self.left.set()

    async def _flood(self, send: Send) -> None:
        while True:
            await send({"type": "http.response.body", "body": b"a" * 50000, "more_body": True})
            self.sent += 50000
            await asyncio.sleep(0)


GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@on_both_loops
async def test_a_client_that_does_not_read_is_cut_and_the_application_hears_of_it() -> None:
    app = Flood()
    async with served(app, replace(PATIENT, write=SHORT)) as port, connected(port, buffer=4096) as client:
        client.send(GET)
        await app.left.wait()
    assert app.sent < 24 << 20


@on_both_loops
async def test_a_client_that_reads_slowly_is_not_cut() -> None:
    """The kernel holds megabytes for it, so that for seconds nothing moves but in there."""
    app = Flood()
    async with served(app, replace(PATIENT, write=SHORT)) as port, connected(port, buffer=4096) as client:
        client.send(GET)
        for _ in range(40):
            await client.reader.readexactly(4000)
            await asyncio.sleep(SHORT / 10)
        assert not app.left.is_set()


@on_both_loops
async def test_an_answer_that_is_written_and_never_read_keeps_no_connection_open() -> None:
    app = App(answer=b"a" * (16 << 20))
    async with served(app, replace(PATIENT, write=SHORT)) as port, connected(port, buffer=4096) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await client.reader.readline()
        await asyncio.sleep(4 * SHORT)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.reader.readexactly(16 << 20)

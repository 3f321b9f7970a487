"""Clients that do not send, or do not read: the time that each has, and which of them must not be cut off."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from tests.edge import App, post
from tests.server.wire import Peer, wired
from xrouter_asgi.context import RequestContext
from xrouter_asgi.server.bounds import ClientBounds
from xrouter_asgi.testing.virtual import virtual

BOUNDS = ClientBounds()
LOOK = BOUNDS.shortest  # seconds between two looks at what a client has taken
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
TWO = post("content-length: 2", body=b"{}")


def about(seconds: float) -> object:
    return pytest.approx(seconds, abs=0.01)


@virtual
async def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    """A browser that connects ahead of time would show what is said as the answer to its first request."""
    async with wired(App()) as client:
        assert await client.rest() == b""
        assert client.elapsed == about(BOUNDS.first)


@pytest.mark.parametrize("wait", [0, 1003])
@virtual
async def test_a_connection_may_rest_for_its_time_after_an_answer_however_long_that_took(wait: float) -> None:
    async with wired(App(wait=wait)) as client:
        for _ in range(2):
            client.send(TWO)
            assert (await client.answer()).status == 200
        answered = client.elapsed
        assert await client.rest() == b""
        assert client.elapsed - answered == about(BOUNDS.idle)


@virtual
async def test_empty_lines_before_a_request_keep_no_connection_open() -> None:
    async with wired(App()) as client:
        lines = asyncio.create_task(client.trickle(b"\r\n" * 20, every=1))
        assert await client.rest() == b""
        assert client.elapsed == about(BOUNDS.first)
        await lines


@virtual
async def test_a_head_that_takes_too_long_is_a_408() -> None:
    app = App()
    async with wired(app, ClientBounds(linger=20)) as client:
        head = asyncio.create_task(client.trickle(post("x-a: 1"), every=1))
        answer = await client.last_answer()
        assert client.elapsed == about(1 + BOUNDS.head)
        await client.wire.lost.wait()
        assert client.elapsed == about(1 + BOUNDS.head + 20)
        await head
    assert answer.status == 408
    assert answer.error["code"] == "request_timeout"
    assert app.scopes == []


@pytest.mark.parametrize("body", [b"", b" " * 100], ids=["nothing", "byte by byte"])
@virtual
async def test_a_body_that_takes_too_long_is_a_408_and_the_application_hears_that_nobody_is_there(body: bytes) -> None:
    app = App()
    async with wired(app) as client:
        client.send(post("content-length: 5000"))
        sending = asyncio.create_task(client.trickle(body, every=1))
        answer = await client.last_answer()
        await app.left.wait()
        assert client.elapsed == about(BOUNDS.body)
        await sending
    assert answer.status == 408
    assert answer.error["code"] == "request_timeout"
    assert answer.headers["x-request-id"] == RequestContext.of(app.scopes[0]).request_id
    assert app.bodies == []


@virtual
async def test_nobody_is_told_to_continue_after_a_408() -> None:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(BOUNDS.body + 1)
        heard.append((await receive())["type"])

    async with wired(app) as client:
        client.send(post("content-length: 5000", "expect: 100-continue"))
        assert (await client.last_answer()).status == 408
        await client.wire.lost.wait()
    assert heard == ["http.disconnect"]


async def upload(client: Peer, *, rate: int, seconds: int) -> None:
    client.send(post(f"content-length: {rate * seconds}"))
    for _ in range(seconds):
        await asyncio.sleep(1)
        client.send(b"a" * rate)


@virtual
async def test_a_body_that_comes_fast_enough_may_take_longer() -> None:
    app = App()
    async with wired(app, ClientBounds(body_rate=10)) as client:
        await upload(client, rate=10, seconds=1000)
        assert (await client.answer()).status == 200
    assert app.bodies == [b"a" * 10_000]


@virtual
async def test_a_body_that_comes_at_half_the_speed_is_cut_off_after_twice_the_time() -> None:
    async with wired(App(), ClientBounds(body_rate=10)) as client:
        sending = asyncio.create_task(upload(client, rate=5, seconds=100))
        assert (await client.last_answer()).status == 408
        assert 2 * BOUNDS.body - 1 <= client.elapsed <= 2 * BOUNDS.body
        await sending


@virtual
async def test_chunks_without_content_do_not_prolong_a_body() -> None:
    async with wired(App(), ClientBounds(body_rate=1)) as client:
        client.send(post("transfer-encoding: chunked", body=b"1;"))
        sending = asyncio.create_task(client.trickle(b"x" * 100, every=1))
        assert (await client.last_answer()).status == 408
        assert client.elapsed == about(BOUNDS.body)
        await sending


@virtual
async def test_an_upload_that_waits_for_the_application_may_take_any_time() -> None:
    """The application has not read what came, so the server stopped reading: the client cannot send."""
    may_read = asyncio.Event()
    app = App()

    async def busy(scope: Scope, receive: Receive, send: Send) -> None:
        await may_read.wait()
        await app(scope, receive, send)

    async with wired(busy, ClientBounds(body_rate=1 << 30)) as client:
        client.send(post("content-length: 200000"), b"a" * 100_000, b"a" * 50_000)
        await asyncio.sleep(10 * BOUNDS.body + LOOK - 1)
        may_read.set()
        await asyncio.sleep(BOUNDS.body - 0.1)  # the client's time, which begins now
        client.send(b"a" * 50_000)
        assert (await client.answer()).status == 200
    assert app.bodies == [b"a" * 200_000]


@virtual
async def test_a_body_that_goes_on_after_its_answer_does_not_go_on_for_ever() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 405, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with wired(app) as client:
        client.send(post("content-length: 5000"))
        sending = asyncio.create_task(client.trickle(b" " * 100, every=1))
        assert (await client.answer()).status == 405
        assert await client.rest() == b""
        assert client.elapsed == about(BOUNDS.body)
        await sending


@virtual
async def test_no_bound_counts_while_an_answer_is_awaited_or_between_two_requests() -> None:
    async with wired(App(wait=1000)) as client:
        for _ in range(2):
            client.send(TWO)
            assert (await client.answer()).status == 200
            await asyncio.sleep(BOUNDS.idle - 1)


@virtual
async def test_the_beginning_of_a_next_request_waits_for_the_answer_to_the_one_before() -> None:
    async with wired(App(wait=1000)) as client:
        client.send(TWO + TWO[:10])
        assert (await client.answer()).status == 200
        await asyncio.sleep(BOUNDS.head - 1)
        client.send(TWO[10:])
        assert (await client.answer()).status == 200


@virtual
async def test_each_part_of_a_request_has_a_time_of_its_own() -> None:
    async with wired(App()) as client:
        for part, rest in ((TWO, BOUNDS.idle), (TWO[:10], BOUNDS.head), (TWO[10:-2], BOUNDS.body), (TWO[-2:], 0.0)):
            client.send(part)
            if part.endswith(b"{}"):
                assert (await client.answer()).status == 200
            await asyncio.sleep(rest - 1 if rest else 0)


@virtual
async def test_nobody_is_answered_after_the_connection_has_failed() -> None:
    async with wired(App()) as client:
        client.send(post("content-length: 5000"))
        client.wire.fail()
        await asyncio.sleep(2 * BOUNDS.body)
    assert await client.rest() == b""


@virtual
async def test_a_refused_client_that_goes_on_sending_has_a_few_seconds_to_read_why() -> None:
    async with wired(App()) as client:
        client.send(b"FOO / HTTP/1.1\r\n\r\n")
        sending = asyncio.create_task(client.trickle(b"a" * 20, every=1))
        assert (await client.last_answer()).status == 400
        assert not client.wire.lost.is_set()
        await client.wire.lost.wait()
        assert client.elapsed == about(BOUNDS.linger)
        await sending


class Flood:
    """Answers without end.

    Attributes:
        left: It was told that the client left.
    """

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        flood = asyncio.create_task(self._flood(send))
        while (await receive())["type"] != "http.disconnect":
            pass
        flood.cancel()
        self.left.set()

    async def _flood(self, send: Send) -> None:
        while True:
            await send({"type": "http.response.body", "body": b"a" * 50_000, "more_body": True})
            self.sent += 50_000


@virtual
async def test_a_client_that_does_not_read_is_cut_off_and_the_application_hears_of_it() -> None:
    app = Flood()
    async with wired(app) as client:
        client.wire.reading = False
        await asyncio.sleep(1)
        client.send(GET)
        await app.left.wait()
        assert client.wire.reset
        assert 1 + BOUNDS.write - LOOK <= client.elapsed <= 1 + BOUNDS.write + LOOK
    assert app.sent < 200_000


@virtual
async def test_a_client_that_reads_slowly_is_not_cut_off() -> None:
    app = Flood()
    async with wired(app) as client:
        client.wire.reading = False
        client.send(GET)
        for _ in range(20):
            await asyncio.sleep(BOUNDS.write - 2 * LOOK)
            client.wire.read(1)
        assert not app.left.is_set()


@virtual
async def test_the_time_of_a_client_that_does_not_read_begins_with_its_answer() -> None:
    async with wired(App(wait=10 * BOUNDS.write)) as client:
        client.wire.reading = False
        client.send(TWO)
        await asyncio.sleep(11 * BOUNDS.write - 2 * LOOK)
        assert not client.wire.lost.is_set()


@virtual
async def test_an_answer_that_is_written_and_never_read_keeps_no_connection_open() -> None:
    async with wired(App(answer=b"a" * 10)) as client:
        client.wire.reading = False
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await client.wire.lost.wait()
        assert client.wire.reset
        assert BOUNDS.write - LOOK <= client.elapsed <= BOUNDS.write + LOOK


@virtual
async def test_a_body_that_came_fast_gains_no_time_for_its_last_bytes() -> None:
    async with wired(App(), ClientBounds(body_rate=10)) as client:
        client.send(post("content-length: 50000"), b"a" * 20_000)
        sending = asyncio.create_task(client.trickle(b"a" * 100, every=5))
        assert (await client.last_answer()).status == 408
        assert client.elapsed <= 2 * BOUNDS.body
        await sending

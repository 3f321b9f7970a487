"""How a connection ends on which a request went wrong."""

from __future__ import annotations

from tests.edge import App, post
from tests.server.wire import wired
from xrouter_asgi import RequestEventsMiddleware
from xrouter_asgi.events import RequestEnded
from xrouter_asgi.testing.virtual import virtual

TWO = post("content-length: 2", body=b"{}")


@virtual
async def test_pipelined_requests_are_answered_in_their_order() -> None:
    app = App(wait=1)
    async with wired(app) as client:
        client.send(b"".join(post("content-length: 1", body=b"%d" % number) for number in range(5)))
        for _ in range(5):
            assert (await client.answer()).status == 200
    assert app.bodies == [b"0", b"1", b"2", b"3", b"4"]


@virtual
async def test_a_client_that_pipelines_is_not_read_while_requests_wait() -> None:
    async with wired(App(wait=1)) as client:
        for _ in range(100):
            client.send(TWO)
        assert len(client.wire.unsent) == 98 * len(TWO)
        for _ in range(100):
            assert (await client.answer()).status == 200


@virtual
async def test_all_good_requests_before_a_bad_one_are_answered_and_then_the_connection_closes() -> None:
    app = App(wait=1)
    async with wired(app) as client:
        client.send(TWO, TWO + b"FOO / HTTP/1.1\r\n\r\n", TWO)
        await client.answer()
        await client.last_answer()
    assert app.bodies == [b"{}", b"{}"]


@virtual
async def test_the_log_of_a_request_that_is_refused_below_asgi_has_its_error() -> None:
    events: list[object] = []
    async with wired(RequestEventsMiddleware(App(), observers=[events.append])) as client:
        client.send(post("content-length: 5000"))
        answer = await client.last_answer()
    assert answer.error["code"] == "request_timeout"
    [ended] = [event for event in events if isinstance(event, RequestEnded)]
    assert ended.context.error is not None
    assert ended.context.error.code == "request_timeout"

"""One `receive` and one `send` around a request, however many middlewares look at it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.asgi_client import get
from xrouter_asgi import OTLPTracer, RequestEventsMiddleware, TracingMiddleware
from xrouter_asgi.asgi import Exchange
from xrouter_asgi.context import RequestContext
from xrouter_asgi.events import RequestEnded
from xrouter_asgi.telemetry import Collector


def traced(app: ASGIApp) -> ASGIApp:
    return TracingMiddleware(app, tracer=OTLPTracer(Collector()))


def watched(app: ASGIApp) -> ASGIApp:
    return RequestEventsMiddleware(app, observers=[lambda event: None])


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def wraps(send: Send) -> int:
    """How many exchanges a message passes on its way to the server."""
    count = 0
    while isinstance(owner := getattr(send, "__self__", None), Exchange):
        count += 1
        send = owner._send
    return count


@pytest.mark.parametrize(
    "onion",
    [
        lambda app: traced(app),
        lambda app: watched(app),
        lambda app: traced(watched(app)),
        lambda app: watched(traced(app)),
        lambda app: traced(watched(watched(traced(app)))),
    ],
)
async def test_a_message_passes_one_exchange_however_many_look_at_it(onion: Callable[[ASGIApp], ASGIApp]) -> None:
    found = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(wraps(send))
        await hello(scope, receive, send)

    answer = await get(onion(app), "/")
    assert found == [1]
    assert answer.header("x-request-id")


async def test_something_that_changes_messages_in_between_is_measured_on_both_sides() -> None:
    ended: list[RequestEnded] = []

    def note(event: object) -> None:
        if isinstance(event, RequestEnded):
            ended.append(event)

    inner = RequestEventsMiddleware(hello, observers=[note])

    async def doubling(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_twice_as_much(message: Message) -> None:
            await send({**message, "body": 2 * message["body"]} if "body" in message else message)

        await inner(scope, receive, send_twice_as_much)

    await get(RequestEventsMiddleware(doubling, observers=[note]), "/")
    assert [event.sent for event in ended] == [5, 10]


async def test_a_send_of_one_exchange_and_a_receive_of_another_make_a_third() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError("Nobody sends.")

    context = RequestContext()
    one, other = Exchange.of(context, receive, send), Exchange.of(context, receive, send)
    assert Exchange.of(context, one.receive, one.send) is one
    assert Exchange.of(context, one.receive, other.send) not in (one, other)


async def test_who_wants_to_know_is_told_before_the_last_message_and_once() -> None:
    told: list[int] = []
    sent = []

    async def receive() -> Message:
        raise AssertionError("Nobody receives.")

    async def send(message: Message) -> None:
        sent.append((message["type"], len(told)))

    exchange = Exchange.of(RequestContext(), receive, send)
    exchange.before_last.append(lambda: told.append(1))
    await exchange.send({"type": "http.response.start", "status": 200, "headers": []})
    await exchange.send({"type": "http.response.body", "body": b"a", "more_body": True})
    await exchange.send({"type": "http.response.body", "body": b"b"})
    await exchange.send({"type": "http.response.body", "body": b""})
    assert [count for _, count in sent] == [0, 0, 1, 1]

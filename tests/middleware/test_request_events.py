from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.asgi_client import Exchange, body_messages, get, http_scope, post, request
from tests.serving import uvicorn_here
from xrouter_asgi.context import RequestContext, Usage
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.events import (
    AttemptEnded,
    AttemptStarted,
    CircuitOpened,
    IncidentObserver,
    RequestEnded,
    RequestObserver,
    RequestStarted,
)
from xrouter_asgi.middleware.request_events import RequestEventsMiddleware
from xrouter_asgi.providers.base import Provider
from xrouter_asgi.providers.target import Target
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.telemetry.access_log import AccessLog
from xrouter_asgi.testing.scripted import ScriptedProvider, chat, chunk


class Watching:
    """An observer that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.told_end = asyncio.Event()

    def __call__(self, event: object) -> None:
        self.events.append(event)
        if isinstance(event, RequestEnded):
            self.told_end.set()

    @property
    def end(self) -> RequestEnded:
        (end,) = [event for event in self.events if isinstance(event, RequestEnded)]
        return end


@pytest.fixture
def watching() -> Watching:
    return Watching()


def routed(provider: Provider) -> LLMRouter:
    return LLMRouter({"scripted": Target(provider, model="there")})


def sending(*messages: Message) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


HEAD: Message = {"type": "http.response.start", "status": 200, "headers": []}
STREAM = json.dumps(chat(stream=True)).encode()


async def test_a_request_is_measured(watching: Watching) -> None:
    app = Starlette(routes=[Route("/echo", lambda request: PlainTextResponse("hello"), methods=["POST"])])
    answer = await request(RequestEventsMiddleware(app, observers=[watching]), "POST", "/echo", body=b"12345")
    end = watching.end
    assert (end.method, end.path, end.status, end.complete, end.client) == ("POST", "/echo", 200, True, "127.0.0.1")
    assert (end.received, end.sent) == (0, 5)  # the endpoint did not read
    assert end.first_byte is not None
    assert 0 < end.first_byte <= end.duration
    assert answer.header("x-request-id") == end.context.request_id


async def test_a_chat_is_told_from_its_begin_to_its_end(watching: Watching) -> None:
    await post(
        RequestEventsMiddleware(routed(ScriptedProvider()), observers=[watching]), "/v1/chat/completions", chat()
    )
    assert [type(event) for event in watching.events] == [RequestStarted, AttemptStarted, AttemptEnded, RequestEnded]
    assert len({id(event.context) for event in watching.events}) == 1
    assert watching.end.context.usage == Usage(3, 2)
    assert watching.end.received == len(json.dumps(chat()))


async def test_a_refusal_is_measured_like_any_answer(watching: Watching) -> None:
    await get(RequestEventsMiddleware(routed(ScriptedProvider()), observers=[watching]), "/nowhere")
    assert (watching.end.status, watching.end.complete) == (404, True)
    assert watching.end.context.error is not None


async def test_a_stream_that_breaks_is_complete_and_has_its_error(watching: Watching) -> None:
    provider = ScriptedProvider([chunk("a")], UpstreamUnavailable("No."))
    app = RequestEventsMiddleware(routed(provider), observers=[watching])
    answer = await post(app, "/v1/chat/completions", chat(stream=True))
    assert (watching.end.status, watching.end.complete) == (200, True)
    assert watching.end.sent == len(answer.body)
    assert watching.end.context.error is not None


async def test_a_stream_that_the_client_cuts_has_its_bytes(watching: Watching) -> None:
    provider = ScriptedProvider([chunk("a")], asyncio.Event())
    app = RequestEventsMiddleware(routed(provider), observers=[watching])
    scope = http_scope("POST", "/v1/chat/completions")
    answer = await Exchange(app, scope, script=body_messages(STREAM), leave_after=2).run()
    assert (watching.end.status, watching.end.complete) == (200, False)
    assert watching.end.sent == len(answer.body) > 0
    assert watching.end.received == len(STREAM)


async def test_a_client_that_closes_its_socket_in_a_stream_leaves_a_line() -> None:
    lines: list[str] = []
    watching = Watching()
    provider = ScriptedProvider([chunk("hello")], asyncio.Event())
    app = RequestEventsMiddleware(routed(provider), observers=[AccessLog(lines.append), watching])
    async with uvicorn_here(app) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        head = f"POST /v1/chat/completions?key=marked HTTP/1.1\r\nhost: x\r\ncontent-length: {len(STREAM)}\r\n\r\n"
        writer.write(head.encode() + STREAM)
        await reader.readuntil(b"hello")
        writer.close()
        await watching.told_end.wait()
    line = json.loads(lines[0])
    assert (line["status"], line["complete"], line["received"]) == (200, False, len(STREAM))
    assert line["sent"] > len("hello")
    assert line["provider"] == "scripted"
    assert line["first_token"] == line["first_byte"]
    assert "marked" not in lines[0]


async def test_a_client_that_leaves_before_the_answer_has_no_status(watching: Watching) -> None:
    app = RequestEventsMiddleware(routed(ScriptedProvider(asyncio.Event())), observers=[watching])
    exchange = Exchange(
        app, http_scope("POST", "/v1/chat/completions"), script=body_messages(json.dumps(chat()).encode())
    )
    exchange.leave()
    await exchange.run()
    assert (watching.end.status, watching.end.complete, watching.end.first_byte) == (None, False, None)


async def test_what_is_sent_to_a_client_that_left_is_not_counted(watching: Watching) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body", "body": b"too late"})

    exchange = Exchange(RequestEventsMiddleware(app, observers=[watching]), http_scope("GET", "/"), leave_after=1)
    await exchange.run()
    assert (watching.end.status, watching.end.complete, watching.end.sent) == (200, False, 0)


async def test_a_server_that_raises_for_a_client_that_left_is_understood(watching: Watching) -> None:
    app = RequestEventsMiddleware(
        sending(HEAD, {"type": "http.response.body", "body": b"too late"}), observers=[watching]
    )
    exchange = Exchange(app, http_scope("GET", "/"), leave_after=1, send_error=OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await exchange.run()
    assert (watching.end.status, watching.end.complete, watching.end.sent) == (200, False, 0)


async def test_a_server_that_raises_at_the_head_has_sent_no_status(watching: Watching) -> None:
    app = RequestEventsMiddleware(sending(HEAD), observers=[watching])
    exchange = Exchange(app, http_scope("GET", "/"), send_error=OSError("gone"))
    exchange.leave()
    with pytest.raises(OSError, match="gone"):
        await exchange.run()
    assert (watching.end.status, watching.end.complete, watching.end.first_byte) == (None, False, None)


async def test_an_exception_before_the_answer_is_the_500_that_the_server_makes_of_it(watching: Watching) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await get(RequestEventsMiddleware(app, observers=[watching]), "/")
    assert (watching.end.status, watching.end.complete) == (500, False)


async def test_an_application_that_says_nothing_is_a_500_too(watching: Watching) -> None:
    await Exchange(RequestEventsMiddleware(sending(), observers=[watching]), http_scope("GET", "/")).run()
    assert (watching.end.status, watching.end.complete) == (500, False)


async def test_an_exception_after_the_answer_leaves_it_complete(watching: Watching) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await sending(HEAD, {"type": "http.response.body", "body": b"hi"})(scope, receive, send)
        raise LookupError

    with pytest.raises(LookupError):
        await get(RequestEventsMiddleware(app, observers=[watching]), "/")
    assert (watching.end.status, watching.end.complete) == (200, True)


async def test_a_cancelled_request_has_no_status(watching: Watching) -> None:
    provider = ScriptedProvider(asyncio.Event())
    app = RequestEventsMiddleware(routed(provider), observers=[watching])
    body = body_messages(json.dumps(chat()).encode())
    running = asyncio.create_task(Exchange(app, http_scope("POST", "/v1/chat/completions"), script=body).run())
    await provider.reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (watching.end.status, watching.end.complete) == (None, False)


async def test_a_stream_of_the_host_is_counted_and_passed_on_piece_by_piece(watching: Watching) -> None:
    def pieces() -> Iterable[str]:
        yield "one"
        yield "two"

    app = Starlette(routes=[Route("/", lambda request: StreamingResponse(pieces()))])
    answer = await get(RequestEventsMiddleware(app, observers=[watching]), "/")
    assert answer.bodies == [b"one", b"two", b""]
    assert (watching.end.sent, watching.end.complete) == (6, True)


@pytest.mark.parametrize(
    ("last", "complete"),
    [
        ({"type": "http.response.pathsend", "path": "/x"}, True),
        ({"type": "http.response.zerocopysend", "file": 3, "more_body": False}, True),
        ({"type": "http.response.zerocopysend", "file": 3, "more_body": True}, False),
        ({"type": "http.response.body", "body": b"", "more_body": True}, False),
        ({"type": "http.response.trailers", "headers": []}, False),
    ],
)
async def test_messages_of_extensions_go_through_untouched(watching: Watching, last: Message, complete: bool) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    hint: Message = {"type": "http.response.early_hint", "links": []}
    app = RequestEventsMiddleware(sending(hint, HEAD, last), observers=[watching])
    await app(http_scope("GET", "/"), receive, send)
    assert sent[0] is hint
    assert sent[2] is last
    assert watching.end.complete is complete


async def test_a_file_of_the_host_is_complete(watching: Watching, tmp_path: Any) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    app = Starlette(routes=[Route("/", lambda request: FileResponse(tmp_path / "file"))])
    await get(RequestEventsMiddleware(app, observers=[watching]), "/")
    assert (watching.end.sent, watching.end.complete) == (5, True)


async def test_an_observer_that_raises_harms_nothing(watching: Watching, caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: object) -> None:
        raise LookupError

    app = RequestEventsMiddleware(routed(ScriptedProvider()), observers=[broken, watching])
    assert (await post(app, "/v1/chat/completions", chat())).status == 200
    assert len(watching.events) == 4
    assert caplog.text.count("An observer failed on") == 4


async def test_each_of_two_middlewares_tells_its_own_observers_once() -> None:
    outer, inner = Watching(), Watching()
    app = RequestEventsMiddleware(routed(ScriptedProvider()), observers=[inner])
    await post(RequestEventsMiddleware(app, observers=[outer]), "/v1/chat/completions", chat())
    for watching in (outer, inner):
        names = [type(event) for event in watching.events]
        assert names == [RequestStarted, AttemptStarted, AttemptEnded, RequestEnded]


async def test_an_end_tells_how_many_other_requests_run(watching: Watching) -> None:
    hold = asyncio.Event()
    provider = ScriptedProvider(hold)
    app = RequestEventsMiddleware(routed(provider), observers=[watching])
    running = asyncio.create_task(post(app, "/v1/chat/completions", chat()))
    await provider.reached.wait()
    await get(app, "/health")
    assert watching.end.running == 1
    hold.set()
    await running
    assert watching.events[-1].running == 0


async def test_an_observer_of_requests_alone_hears_of_their_ends(watching: Watching) -> None:
    class OfRequests(Watching, RequestObserver):
        pass

    requests = OfRequests()
    app = RequestEventsMiddleware(routed(ScriptedProvider()), observers=[requests, watching])
    await post(app, "/v1/chat/completions", chat())
    assert [type(event) for event in requests.events] == [RequestEnded]
    assert [type(event) for event in watching.events] == [RequestStarted, AttemptStarted, AttemptEnded, RequestEnded]


async def test_an_observer_of_incidents_hears_of_all_but_starts_and_attempts(watching: Watching) -> None:
    class OfIncidents(Watching, IncidentObserver):
        pass

    async def opening(scope: Scope, receive: Receive, send: Send) -> None:
        context = RequestContext.of(scope)
        context.emit(CircuitOpened(context, "up", 5.0))
        await router(scope, receive, send)

    incidents, router = OfIncidents(), routed(ScriptedProvider())
    await post(RequestEventsMiddleware(opening, observers=[incidents]), "/v1/chat/completions", chat())
    assert [type(event) for event in incidents.events] == [CircuitOpened, RequestEnded]
    await post(RequestEventsMiddleware(opening, observers=[watching]), "/v1/chat/completions", chat())
    assert [type(event) for event in watching.events[1:4]] == [CircuitOpened, AttemptStarted, AttemptEnded]


async def test_a_lifespan_and_what_is_unknown_go_through_untouched(watching: Watching) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    for scope in ({"type": "lifespan"}, {"type": "telepathy"}):
        await Exchange(RequestEventsMiddleware(app, observers=[watching]), scope).run()
        assert seen[-1] is scope
    assert watching.events == []


async def test_the_scope_of_the_host_is_not_changed(watching: Watching) -> None:
    scope = http_scope("GET", "/")
    before = dict(scope)
    await Exchange(RequestEventsMiddleware(sending(HEAD), observers=[watching]), scope).run()
    assert scope == before


async def test_a_context_that_is_there_is_used(watching: Watching) -> None:
    scope = http_scope("GET", "/", client=None)
    context = RequestContext.of(scope)
    await Exchange(RequestEventsMiddleware(sending(HEAD), observers=[watching]), scope).run()
    assert watching.end.context is context
    assert watching.end.client is None


# WebSockets


ACCEPT: Message = {"type": "websocket.accept"}


async def websocket(app: ASGIApp, *script: Message) -> None:
    scope = {**http_scope("GET", "/ws"), "type": "websocket", "scheme": "ws"}
    del scope["method"]
    messages = iter(script)

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        pass

    await app(scope, receive, send)


def conversing(*replies: Message) -> ASGIApp:
    """Accepts, reads until the client leaves, and sends the replies after the first message."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        for reply in replies:
            await send(reply)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return app


@pytest.mark.parametrize(("code", "complete"), [(1000, True), (1001, True), (1005, True), (1006, False), (1011, False)])
async def test_a_websocket_is_one_request_of_status_101(watching: Watching, code: int, complete: bool) -> None:
    app = conversing({"type": "websocket.send", "text": "йо"}, {"type": "websocket.send", "bytes": b"123"})
    await websocket(
        RequestEventsMiddleware(app, observers=[watching]),
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "hi"},
        {"type": "websocket.receive", "bytes": b"123", "text": None},
        {"type": "websocket.disconnect", "code": code},
    )
    end = watching.end
    assert (end.method, end.status, end.complete, end.received, end.sent) == ("GET", 101, complete, 5, 7)


async def test_a_websocket_that_the_application_closed_is_complete(watching: Watching) -> None:
    app = conversing({"type": "websocket.close", "code": 1011})
    await websocket(
        RequestEventsMiddleware(app, observers=[watching]),
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "bytes": None, "text": ""},
        {"type": "websocket.disconnect", "code": 1006},
    )
    assert (watching.end.status, watching.end.complete) == (101, True)


@pytest.mark.parametrize(
    ("messages", "status", "sent"),
    [
        ([{"type": "websocket.close", "code": 1008}], 403, 0),
        (
            [
                {"type": "websocket.http.response.start", "status": 401, "headers": []},
                {"type": "websocket.http.response.body", "body": b"no"},
            ],
            401,
            2,
        ),
    ],
)
async def test_a_refused_websocket_has_the_status_of_the_refusal(
    watching: Watching, messages: list[Message], status: int, sent: int
) -> None:
    await websocket(RequestEventsMiddleware(sending(*messages), observers=[watching]))
    assert (watching.end.status, watching.end.complete, watching.end.sent) == (status, True, sent)


# Secrets


@pytest.mark.parametrize("readable", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_no_line_holds_a_secret(readable: bool, fails: bool) -> None:
    lines: list[str] = []
    steps = [UpstreamUnavailable("marked message", detail="marked detail")] if fails else []
    observer = AccessLog(lines.append, readable=readable)
    app = RequestEventsMiddleware(routed(ScriptedProvider(*steps)), observers=[observer])
    scope = http_scope(
        "POST",
        "/v1/chat/completions",
        headers=[(b"authorization", b"Bearer marked"), (b"cookie", b"marked"), (b"x-request-id", b"marked not")],
        query_string=b"key=marked",
    )
    body = json.dumps(chat(messages=[{"role": "user", "content": "marked"}], user="marked")).encode()
    await Exchange(app, scope, script=body_messages(body)).run()
    (line,) = lines
    assert "scripted" in line
    assert "marked" not in line
    assert "marked" not in repr(app) + repr(observer)

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Message, Receive, Scope

from tests.asgi_client import Exchange, get, http_scope, request
from xrouter_asgi.asgi.disconnect import Interrupted
from xrouter_asgi.asgi.responses import send_json
from xrouter_asgi.asgi.routes import Endpoint, Routes
from xrouter_asgi.asgi.sending import Outgoing
from xrouter_asgi.context import RequestContext
from xrouter_asgi.dialects.chat import ChatWriter
from xrouter_asgi.errors import InvalidRequest, PayloadTooLarge, UpstreamUnavailable, XRouterError


def says(name: str) -> Endpoint:
    """Answers with its name and what the pattern left open."""

    async def endpoint(scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, *found: str) -> None:
        await send_json(send, json.dumps([name, *found]).encode())

    return endpoint


def fails(error: Exception, *, early: bool = False, writer: ChatWriter | None = None) -> Routes:
    """One endpoint that fails, perhaps after its head went out."""

    async def endpoint(scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        send.writer = writer
        if early:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    return Routes({"/": {"GET": endpoint}})


ROUTES = Routes(
    {
        "/": {"GET": says("root")},
        "/things": {"GET": says("list"), "POST": says("make")},
        "/things/{id}": {"GET": says("one")},
        "/things/{id}/parts": {"GET": says("parts")},
        "/things/{id}/parts/{part}": {"GET": says("part")},
        "/things/special": {"GET": says("special")},
        "/files/{name:path}": {"GET": says("file")},
        "/files/new/{name:path}": {"GET": says("new file")},
        "/a.b/{id}": {"GET": says("dotted")},
    }
)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", ["root"]),
        ("/things", ["list"]),
        ("/things/7", ["one", "7"]),
        ("/things/7/parts", ["parts", "7"]),
        ("/things/7/parts/8", ["part", "7", "8"]),
        ("/things/special", ["special"]),
        ("/files/a", ["file", "a"]),
        ("/files/meta/llama\n3", ["file", "meta/llama\n3"]),
        ("/files/new/a/b", ["new file", "a/b"]),
        ("/files/newer", ["file", "newer"]),
        ("/a.b/c", ["dotted", "c"]),
        ("/things/7/", ["one", "7"]),
    ],
)
async def test_the_most_literal_path_answers_with_what_it_left_open(path: str, answer: list[str]) -> None:
    assert (await get(ROUTES, path)).json == answer


@pytest.mark.parametrize("path", ["/thing", "/things/7/8", "/things//parts", "/things/7/parts/8/9", "/files", "/axb/c"])
async def test_a_path_that_nothing_matches_is_not_found(path: str) -> None:
    answer = await get(ROUTES, path)
    assert answer.status == 404
    assert f"GET {path}." in answer.error["message"]


@pytest.mark.parametrize(("path", "allow"), [("/things", "GET, POST"), ("/things/7", "GET"), ("/files/a/b", "GET")])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "get"])
async def test_another_method_is_told_the_right_ones(method: str, path: str, allow: str) -> None:
    answer = await request(ROUTES, method, path)
    assert (answer.status, answer.header("allow")) == (405, allow)


async def test_methods_of_one_path_are_different_endpoints() -> None:
    assert (await request(ROUTES, "POST", "/things")).json == ["make"]


async def test_a_mount_is_not_part_of_the_path() -> None:
    answer = await Exchange(ROUTES, http_scope("GET", "/app/things/7", root_path="/app")).run()
    assert answer.json == ["one", "7"]


# Tokens


@pytest.mark.parametrize(
    "given",
    [None, b"", b"Bearer", b"Bearer ", b"Bearer wrong", b"Basic secret", b"secret", b"\xff", b"Bearer secret x"],
)
@pytest.mark.parametrize("path", ["/", "/nowhere"])
async def test_without_the_token_nothing_is_told(given: bytes | None, path: str) -> None:
    app = Routes({"/": {"GET": says("root")}}, token="secret", realm="here")
    answer = await get(app, path, headers=[] if given is None else [(b"authorization", given)])
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert answer.header("www-authenticate") == 'Bearer realm="here"'


@pytest.mark.parametrize("given", [b"Bearer secret", b"bearer secret", b"BEARER  secret "])
async def test_with_the_token_the_endpoint_answers(given: bytes) -> None:
    app = Routes({"/": {"GET": says("root")}}, token="secret")
    assert (await get(app, "/", headers=[(b"authorization", given)])).json == ["root"]


@pytest.mark.parametrize("other", [b"Bearer secret", b"Bearer wrong", b"Basic eA=="])
async def test_a_token_that_comes_twice_is_refused(other: bytes) -> None:
    app = Routes({"/": {"GET": says("root")}}, token="secret")
    for given in ([b"Bearer secret", other], [other, b"Bearer secret"]):
        assert (await get(app, "/", headers=[(b"authorization", value) for value in given])).status == 401


# Errors


async def test_an_error_is_answered_in_the_envelope_and_noted() -> None:
    error = InvalidRequest("No.", code="invalid_value", param="n")
    scope = http_scope("GET", "/")
    answer = await Exchange(fails(error), scope).run()
    assert (answer.status, answer.error["param"]) == (400, "n")
    assert RequestContext.of(scope).error is error


async def test_the_envelope_is_the_one_of_the_context() -> None:
    scope = http_scope("GET", "/")
    context = RequestContext.of(scope)
    context.envelope = lambda error, request_id: (418, [(b"x-odd", b"1")], {"said": error.message, "id": request_id})
    answer = await Exchange(fails(InvalidRequest("No.")), scope).run()
    assert (answer.status, answer.header("x-odd")) == (418, "1")
    assert answer.json == {"said": "No.", "id": context.request_id}


async def test_a_defect_tells_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    answer = await get(fails(ZeroDivisionError("secret")), "/")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert "secret" in caplog.text


async def test_only_what_is_not_the_callers_fault_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    await get(fails(InvalidRequest("No.")), "/")
    assert caplog.messages == []
    await get(fails(UpstreamUnavailable("Gone.", detail="10.0.0.7")), "/")
    assert caplog.messages == ["502 upstream_unreachable: 10.0.0.7"]


async def test_an_error_that_leaves_the_body_unread_ends_the_connection() -> None:
    assert (await get(fails(PayloadTooLarge("Too large.")), "/")).header("connection") == "close"
    assert (await get(fails(InvalidRequest("No.")), "/")).header("connection") is None


@pytest.mark.parametrize("error", [XRouterError("No."), ZeroDivisionError("odd")])
async def test_an_error_after_the_head_is_the_host_s_to_report(error: Exception) -> None:
    with pytest.raises(type(error)):
        await get(fails(error, early=True, writer=ChatWriter(include_usage=False)), "/")


async def test_a_stream_that_is_interrupted_ends_with_the_words_of_its_writer() -> None:
    app = fails(Interrupted("Stopping."), early=True, writer=ChatWriter(include_usage=False))
    answer = await get(app, "/")
    assert answer.finished
    assert [event["error"]["code"] for event in answer.events] == ["not_ready"]


async def test_nothing_is_written_into_another_answer_that_is_interrupted() -> None:
    answer = await Exchange(fails(Interrupted("Stopping."), early=True), http_scope("GET", "/")).run()
    assert [message["type"] for message in answer.messages] == ["http.response.start"]


# Other scopes


async def converse(app: Routes, scope: Scope, *received: str) -> list[Message]:
    sent: list[Message] = []
    messages = iter(received)

    async def receive() -> Message:
        return {"type": next(messages)}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def test_a_websocket_is_closed_before_it_is_accepted() -> None:
    assert await converse(ROUTES, {"type": "websocket", "path": "/things"}, "websocket.connect") == [
        {"type": "websocket.close", "code": 1008, "reason": "There is no WebSocket here."}
    ]


async def test_a_scope_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="'mqtt'"):
        await converse(ROUTES, {"type": "mqtt"})


async def test_the_lifespan_is_entered_and_left() -> None:
    happened: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        happened.append("entered")
        yield
        happened.append("left")

    app = Routes({}, lifespan=lifespan)
    sent = await converse(app, {"type": "lifespan"}, "lifespan.startup", "lifespan.shutdown")
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert happened == ["entered", "left"]


async def test_an_application_without_a_lifespan_of_its_own_answers_the_protocol() -> None:
    sent = await converse(ROUTES, {"type": "lifespan"}, "lifespan.startup", "lifespan.shutdown")
    assert len(sent) == 2

"""What `Server` takes for a request, and how it refuses the rest."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.edge import App, connected, idle, on_both_loops, post, served
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.scripted import chat

CHUNKED = "transfer-encoding: chunked"
CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"

REFUSED = {
    "no host": post("content-length: 2", body=b"{}", host=None),
    "two hosts": post("host: y", "content-length: 2", body=b"{}"),
    "two hosts, HTTP/1.0": post("host: y", "content-length: 2", body=b"{}", version="1.0"),
    "a coding nobody knows": post("transfer-encoding: xchunked", body=CHUNKS),
    "chunked, but not at the end": post("transfer-encoding: chunked, identity", body=CHUNKS),
    "a coding before chunked": post("transfer-encoding: gzip, chunked", body=CHUNKS),
    "chunked twice": post(CHUNKED, CHUNKED, body=CHUNKS),
    "chunked in HTTP/1.0": post(CHUNKED, body=CHUNKS, version="1.0"),
    "two lengths": post("content-length: 2", "content-length: 3", body=b"{}"),
    "a length and chunks": post("content-length: 2", CHUNKED, body=CHUNKS),
    "a method nobody knows": b"FOO / HTTP/1.1\r\nhost: x\r\n\r\n",
    "a proxy's method": b"CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
    "a bare line feed": b"POST / HTTP/1.1\nhost: x\n\n",
    "no size of a chunk": post(CHUNKED, body=b"ZZ\r\n{}\r\n"),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
@on_both_loops
async def test_what_is_no_good_request_is_a_400_in_the_envelope_and_the_end(request_: bytes) -> None:
    app = App()
    async with served(app) as port, connected(port) as client:
        client.send(request_, post("content-length: 2", body=b"{}"))
        answer = await client.last_answer()
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    assert app.bodies == []


@on_both_loops
async def test_the_application_is_told_what_the_request_line_says() -> None:
    app = App()
    async with served(app) as port, connected(port) as client:
        for target, version in (("/a%20b/%D1%8F?c=%20d", "1.1"), ("/", "1.0")):
            client.send(post("content-length: 0", target=target, version=version))
            assert (await client.answer()).status == 200
    first, second = app.scopes
    assert (first["method"], first["http_version"], first["root_path"]) == ("POST", "1.1", "")
    assert (first["path"], first["raw_path"]) == ("/a b/я", b"/a%20b/%D1%8F")
    assert first["query_string"] == b"c=%20d"
    assert (second["http_version"], second["path"], second["query_string"]) == ("1.0", "/", b"")


@pytest.mark.parametrize("version", ["0.9", "2.0"])
@on_both_loops
async def test_another_major_version_of_http_is_a_505(version: str) -> None:
    app = App()
    async with served(app) as port, connected(port) as client:
        client.send(post("content-length: 2", body=b"{}", version=version))
        answer = await client.last_answer()
    assert answer.status == 505
    assert answer.error["code"] == "http_version_not_supported"
    assert answer.headers["x-should-retry"] == "false"
    assert app.bodies == []


@on_both_loops
async def test_a_client_that_asks_to_close_gets_one_answer() -> None:
    async with served(App()) as port, connected(port) as client:
        client.send(post("content-length: 0", "connection: close"))
        assert (await client.last_answer()).status == 200


@on_both_loops
async def test_a_client_of_http_1_0_needs_no_host() -> None:
    async with served(App()) as port, connected(port) as client:
        client.send(post("content-length: 2", body=b"{}", host=None, version="1.0"))
        assert (await client.last_answer()).status == 200


TOO_LARGE = {
    "a field": post("x-big: " + "a" * 33000),
    "a field of a megabyte": post("x-big: " + "a" * (1 << 20)),
    "fields": post(*[f"x-{number}: a" for number in range(100)]),
    "a path": post(target="/" + "a" * 33000),
    "a head that never ends": b"POST / HTTP/1.1\r\nhost: x\r\n" + b"x-a: b\r\n" * 50000,
    "a field that never ends": b"POST / HTTP/1.1\r\nhost: x\r\nx-a: " + b"b" * 400000,
    "a path that never ends": b"POST /" + b"b" * 400000,
}


@pytest.mark.parametrize("head", TOO_LARGE.values(), ids=TOO_LARGE)
@on_both_loops
async def test_a_head_that_is_too_large_is_a_431_that_the_client_can_read(head: bytes) -> None:
    app = App()
    async with served(app) as port, connected(port) as client:
        client.send(head)
        answer = await client.last_answer()
    assert answer.status == 431
    assert answer.error["code"] == "head_too_large"
    assert app.scopes == []


@on_both_loops
async def test_a_head_may_have_a_hundred_fields_and_come_in_pieces() -> None:
    head = post(*[f"x-{number}: {'a' * 300}" for number in range(98)], "content-length: 0")
    async with served(App()) as port, connected(port) as client:
        for start in range(0, len(head), 5000):
            client.send(head[start : start + 5000])
            await asyncio.sleep(0.001)  # or they would go out as one
        assert (await client.answer()).status == 200


@on_both_loops
async def test_a_large_body_and_the_head_behind_it_are_no_large_head() -> None:
    app = App()
    first = post("content-length: 200000", body=b"a" * 200000)
    second = post("content-length: 2", body=b"{}")
    async with served(app) as port, connected(port) as client:
        client.send(first + second[:20])
        assert (await client.answer()).status == 200
        client.send(second[20:])
        assert (await client.answer()).status == 200
    assert [len(body) for body in app.bodies] == [200000, 2]


@on_both_loops
async def test_a_refusal_bears_the_id_that_the_client_gave() -> None:
    async with served(App()) as port, connected(port) as client:
        client.send(post("x-request-id: mine", "transfer-encoding: gzip"))
        assert (await client.last_answer()).headers["x-request-id"] == "mine"


@on_both_loops
async def test_an_answer_that_is_under_way_is_whole_before_a_bad_request_ends_the_connection() -> None:
    app = App(wait=0.1)
    async with served(app) as port, connected(port) as client:
        client.send(post("content-length: 2", body=b"{}"), b"FOO / HTTP/1.1\r\n\r\n")
        assert (await client.last_answer()).body == b"{}"


@on_both_loops
async def test_whoever_runs_hears_that_a_client_left_who_had_sent_more_requests() -> None:
    heard: list[str] = []
    running, told = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await idle(receive, send)
            return
        await receive()
        running.set()
        heard.append((await receive())["type"])
        told.set()

    async with served(app) as port, connected(port) as client:
        client.send(post("content-length: 2", body=b"{}") * 3)
        await running.wait()
        client.writer.transport.abort()
        await told.wait()
    assert heard == ["http.disconnect"]


@pytest.mark.parametrize("size", [2, 300000])
@on_both_loops
async def test_a_wish_for_another_protocol_is_ignored_and_the_body_is_read(size: int) -> None:
    app = App()
    upgrade = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQ")
    request = post(*upgrade, f"content-length: {size}", body=b"a" * size)
    async with served(app) as port, connected(port) as client:
        client.send(request)
        assert (await client.answer()).status == 200
        client.send(request[:40])
        await asyncio.sleep(0.01)
        client.send(request[40:])
        assert (await client.answer()).status == 200
    assert [len(body) for body in app.bodies] == [size, size]
    assert (b"http2-settings", b"AAMAAABkAAQ") in app.scopes[0]["headers"]


@on_both_loops
async def test_a_wish_for_another_protocol_with_a_body_in_chunks_is_ignored() -> None:
    app = App()
    async with served(app) as port, connected(port) as client:
        client.send(post("connection: upgrade", "upgrade: h2c", CHUNKED, body=CHUNKS))
        assert (await client.answer()).status == 200
    assert app.bodies == [b"{}"]


@pytest.mark.parametrize(("version", "connection"), [("1.1", "upgrade, close"), ("1.0", "upgrade")])
@on_both_loops
async def test_a_wish_on_a_connection_that_is_to_close_is_ignored(version: str, connection: str) -> None:
    app = App()
    async with served(app) as port, connected(port) as client:
        fields = (f"connection: {connection}", "upgrade: h2c", "content-length: 2")
        client.send(post(*fields, body=b"{}", version=version))
        assert (await client.answer()).status == 200
        assert await client.rest() == b""
    assert app.bodies == [b"{}"]


@on_both_loops
async def test_a_wish_behind_a_wish_is_refused() -> None:
    """Each costs a copy of all that came, and nobody asks twice before the first answer."""
    async with served(App()) as port, connected(port) as client:
        client.send(post("connection: upgrade", "upgrade: h2c", "content-length: 0") * 2)
        assert (await client.answer()).status == 200
        assert await client.rest() == b""


@on_both_loops
async def test_a_stream_to_http_1_0_ends_with_the_connection_and_has_no_chunks() -> None:
    router = LLMRouter({"m": EchoProvider(models=["m"])})
    body = json.dumps(chat("m", stream=True)).encode()
    async with served(router) as port, connected(port) as client:
        client.send(post(f"content-length: {len(body)}", body=body, target="/v1/chat/completions", version="1.0"))
        head, _, events = (await client.rest()).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert events.startswith(b"data: {")
    assert events.endswith(b"data: [DONE]\n\n")


@on_both_loops
async def test_an_answer_of_known_length_to_http_1_0_has_it() -> None:
    async with served(App()) as port, connected(port) as client:
        client.send(post("content-length: 2", body=b"{}", version="1.0"))
        assert (await client.last_answer()).headers["content-length"] == "2"


@on_both_loops
async def test_what_follows_a_body_in_chunks_becomes_no_header() -> None:
    app = App()
    async with served(app) as port, connected(port) as client:
        client.send(post(CHUNKED, body=b"2\r\n{}\r\n0\r\nx-forwarded-for: 1.2.3.4\r\n\r\n"))
        assert (await client.answer()).status == 200
        client.send(post("content-length: 0", "x-next: 1"))
        assert (await client.answer()).status == 200
    assert b"x-forwarded-for" not in dict(app.scopes[0]["headers"])
    assert dict(app.scopes[1]["headers"])[b"x-next"] == b"1"


@pytest.mark.parametrize("endless", [b"0\r\nx: " + b"a" * 800000, b"2;" + b"a" * 800000], ids=["trailer", "extension"])
@on_both_loops
async def test_a_body_is_refused_that_is_nothing_but_framing(endless: bytes) -> None:
    async with served(App()) as port, connected(port) as client:
        client.send(post(CHUNKED, body=endless))
        assert (await client.last_answer()).status == 400


@on_both_loops
async def test_a_client_that_is_refused_while_it_sends_can_read_why() -> None:
    """On a connection that closes with bytes unread, the kernel resets, and what was not read yet is lost."""
    router = LLMRouter({"m": EchoProvider(models=["m"])}, max_body=1000)
    async with served(router) as port, connected(port) as client:
        client.send(post("content-length: 8000000", target="/v1/chat/completions"))
        for _ in range(100):
            client.send(b"a" * 80000)
            await client.writer.drain()
        answer = await client.last_answer()
    assert answer.status == 413


@on_both_loops
async def test_an_answer_without_a_request_body_closes_at_once_if_it_says_so() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await idle(receive, send)
            return
        start: Message = {"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]}
        await send(start)
        await send({"type": "http.response.body", "body": b"all"})

    async with served(app) as port, connected(port) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await client.rest()).endswith(b"\r\n\r\n3\r\nall\r\n0\r\n\r\n")

"""What an Upstream takes, refuses and hands over, whatever transport is below."""

from __future__ import annotations

import asyncio
import traceback
from base64 import b64encode
from typing import TYPE_CHECKING

import httpx
import pytest
import respx
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.providers.http.scripted_server import BOTH, OK, Make, Peer, answering, serving, silent
from xrouter_asgi.errors import UpstreamError, UpstreamTimeout
from xrouter_asgi.providers.http import OwnedTransport, Timeouts, Upstream
from xrouter_asgi.providers.http.transport import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def mocked(response: httpx.Response) -> Upstream:
    return Upstream("http://x.test", transport=httpx.MockTransport(lambda _: response))


async def test_a_mock_transport_plugs_in() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(404, json={"url": str(request.url), "body": request.content.decode()})

    upstream = Upstream("http://x.test/v1", transport=httpx.MockTransport(handle))
    answer = await upstream.fetch("POST", "/a?b=c", content=b"hi")
    assert (answer.status, answer.body) == (404, b'{"url":"http://x.test/v1/a?b=c","body":"hi"}')
    stream = await upstream.open("GET", "/")
    assert stream.status == 404
    assert await stream.read() == b'{"url":"http://x.test/v1/","body":""}'


async def test_a_respx_router_plugs_in() -> None:
    router = respx.Router()
    route = router.post("http://x.test/v1/chat", headers={"authorization": "Bearer k"}).respond(200, json={"a": 1})
    router.get("http://x.test/v1/down").mock(side_effect=httpx.ConnectError("refused"))
    upstream = Upstream(
        "http://x.test/v1", headers={"authorization": "Bearer k"}, transport=httpx.MockTransport(router.async_handler)
    )
    assert (await upstream.fetch("POST", "/chat", content=b"{}")).body == b'{"a":1}'
    assert route.calls.last.request.content == b"{}"
    with pytest.raises(UpstreamError) as caught:
        await upstream.fetch("GET", "/down")
    assert caught.value.code == "connect_refused"


@pytest.mark.parametrize("make", BOTH)
async def test_opentelemetry_traces_either_transport(make: Make) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with serving(answering(OK)) as server:
        upstream = Upstream(server.url, transport=AsyncOpenTelemetryTransport(make(), tracer_provider=provider))
        assert (await upstream.fetch("POST", "/chat", content=b"{}")).body == b"hi"
        await upstream.aclose()
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert f"traceparent: 00-{span.context.trace_id:032x}-{span.context.span_id:016x}-".encode() in server.requests[0]


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("api.example.com/v1", "no scheme"),
        ("ftp://api.example.com", "no scheme"),
        ("http://", "no host"),
        ("http:///v1", "no host"),
        ("https://user:pa55@api.example.com", "user or password"),
        ("https://user:x/pa55@api.example.com", "user or password"),
        ("https://api.example.com/v1?key=1", "no query"),
        ("https://api.example.com/v1?", "no query"),
        ("https://api.example.com/v1#top", "no fragment"),
        ("http://[::1", "cannot be parsed"),
        ("http://x:99999", "port"),
    ],
)
def test_a_base_url_that_cannot_be_one_is_refused(base_url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        Upstream(base_url)
    assert "https://api.example.com/v1'" in str(caught.value)
    assert "pa55" not in str(caught.value)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\0", "ключ"])
def test_a_header_that_cannot_be_sent_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ValueError, match="'X-Key'") as caught:
        Upstream("http://x.test", headers={"X-Key": value})
    assert value not in str(caught.value)


async def test_a_header_of_one_request_with_a_line_break_is_never_sent() -> None:
    async with serving(answering(OK)) as server:
        upstream = Upstream(server.url)
        with pytest.raises(UpstreamError) as caught:
            await upstream.fetch("GET", "/", headers=[(b"X-A", b"secret\r\nX-Evil: 1")])
        assert caught.value.code == "bad_protocol"
        assert "secret" not in f"{caught.value.message}{caught.value.detail}"
        await upstream.aclose()
    assert server.connections == 0


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="'max_connections' is 0"):
        Upstream("http://x.test", max_connections=0)
    for bad in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="'idle' is"):
            Timeouts(idle=bad)
    assert Timeouts(total=None).total is None


def test_a_proxy_and_http2_go_through_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(Upstream("http://x.test")._transport, HTTPTransport)
    assert isinstance(Upstream("https://x.test", http2=True)._transport, OwnedTransport)
    assert isinstance(Upstream("https://x.test", proxy="http://proxy.test:3128")._transport, OwnedTransport)
    with pytest.raises(ValueError, match="'proxy' must start"):
        Upstream("http://x.test", proxy="socks5://user:pa55@proxy.test")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "xrouter-asgi\[http2\]"'):
        Upstream("https://x.test", http2=True)


@pytest.mark.parametrize(
    "address",
    [
        *(f"http://user:a{char}pa55@proxy.test:3128" for char in "/?#@\n "),
        "http://user:12/pa55@proxy.test:3128",
        "http://proxy.test:pa55",
        "http://:pa55",
        "http://",
    ],
)
def test_what_is_no_proxy_is_refused_without_showing_it(address: str) -> None:
    with pytest.raises(ValueError, match="%2F for '/'") as caught:
        Upstream("http://x.test", proxy=address)
    assert "pa55" not in "".join(traceback.format_exception(caught.value))


async def test_a_proxy_gets_the_user_and_password_in_its_address() -> None:
    async with serving(answering(OK)) as proxy:
        upstream = Upstream("http://x.test/v1", proxy=proxy.url.replace("//", "//ann:p%2Fa%40%23@"))
        assert (await upstream.fetch("GET", "/models")).body == b"hi"
        await upstream.aclose()
    assert b"Proxy-Authorization: Basic " + b64encode(b"ann:p/a@#") in proxy.requests[0]


async def test_a_proxy_is_asked_for_the_address() -> None:
    async with serving(answering(OK)) as proxy:
        upstream = Upstream("http://x.test/v1", proxy=proxy.url)
        assert (await upstream.fetch("GET", "/models")).body == b"hi"
        await upstream.aclose()
    assert proxy.requests[0].startswith(b"GET http://x.test/v1/models HTTP/1.1\r\n")


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answering(OK)) as server, serving(answering(OK)) as canary:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, canary.url)
        for http2 in (False, True):
            upstream = Upstream(server.url, http2=http2)
            assert (await upstream.fetch("GET", "/")).body == b"hi"
            await upstream.aclose()
    assert (server.connections, canary.connections) == (2, 0)


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308])
async def test_a_redirect_is_refused_and_not_followed(status: int) -> None:
    calls = 0

    def handle(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return httpx.Response(status, headers={"location": "http://169.254.169.254/"})

    upstream = Upstream("http://x.test", transport=httpx.MockTransport(handle))
    with pytest.raises(UpstreamError) as caught:
        await upstream.open("GET", "/")
    assert caught.value.code == "redirect_refused"
    assert str(status) in (caught.value.detail or "")
    assert calls == 1


async def test_an_answer_of_an_unknown_compression_is_refused_unopened() -> None:
    async def bomb(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-encoding: lzma\r\ncontent-length: 1000000\r\n\r\n")
        await peer.gone()

    async with serving(bomb) as server:
        upstream = Upstream(server.url)
        with pytest.raises(UpstreamError) as caught:
            await upstream.open("GET", "/")
        assert caught.value.code == "bad_protocol"
        await server.until_open(0)
        await upstream.aclose()


async def test_an_answer_at_the_limit_is_whole_and_one_byte_more_is_too_large() -> None:
    upstream = mocked(httpx.Response(200, content=b"x" * 100))
    assert len((await upstream.fetch("GET", "/", limit=100)).body) == 100
    with pytest.raises(UpstreamError) as caught:
        await upstream.fetch("GET", "/", limit=99)
    assert caught.value.code == "too_large"
    stream = await upstream.open("GET", "/")
    with pytest.raises(UpstreamError):
        await stream.read(limit=99)


@pytest.mark.parametrize("name", [b"Content-Length", b"content-length"])
async def test_an_answer_declared_too_large_is_not_waited_for(name: bytes) -> None:
    async def declaring(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n%b: 1048577\r\n\r\n{" % name)
        await peer.gone()

    async with serving(declaring) as server:
        upstream = Upstream(server.url)
        with pytest.raises(UpstreamError) as caught:
            await upstream.fetch("GET", "/", limit=1 << 20)
        error = caught.value
        assert (error.code, error.trips, error.falls_back) == ("too_large", False, False)
        await server.until_open(0)
        await upstream.aclose()


async def test_an_endless_answer_is_left_at_the_limit() -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(bytes(1 << 16))

    async with serving(endless) as server:
        upstream = Upstream(server.url)
        with pytest.raises(UpstreamError) as caught:
            await upstream.fetch("GET", "/", limit=1 << 20)
        assert caught.value.code == "too_large"
        await server.until_open(0)
        await upstream.aclose()


async def test_a_stream_yields_no_empty_pieces() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"", b"one", b"", b"two", b""):
            yield piece

    stream = await mocked(httpx.Response(200, content=pieces())).open("GET", "/")
    assert [chunk async for chunk in stream] == [b"one", b"two"]
    assert [chunk async for chunk in stream] == []


async def test_a_closed_stream_does_not_pretend_to_be_finished() -> None:
    stream = await mocked(httpx.Response(200, content=b"hi")).open("GET", "/")
    await stream.aclose()
    await stream.aclose()
    assert repr(stream) == "AnswerStream(status=200, closed=True)"
    with pytest.raises(RuntimeError, match="closed"):
        await anext(stream)


async def test_a_body_that_cannot_be_awaited_is_a_mistake_of_the_transport() -> None:
    upstream = mocked(httpx.Response(200, content=iter([b"hi"])))
    with pytest.raises(TypeError, match="cannot be awaited"):
        await upstream.open("GET", "/")


async def test_a_timeout_of_the_transports_own_is_not_the_total() -> None:
    def late(request: httpx.Request) -> httpx.Response:
        raise TimeoutError("mine")

    upstream = Upstream("http://x.test", timeouts=Timeouts(total=1), transport=httpx.MockTransport(late))
    with pytest.raises(UpstreamTimeout) as caught:
        await upstream.fetch("GET", "/")
    assert caught.value.code == "first_byte_timeout"


async def test_without_a_total_an_exchange_has_no_end() -> None:
    upstream = Upstream(
        "http://x.test", timeouts=Timeouts(total=None), transport=httpx.MockTransport(lambda _: httpx.Response(200))
    )
    assert (await upstream.fetch("GET", "/")).body == b""


async def test_the_total_counts_from_the_start_of_the_exchange() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        await peer.gone()

    async with serving(script) as server:
        upstream = Upstream(server.url, timeouts=Timeouts(total=0.5))
        stream = await upstream.open("GET", "/")
        assert await anext(stream) == b"a"
        await asyncio.sleep(0.5)
        with pytest.raises(UpstreamTimeout) as caught:
            await anext(stream)
        assert caught.value.code == "total_timeout"
        await upstream.aclose()


async def test_the_total_bounds_the_wait_for_a_connection_too() -> None:
    async with serving(silent) as server:
        transport = HTTPTransport(max_connections=1)
        patient = Upstream(server.url, transport=transport)
        upstream = Upstream(server.url, timeouts=Timeouts(first=0.05, total=0.1), transport=transport)
        first = asyncio.create_task(patient.open("GET", "/"))
        await server.until_open(1)
        second = asyncio.create_task(upstream.open("GET", "/"))
        with pytest.raises(UpstreamTimeout) as caught:
            await second
        assert caught.value.code == "total_timeout"
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await upstream.aclose()


@pytest.mark.parametrize("content", ["", "hi"])
@pytest.mark.parametrize("make", BOTH)
async def test_fields_in_common_go_with_every_request_beside_its_own(make: Make, content: str) -> None:
    async with serving(answering(OK)) as server:
        upstream = Upstream(server.url, headers={"a": "1"}, transport=make())
        for number in range(2):
            own = [(b"C", b"%d" % number)]
            await upstream.fetch("POST", "/", shared=((b"B", b"2"),), headers=own, content=content.encode())
        await upstream.aclose()
    host, size = server.url.removeprefix("http://"), len(content)
    for number, request in enumerate(server.requests):
        head, _, body = request.decode().partition("\r\n\r\n")
        fields = [
            f"host: {host}",
            "accept-encoding: identity",
            "a: 1",
            "b: 2",
            f"c: {number}",
            f"content-length: {size}",
        ]
        assert (head.lower().split("\r\n")[1:], body) == (fields, content)


async def test_urls_are_kept_for_a_bounded_number_of_paths() -> None:
    upstream = mocked(httpx.Response(200))
    for number in range(1000):
        await upstream.fetch("GET", f"/files/{number}")
    assert upstream._endpoint.cache_info().currsize <= 256


@pytest.mark.parametrize(("total", "left"), [(10.0, 0.2), (None, 0.2)])
async def test_an_earlier_deadline_of_the_caller_counts_and_says_nothing_about_the_upstream(
    total: float | None, left: float
) -> None:
    async with serving(silent) as server:
        upstream = Upstream(server.url, timeouts=Timeouts(total=total))
        with pytest.raises(UpstreamTimeout) as caught:
            await upstream.fetch("GET", "/", deadline=asyncio.get_running_loop().time() + left)
        assert (caught.value.code, caught.value.trips) == ("total_timeout", False)
        await upstream.aclose()


async def test_an_earlier_deadline_bounds_the_body_as_well() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        await peer.gone()

    async with serving(script) as server:
        upstream = Upstream(server.url)
        with pytest.raises(UpstreamTimeout) as caught:
            await upstream.fetch("GET", "/", deadline=asyncio.get_running_loop().time() + 0.3)
        assert (caught.value.code, caught.value.trips) == ("total_timeout", False)
        await upstream.aclose()


async def test_a_deadline_that_leaves_as_long_as_a_head_may_take_is_the_upstreams_fault() -> None:
    async with serving(silent) as server:
        upstream = Upstream(server.url, timeouts=Timeouts(first=0.1, total=10.0))
        with pytest.raises(UpstreamTimeout) as caught:
            await upstream.fetch("GET", "/", deadline=asyncio.get_running_loop().time() + 0.3)
        assert caught.value.trips
        await upstream.aclose()


async def test_nothing_is_sent_after_the_deadline() -> None:
    async with serving(silent) as server:
        upstream = Upstream(server.url)
        with pytest.raises(UpstreamTimeout, match="No time is left") as caught:
            await upstream.fetch("GET", "/", deadline=asyncio.get_running_loop().time())
        assert (caught.value.code, caught.value.trips) == ("total_timeout", False)
        await upstream.aclose()
    assert server.connections == 0

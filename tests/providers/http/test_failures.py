"""Each fault of an upstream has its error, on both transports."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest

from tests.providers.http.scripted_server import BOTH, Make, Peer, Script, busy, playing, serving, silent, until_quiet
from xrouter_asgi.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from xrouter_asgi.providers.http import Timeouts, Upstream
from xrouter_asgi.providers.http.failures import upstream_error

both = pytest.mark.parametrize("make", BOTH)

HEAD = b"HTTP/1.1 200 OK\r\n"


async def close(peer: Peer) -> None:
    await peer.request()


async def reset(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def reset_in_the_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(HEAD + b"\r\nhi")
    # The client has the head when it asks for more: only then may the reset discard what is on the way.
    await peer.server.go_on.wait()
    peer.reset()


async def trickle_the_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(HEAD)
    while True:
        await peer.send(b"x-a: b\r\n")
        await asyncio.sleep(0.01)


async def stall_in_the_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(HEAD + b"content-length: 5\r\n\r\nhi")
    await peer.gone()


async def trickle_the_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(HEAD + b"content-length: 100000\r\n\r\n")
    while True:
        await peer.send(b"x")
        await asyncio.sleep(0.01)


async def take_nothing(peer: Peer) -> None:
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a reading transport, though typed as a writing one
    await asyncio.Event().wait()


# The clock that a script has run out; all others are slow, so that a busy machine is no fault.
CLOCKS: dict[Script, Timeouts] = {
    silent: Timeouts(first=0.1),
    trickle_the_head: Timeouts(first=0.1),
    stall_in_the_body: Timeouts(idle=0.1),
}


@both
@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        (close, UpstreamUnavailable, "connection_lost"),
        (reset, UpstreamUnavailable, "connection_lost"),
        (playing(b"HTTP/1.1 200 OK\r\nx-a"), UpstreamUnavailable, "connection_lost"),
        (playing(HEAD + b"content-length: 5\r\n\r\nhi"), UpstreamUnavailable, "truncated"),
        (playing(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhi"), UpstreamUnavailable, "truncated"),
        (playing(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), UpstreamError, "bad_protocol"),
        (playing(HEAD + b"x: %b\r\n\r\n" % (b"a" * 300_000)), UpstreamError, "bad_protocol"),
        (playing(HEAD + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}"), UpstreamError, "bad_protocol"),
        (
            playing(b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n"),
            UpstreamError,
            "redirect_refused",
        ),
        (playing(HEAD + b"content-length: 2000\r\n\r\n" + b"x" * 2000), UpstreamError, "too_large"),
        (silent, UpstreamTimeout, "first_byte_timeout"),
        (trickle_the_head, UpstreamTimeout, "first_byte_timeout"),
        (stall_in_the_body, UpstreamTimeout, "idle_timeout"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_a_fault_has_its_error(make: Make, script: Script, kind: type[UpstreamError], code: str) -> None:
    async with serving(script) as server:
        transport = make()
        upstream = Upstream(server.url, timeouts=CLOCKS.get(script, Timeouts()), transport=transport)
        with pytest.raises(UpstreamError) as caught:
            await upstream.fetch("POST", "/v1/x?key=secret", content=b"{}", limit=1000)
        assert (type(caught.value), caught.value.code) == (kind, code)
        assert str(server.port) not in caught.value.message
        assert f"POST {server.url}/v1/x" in (caught.value.detail or "")
        assert "secret" not in (caught.value.detail or "")
        if script is not trickle_the_head:
            await until_quiet(transport)
            assert busy(transport) == 0
        await upstream.aclose()
        assert busy(transport) == 0
        await server.until_open(0)


@both
async def test_a_body_that_trickles_ends_at_the_total(make: Make) -> None:
    async with serving(trickle_the_body) as server:
        upstream = Upstream(server.url, timeouts=Timeouts(idle=5, total=0.2), transport=make())
        with pytest.raises(UpstreamTimeout) as caught:
            await upstream.fetch("GET", "/")
        assert caught.value.code == "total_timeout"
        await server.until_open(0)
        await upstream.aclose()


@both
async def test_a_silent_upstream_meets_the_total_if_that_is_shorter(make: Make) -> None:
    async with serving(silent) as server:
        upstream = Upstream(server.url, timeouts=Timeouts(first=5, total=0.1), transport=make())
        with pytest.raises(UpstreamTimeout) as caught:
            await upstream.open("GET", "/")
        assert caught.value.code == "total_timeout"
        await upstream.aclose()


@both
async def test_an_upstream_that_takes_no_request_meets_the_write_timeout(make: Make) -> None:
    timeouts = Timeouts(first=5, write=0.1)
    async with serving(take_nothing) as server:
        upstream = Upstream(server.url, timeouts=timeouts, transport=make())
        with pytest.raises(UpstreamTimeout) as caught:
            await upstream.fetch("POST", "/", content=bytes(16 << 20))
        assert caught.value.code == "write_timeout"
        await upstream.aclose()


@both
async def test_a_closed_port_refuses(make: Make) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        upstream = Upstream(f"http://127.0.0.1:{port}", transport=make())
        with pytest.raises(UpstreamUnavailable) as caught:
            await upstream.fetch("GET", "/")
        await upstream.aclose()
    assert caught.value.code == "connect_refused"
    assert caught.value.message == "The upstream refused the connection."


@both
async def test_a_full_accept_queue_meets_the_connect_timeout(make: Make) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        upstream = Upstream(f"http://127.0.0.1:{address[1]}", timeouts=Timeouts(connect=0.1), transport=make())
        with pytest.raises(UpstreamTimeout) as caught:
            await upstream.fetch("GET", "/")
        assert caught.value.code == "connect_timeout"
        await upstream.aclose()
        for filler in fillers:
            filler.close()


@both
async def test_a_name_that_does_not_resolve_is_a_dns_error(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*args: object, **options: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    upstream = Upstream("http://upstream.invalid", transport=make())
    with pytest.raises(UpstreamUnavailable) as caught:
        await upstream.fetch("GET", "/")
    assert caught.value.code == "dns_error"
    assert "invalid" not in caught.value.message
    await upstream.aclose()


@both
async def test_no_free_connection_is_a_503_to_be_repeated(make: Make) -> None:
    async with serving(silent) as server:
        transport = make(max_connections=1)
        upstream = Upstream(server.url, timeouts=Timeouts(first=5, pool=0.1), transport=transport)
        first = asyncio.create_task(upstream.fetch("GET", "/"))
        await server.until_open(1)
        with pytest.raises(UpstreamUnavailable) as caught:
            await upstream.fetch("GET", "/")
        error = caught.value
        assert (error.code, error.status, error.type) == ("pool_exhausted", 503, "service_unavailable_error")
        assert error.retry_after == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await upstream.aclose()


@both
async def test_a_connection_broken_in_a_body_of_unknown_length_is_lost(make: Make) -> None:
    async with serving(reset_in_the_body) as server:
        upstream = Upstream(server.url, transport=make())
        stream = await upstream.open("GET", "/")
        assert await anext(stream) == b"hi"
        server.go_on.set()
        with pytest.raises(UpstreamUnavailable) as caught:
            await anext(stream)
        assert caught.value.code == "connection_lost"
        await upstream.aclose()


@both
async def test_a_read_that_fails_closes_the_stream(make: Make) -> None:
    async with serving(stall_in_the_body) as server:
        transport = make()
        upstream = Upstream(server.url, timeouts=Timeouts(idle=0.1), transport=transport)
        stream = await upstream.open("GET", "/")
        with pytest.raises(UpstreamTimeout):
            async for _ in stream:
                pass
        await until_quiet(transport)
        assert busy(transport) == 0
        with pytest.raises(RuntimeError, match="closed"):
            await anext(stream)
        await upstream.aclose()


def subclasses(kind: type[BaseException]) -> list[type[BaseException]]:
    return [kind, *(deeper for sub in kind.__subclasses__() for deeper in subclasses(sub))]


@pytest.mark.parametrize("kind", subclasses(httpx.RequestError))
@pytest.mark.parametrize("started", [False, True])
def test_every_exception_of_httpx_has_an_error(kind: type[httpx.RequestError], started: bool) -> None:
    error = upstream_error(kind("http://secret.example"), started=started, where="GET http://x")
    assert isinstance(error, UpstreamError)
    assert error.code not in (None, "upstream_error", "upstream_timeout")
    assert "secret" not in error.message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<ConnectionTerminated error_code:0, last_stream_id:0, additional_data:None>", "connection_lost"),
        ("<StreamReset stream_id:1, error_code:8, remote_reset:True>", "connection_lost"),
        ("Server disconnected without sending a response.", "connection_lost"),
        ("illegal status line", "bad_protocol"),
    ],
)
def test_what_httpcore_says_only_in_words_is_told_apart(text: str, code: str) -> None:
    assert upstream_error(httpx.RemoteProtocolError(text), started=False, where="GET http://x").code == code


async def test_an_error_of_the_operating_system_in_a_foreign_transport_is_a_lost_connection() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise BrokenPipeError("gone")

    with pytest.raises(UpstreamUnavailable) as caught:
        await Upstream("http://x.test", transport=httpx.MockTransport(broken)).fetch("GET", "/")
    assert caught.value.code == "connection_lost"

"""What a client gets when there is no room for its connection."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from starlette.types import Receive, Scope, Send

from tests.edge import Answer, Client, connected, idle, on_both_loops, served
from xrouter_asgi.admission import Refusals, most_connections, raise_descriptors
from xrouter_asgi.server.connections import Connections, Place, is_probe

HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
STREAM = b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n"


class Streams:
    """Begins a stream for whoever asks, which lasts as long as the client; `/health` is answered at once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await idle(receive, send)
            return
        whole = scope["path"] == "/health"
        headers = [(b"content-length", b"2")] if whole else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok", "more_body": not whole})
        while not whole and (await receive())["type"] != "http.disconnect":
            pass


@asynccontextmanager
async def streaming(port: int, number: int) -> AsyncIterator[list[Client]]:
    """So many clients, each with the first bytes of its stream."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(port)) for _ in range(number)]
        for client in clients:
            client.send(STREAM)
            assert b" 200 " in await client.reader.readuntil(b"ok")
        yield clients


async def ask(port: int, request: bytes) -> Answer:
    async with connected(port) as client:
        client.send(request)
        return await client.last_answer()


@on_both_loops
async def test_beyond_the_bound_a_probe_is_answered_and_others_get_503() -> None:
    refusals = Refusals()
    async with (
        served(Streams(), connections=3, probes=("/health",), refusals=refusals) as port,
        streaming(port, 3),
    ):
        for _ in range(10):
            assert (await ask(port, HEALTH)).status == 200
            answer = await ask(port, STREAM)
            assert (answer.status, answer.error["code"]) == (503, "overloaded")
            assert int(answer.headers["retry-after"]) >= 1
    assert refusals.counts["connections"] == 10


@on_both_loops
async def test_a_connection_that_ends_makes_room_for_another() -> None:
    async with served(Streams(), connections=1) as port:
        for _ in range(3):
            async with streaming(port, 1):
                assert (await ask(port, HEALTH)).status == 503
            while (await ask(port, HEALTH)).status != 200:
                pass


@on_both_loops
async def test_beyond_the_bound_silence_is_told_no_within_a_second() -> None:
    async with (
        served(Streams(), connections=1) as port,
        streaming(port, 1),
        connected(port) as silent,
        connected(port) as slow,
    ):
        slow.send(b"GET / HT")
        async with asyncio.timeout(2):
            assert (await silent.last_answer()).status == 503
            assert (await slow.last_answer()).status == 408


@on_both_loops
async def test_an_address_with_many_silent_connections_keeps_no_probe_out() -> None:
    """Some of its own wait, and the others are told no."""
    async with (
        served(Streams(), connections=1, probes=("/health",)) as port,
        streaming(port, 1),
        AsyncExitStack() as stack,
    ):
        silent = [await stack.enter_async_context(connected(port)) for _ in range(60)]
        for host in ("127.0.0.2", "127.0.0.1"):
            async with connected(port, host=host) as probe:
                probe.send(HEALTH)
                assert (await probe.last_answer()).status == 200
        for client in silent:
            assert (await client.rest()).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(
    ("head", "probe"),
    [
        (b"GET /health HTTP/1.1\r\n", True),
        (b"HEAD /ready?x HTTP/1.1\r\n", True),
        (b"GET /healthy HTTP/1.1\r\n", False),
        (b"POST /v1/chat/completions HTTP/1.1\r\n", False),
        (b"", False),
    ],
)
def test_a_probe_is_known_by_its_first_line(head: bytes, probe: bool) -> None:
    assert is_probe(head, ("/health", "/ready")) is probe


@on_both_loops
async def test_an_address_may_have_a_bound_of_its_own() -> None:
    async with served(Streams(), connections_per_address=2) as port, streaming(port, 2):
        assert (await ask(port, STREAM)).status == 503


@on_both_loops
async def test_a_trusted_proxy_has_no_bound_of_its_own() -> None:
    async with (
        served(Streams(), connections_per_address=2, trusted_proxies=["127.0.0.0/8"]) as port,
        streaming(port, 5),
    ):
        pass


def test_the_addresses_of_one_network_of_ipv6_count_together_and_a_unix_socket_counts_for_nobody() -> None:
    connections = Connections(10, most_of_address=1)
    places = [connections.enter(host) for host in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "", "")]
    assert places == [Place.SERVED, Place.RESERVED, Place.SERVED, Place.SERVED, Place.SERVED]


def test_connections_wait_in_the_kernel_while_the_reserve_is_full() -> None:
    connections = Connections(1)
    hosts = [f"10.0.0.{number}" for number in range(33)]
    places = [connections.enter(host) for host in hosts]
    assert places == [Place.SERVED] + [Place.RESERVED] * 32
    assert not connections.any_room
    assert connections.enter("10.0.1.1") is Place.REFUSED
    connections.leave("10.0.1.1", Place.REFUSED)
    assert not connections.any_room
    connections.leave(hosts[1], Place.RESERVED)
    assert connections.any_room


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_descriptors")
def test_half_of_the_descriptors_are_for_clients() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    assert most_connections() == 480
    raise_descriptors()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


@pytest.mark.usefixtures("few_descriptors")
@on_both_loops
async def test_a_client_that_comes_when_no_descriptor_is_left_is_served_when_there_is_one() -> None:
    async with served(Streams()) as port, AsyncExitStack() as stack:
        client = stack.enter_context(socket.socket())
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
        held = []
        with suppress(OSError):
            while True:
                held.append(stack.enter_context(socket.socket()))
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        await asyncio.sleep(0.05)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        reader, writer = await asyncio.open_connection(sock=client)
        writer.write(HEALTH)
        async with asyncio.timeout(10):
            assert await reader.readuntil(b"ok")
        writer.transport.abort()

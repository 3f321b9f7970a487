"""The transport below uvicorn: what is written apart goes out together, and nothing stays behind."""

from __future__ import annotations

import asyncio

import pytest

from xrouter_asgi.server.corking import CorkedTransport

pytestmark = pytest.mark.asyncio

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Transport(asyncio.Transport):
    """Notes what is written, write by write."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.writes: list[bytes] = []
        self.closed_after: int | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed_after is not None

    def close(self) -> None:
        self.closed_after = len(self.writes)


@pytest.fixture
async def transport() -> Transport:
    return Transport()


@pytest.fixture
async def corked(transport: Transport) -> CorkedTransport:
    return CorkedTransport(transport, asyncio.get_running_loop())


async def test_a_head_and_its_body_are_one_write(transport: Transport, corked: CorkedTransport) -> None:
    corked.write(HEAD)
    corked.write(b"{}")
    await asyncio.sleep(0)
    assert transport.writes == [HEAD + b"{}"]


async def test_a_head_without_a_body_goes_out_in_the_next_turn(transport: Transport, corked: CorkedTransport) -> None:
    corked.write(HEAD)
    assert not transport.writes
    await asyncio.sleep(0)
    assert transport.writes == [HEAD]


async def test_what_follows_a_body_is_not_held_back(transport: Transport, corked: CorkedTransport) -> None:
    corked.write(HEAD)
    corked.write(b"first")
    corked.write(b"second")
    assert transport.writes == [HEAD + b"first", b"second"]


async def test_two_heads_of_pipelined_answers_keep_their_order(transport: Transport, corked: CorkedTransport) -> None:
    corked.write(HEAD)
    corked.write(HEAD)
    await asyncio.sleep(0)
    assert b"".join(transport.writes) == HEAD + HEAD


async def test_a_head_is_sent_before_the_connection_closes(transport: Transport, corked: CorkedTransport) -> None:
    corked.write(HEAD)
    corked.close()
    assert transport.writes == [HEAD]
    assert transport.closed_after == 1
    assert corked.is_closing()


async def test_what_is_known_of_a_connection_is_the_transports_own(corked: CorkedTransport) -> None:
    assert corked.get_extra_info("peername") == ("127.0.0.1", 1)

"""One connection, with its clock and its transport in the test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import httpx
import pytest

from xrouter_asgi.providers.http.connection import HIGH_WATER, Connection
from xrouter_asgi.providers.http.failures import StaleConnection

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Timer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self._when = when
        self.callback = callback
        self.cancelled = False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Just what a connection asks of its loop; `advance` makes time pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []
        self.armed = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        self.armed += 1
        timer = Timer(when, callback)
        self.timers.append(timer)
        return timer

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := sorted((t for t in self.timers if not t.cancelled and t.when() <= end), key=Timer.when):
            self.now = due[0].when()
            self.timers.remove(due[0])
            due[0].callback()
        self.now = end


class Transport:
    """Notes what a connection does to it; `taking` is how many bytes the other side takes at once."""

    def __init__(self, taking: int = 1 << 30) -> None:
        self.taking = taking
        self.written = b""
        self.aborted = False
        self.paused = 0
        self.resumed = 0
        self.protocol: Connection | None = None

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        assert (high, low) == (1, 0)

    def write(self, data: bytes) -> None:
        self.written += data
        if len(data) > self.taking and self.protocol is not None:
            self.protocol.pause_writing()

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.paused += 1

    def resume_reading(self) -> None:
        self.resumed += 1


class Bench:
    def __init__(self, taking: int = 1 << 30) -> None:
        self.loop = Loop()
        self.transport = Transport(taking)
        self.lost: list[Connection] = []
        self.connection = Connection(cast("asyncio.AbstractEventLoop", self.loop), lost=self.lost.append)
        self.transport.protocol = self.connection
        self.connection.connection_made(cast("asyncio.Transport", self.transport))

    async def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run it up to where it waits."""
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0)
        return task

    async def send(self, *, write: float | None = 5, first: float | None = 10) -> asyncio.Task[Any]:
        return await self.start(self.connection.send(b"request", "GET", write=write, first=first))

    async def exchange(self) -> None:
        sending = await self.send()
        self.connection.data_received(HEAD + b"hi")
        await sending
        assert await self.connection.read(5) == b"hi"
        assert self.connection.finish()


async def test_exchanges_that_go_well_arm_hardly_any_timer() -> None:
    bench = Bench()
    for _ in range(100):
        await bench.exchange()
        bench.connection.rest(14)
        bench.loop.advance(0.01)
    assert bench.loop.armed == 1


async def test_a_timer_that_fires_too_early_is_armed_again() -> None:
    bench = Bench()
    await bench.exchange()  # Its timer stands at 10 s.
    bench.loop.advance(6)
    bench.connection.rest(14)
    bench.loop.advance(13.9)
    assert not bench.transport.aborted
    assert not bench.connection.expired
    bench.loop.advance(0.1)
    assert bench.transport.aborted
    assert bench.lost == [bench.connection]


async def test_a_timer_that_fires_while_nobody_waits_does_nothing() -> None:
    bench = Bench()
    sending = await bench.send()
    bench.connection.data_received(HEAD)
    await sending
    bench.loop.advance(1000)
    assert not bench.transport.aborted
    reading = await bench.start(bench.connection.read(5))
    bench.loop.advance(4.9)
    assert not reading.done()
    bench.loop.advance(0.1)
    with pytest.raises(httpx.ReadTimeout):
        await reading
    assert bench.transport.aborted


async def test_framing_without_content_does_not_extend_the_idle_time() -> None:
    bench = Bench()
    sending = await bench.send()
    bench.connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;")
    await sending
    reading = await bench.start(bench.connection.read(5))
    for _ in range(6):
        bench.connection.data_received(b"x")
        await asyncio.sleep(0)
        bench.loop.advance(1)
    with pytest.raises(httpx.ReadTimeout):
        await reading


async def test_the_first_clock_starts_when_the_request_is_written() -> None:
    bench = Bench(taking=3)
    sending = await bench.send(write=5, first=10)
    bench.loop.advance(4)
    bench.connection.resume_writing()
    bench.loop.advance(9.9)
    assert not sending.done()
    bench.loop.advance(0.1)
    with pytest.raises(httpx.ReadTimeout):
        await sending


@pytest.mark.parametrize("write", [5, None])
async def test_a_request_that_is_not_taken_meets_only_the_write_clock(write: float | None) -> None:
    bench = Bench(taking=3)
    sending = await bench.send(write=write, first=1)
    bench.loop.advance(4.9)
    await asyncio.sleep(0)
    assert not sending.done()
    bench.loop.advance(0.1)
    if write is None:
        bench.connection.resume_writing()
        bench.loop.advance(1)
    with pytest.raises(httpx.ReadTimeout if write is None else httpx.WriteTimeout):
        await sending


async def test_writing_on_after_an_early_answer_starts_no_clock_and_the_connection_ends() -> None:
    bench = Bench(taking=3)
    sending = await bench.send()
    bench.connection.data_received(HEAD + b"hi")
    answer = await sending
    assert answer.complete
    bench.connection.resume_writing()
    bench.loop.advance(1000)
    assert not bench.transport.aborted
    bench.connection.pause_writing()
    assert not bench.connection.finish()


async def test_reading_pauses_above_the_mark_and_goes_on_when_taken() -> None:
    bench = Bench()
    sending = await bench.send()
    bench.connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    await sending
    bench.connection.data_received(bytes(HIGH_WATER))
    assert bench.transport.paused == 0
    bench.connection.data_received(b"x")
    assert (bench.transport.paused, bench.transport.resumed) == (1, 0)
    assert len(await bench.connection.read(5)) == HIGH_WATER + 1
    assert (bench.transport.paused, bench.transport.resumed) == (1, 1)


async def test_what_came_before_the_break_is_read_before_the_error() -> None:
    bench = Bench()
    sending = await bench.send()
    bench.connection.data_received(HEAD + b"h")
    bench.connection.connection_lost(ConnectionResetError("reset"))
    await sending
    assert await bench.connection.read(5) == b"h"
    with pytest.raises(httpx.RemoteProtocolError, match="reset"):
        await bench.connection.read(5)


@pytest.mark.parametrize("cut", ["by us", "by the clock"])
async def test_a_body_without_a_length_that_is_cut_off_here_is_not_whole(cut: str) -> None:
    bench = Bench()
    sending = await bench.send()
    bench.connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    await sending
    assert await bench.connection.read(5) == b"half"
    reading = await bench.start(bench.connection.read(5))
    if cut == "by us":
        bench.connection.close()
    else:
        bench.loop.advance(5)
    bench.connection.connection_lost(None)  # in order, as far as the loop knows
    with pytest.raises(httpx.ReadError if cut == "by us" else httpx.ReadTimeout):
        await reading


async def test_news_that_came_before_the_clock_was_looked_at_are_not_late() -> None:
    bench = Bench()
    sending = await bench.send(first=10)
    bench.connection.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    bench.loop.advance(10)  # before whoever waits has run
    await sending
    reading = await bench.start(bench.connection.read(5))
    bench.connection.data_received(b"a")
    bench.loop.advance(5)
    assert await reading == b"a"
    assert not bench.transport.aborted


async def test_news_that_are_not_what_was_waited_for_are_late_in_the_next_tick() -> None:
    bench = Bench()
    sending = await bench.send(first=10)
    bench.connection.data_received(b"HTTP/1.1 2")
    bench.loop.advance(10)
    await asyncio.sleep(0)
    assert not bench.transport.aborted
    bench.loop.advance(0.001)
    with pytest.raises(httpx.ReadTimeout):
        await sending


async def test_a_connection_made_for_someone_who_left_is_aborted() -> None:
    bench = Bench()
    late = Transport()
    connection = Connection(cast("asyncio.AbstractEventLoop", bench.loop), lost=bench.lost.append)
    connection.close()
    connection.connection_made(cast("asyncio.Transport", late))
    assert late.aborted


async def test_a_connection_is_reported_lost_once_and_only_at_rest() -> None:
    bench = Bench()
    await bench.exchange()
    bench.connection.data_received(b"unasked")
    bench.connection.data_received(b"more")
    bench.connection.connection_lost(None)
    assert bench.lost == [bench.connection]
    busy = Bench()
    sending = await busy.send()
    busy.connection.connection_lost(None)
    with pytest.raises(httpx.ReadError):
        await sending
    assert busy.lost == []


async def test_only_a_reused_connection_without_a_byte_of_an_answer_is_stale() -> None:
    fresh = Bench()
    sending = await fresh.send()
    fresh.connection.connection_lost(None)
    with pytest.raises(httpx.ReadError) as caught:
        await sending
    assert not isinstance(caught.value, StaleConnection)

    reused = Bench()
    await reused.exchange()
    sending = await reused.send()
    reused.connection.connection_lost(None)
    with pytest.raises(StaleConnection):
        await sending

    begun = Bench()
    await begun.exchange()
    sending = await begun.send()
    begun.connection.data_received(b"H")
    begun.connection.connection_lost(None)
    with pytest.raises(httpx.ReadError) as caught:
        await sending
    assert not isinstance(caught.value, StaleConnection)

    closed = Bench()
    await closed.exchange()
    sending = await closed.send()
    closed.connection.close()
    with pytest.raises(httpx.ReadError) as caught:
        await sending
    assert not isinstance(caught.value, StaleConnection)

"""An upstream that no connection leads to: there is nothing to read, and no request of ours was seen."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trustme

from xrouter_asgi.testing.http import FakeExchange, FakeServer
from xrouter_asgi.testing.openai import FakeOpenAI, identity, raw, refuse

from .stand import Stand, Told, facing, standing

Table: TypeAlias = dict[str, Any]
Place: TypeAlias = Callable[[Path], AbstractAsyncContextManager[Table]]


@asynccontextmanager
async def closed_port(folder: Path) -> AsyncIterator[Table]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield {"base_url": f"http://127.0.0.1:{bound.getsockname()[1]}"}


@asynccontextmanager
async def full_queue(folder: Path) -> AsyncIterator[Table]:
    """A listener that accepts nobody."""
    fillers = [socket.socket() for _ in range(8)]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield {"base_url": f"http://127.0.0.1:{listener.getsockname()[1]}", "timeouts": {"connect": 0.05}}
        for filler in fillers:
            filler.close()


@asynccontextmanager
async def no_such_name(folder: Path) -> AsyncIterator[Table]:
    async def unknown(*args: object, **options: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
        yield {"base_url": "http://upstream.invalid"}


@asynccontextmanager
async def plain_port(folder: Path) -> AsyncIterator[Table]:
    """HTTP without TLS, which takes the first bytes of a handshake for a bad request."""

    async def complain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(identity(b"", status=400, length=0))
        writer.close()

    async with await asyncio.start_server(complain, "127.0.0.1", 0) as server:
        yield {"base_url": f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"}


@asynccontextmanager
async def over_tls(folder: Path, *, name: str = "localhost", age: int = 0, known: bool = True) -> AsyncIterator[Table]:
    """A certificate for a name, that expired `age` days ago, from an authority that is `known` or not."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    end = datetime.now(UTC) + timedelta(days=1 - 2 * age)
    authority.issue_cert(name, not_after=end, not_before=end - timedelta(days=9)).configure_cert(context)
    bundle = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))

    async def answer(exchange: FakeExchange) -> None:
        await refuse(503)(exchange)

    async with FakeServer(answer, tls=context) as server:
        yield {"base_url": f"{server.url}/v1", **({"ca_bundle": str(bundle)} if known else {})}


@dataclass(frozen=True)
class Unreached:
    """One way not to be reached, and its columns: see `stand.Row`. All of them fall back and count."""

    name: str
    place: Place
    status: int
    code: str
    attempts: int


UNREACHED = pytest.mark.parametrize(
    "row",
    [
        Unreached("refused", closed_port, 502, "connect_refused", attempts=3),
        Unreached("hangs", full_queue, 504, "connect_timeout", attempts=3),
        Unreached("no such name", no_such_name, 502, "dns_error", attempts=2),
        Unreached("TLS to a plain port", plain_port, 502, "tls_error", attempts=1),
        Unreached("unknown authority", partial(over_tls, known=False), 502, "tls_error", attempts=1),
        Unreached("wrong name", partial(over_tls, name="other.test"), 502, "tls_error", attempts=1),
        Unreached("expired", partial(over_tls, age=1), 502, "tls_error", attempts=1),
        # All in order: what was asked is what answers, or the rows above would fail for another reason.
        Unreached("good certificate", over_tls, 503, "upstream_unavailable", attempts=3),
    ],
    ids=lambda row: row.name,
)


@UNREACHED
async def test_an_upstream_that_is_not_reached_has_its_status_code_and_attempts(row: Unreached, tmp_path: Path) -> None:
    async with row.place(tmp_path) as table, standing({"kind": "openai", **table}) as stand:
        told = await stand.ask("alone")
    assert (told.answer.status, told.answer.error["code"]) == (row.status, row.code)
    assert told.labels == [row.code] * row.attempts
    assert told.answer.header("x-xrouter-attempts") == str(row.attempts)


@UNREACHED
async def test_an_upstream_that_is_not_reached_is_made_good_by_the_next_target(row: Unreached, tmp_path: Path) -> None:
    async with row.place(tmp_path) as table, standing({"kind": "openai", **table}) as stand:
        told = await stand.ask("pair")
        await stand.ask_many("pair")
        assert stand.breaker("pair").state == "open"
    assert [attempt.provider for attempt in told.attempts] == ["first"] * row.attempts + ["second"]
    assert (told.answer.status, told.answer.header("x-xrouter-provider")) == (200, "second")


@pytest.mark.parametrize("lanes", [200, 20, 1], ids=["at once", "in 20 lanes", "one after another"])
async def test_two_hundred_requests_at_a_dead_upstream_make_at_most_270_attempts(lanes: int, tmp_path: Path) -> None:
    async def lane(stand: Stand) -> list[Told]:
        return [await stand.ask("alone") for _ in range(200 // lanes)]

    async with closed_port(tmp_path) as table, standing({"kind": "openai", **table}) as stand:
        told = [one for each in await asyncio.gather(*(lane(stand) for _ in range(lanes))) for one in each]
    assert {(one.answer.status, one.answer.error["code"]) for one in told} == {(502, "connect_refused")}
    attempts = sum(int(one.answer.header("x-xrouter-attempts") or 0) for one in told)
    assert 200 < attempts <= 1.2 * 200 + 30


async def silence(exchange: FakeExchange) -> None:
    """Nothing, until the client goes."""
    await exchange.gone.wait()


async def test_a_pool_without_a_free_slot_refuses_at_once_and_blames_nobody() -> None:
    async with FakeOpenAI() as fake, facing(fake, timeouts={"pool": 0.01}, max_connections=1) as stand:
        fake.next(silence)
        holding = asyncio.create_task(stand.ask("alone"))
        await fake.arrived()
        told = await stand.ask("alone")
        many = await stand.ask_many("pair")
        holding.cancel()
        await asyncio.wait([holding])
        assert stand.breaker("pair").state == "closed"
    assert (told.answer.status, told.answer.error["code"]) == (503, "pool_exhausted")
    assert told.answer.header("retry-after") == "1"
    assert told.labels == ["pool_exhausted"]
    assert {one.answer.header("x-xrouter-provider") for one in many} == {"second"}


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_kept_connection_that_was_lost_meanwhile_costs_no_attempt(then: Any) -> None:
    async with FakeOpenAI() as fake, facing(fake) as stand:
        await stand.ask("pair")
        fake.next(raw(then=then))
        told = await stand.ask("pair")
        assert stand.breaker("pair").state == "closed"
    assert (told.answer.status, told.answer.header("x-xrouter-provider")) == (200, "first")
    assert told.labels == [None]
    assert (len(fake.requests), fake.connections) == (3, 2)

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.asgi_client import post
from tests.bookkeeping.requests import ended
from tests.ledger.entries import entry
from xrouter_asgi import LLMRouter, Price, Prices, RequestEventsMiddleware
from xrouter_asgi.bookkeeping import Ledger
from xrouter_asgi.bookkeeping import ledger as module
from xrouter_asgi.context import RequestContext
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.events import EntriesDropped, EntriesKept, RequestStarted
from xrouter_asgi.ledger import ALL, Entry, LedgerUnavailable, MemoryLedger
from xrouter_asgi.testing.clock import LoopClock
from xrouter_asgi.testing.scripted import ScriptedProvider, chat

NOW = 1_764_500_000.0


class Failing(MemoryLedger):
    """A store that may be away, and tells when it was asked."""

    def __init__(self, *, away: bool = False) -> None:
        super().__init__()
        self.away = away
        self.asked = asyncio.Event()
        self.batches: list[int] = []
        self.closed = False

    async def write(self, entries: Sequence[Entry], /) -> None:
        self.asked.set()
        if self.away:
            raise LedgerUnavailable("It is away.", detail="connection refused")
        self.batches.append(len(entries))
        await super().write(entries)

    async def aclose(self) -> None:
        self.closed = True


async def written(store: MemoryLedger) -> Sequence[Entry]:
    return (await store.entries(limit=100_000)).entries


@pytest.fixture
async def clock() -> LoopClock:
    return LoopClock()


async def test_what_waits_is_written_within_a_second_in_one_transaction(clock: LoopClock) -> None:
    store = Failing()
    ledger = Ledger(store)
    for _ in range(3):
        ledger(ended())
    assert ledger.backlog == 3
    await asyncio.sleep(0)
    assert store.batches == []
    clock.advance(1)
    await store.asked.wait()
    assert store.batches == [3]
    ledger(ended())
    clock.advance(1)
    await asyncio.sleep(0.01)
    assert store.batches == [3, 1]
    await ledger.aclose()
    assert ledger.backlog == 0


async def test_a_full_batch_does_not_wait() -> None:
    store = Failing()
    ledger = Ledger(store)
    for _ in range(2 * module.BATCH + 1):
        ledger(ended())
    await store.asked.wait()
    await asyncio.sleep(0)
    assert store.batches[:2] == [module.BATCH, module.BATCH]
    await ledger.aclose()
    assert store.batches == [module.BATCH, module.BATCH, 1]


async def test_closing_writes_what_waits_and_closes_the_store() -> None:
    store = Failing()
    ledger = Ledger(store)
    ledger(ended())
    await ledger.aclose()
    assert store.batches == [1]
    assert store.closed


async def test_a_request_that_ends_after_the_closing_is_not_a_failure() -> None:
    ledger = Ledger(MemoryLedger())
    await ledger.aclose()
    ledger(ended())
    assert ledger.backlog == 1


async def test_only_requests_that_asked_an_upstream_are_written_down() -> None:
    store = MemoryLedger()
    ledger = Ledger(store)
    ledger(RequestStarted(RequestContext()))
    ledger(ended(attempts=()))
    ledger(ended())
    await ledger.aclose()
    assert len(await written(store)) == 1


async def test_no_two_entries_have_the_same_id_though_clients_choose_that_of_their_request() -> None:
    store = MemoryLedger()
    one, other = Ledger(store), Ledger(store)
    for ledger in (one, one, other):
        ledger(ended(request_id="mine"))
    await one.aclose()
    await other.aclose()
    assert [each.request_id for each in await written(store)] == ["mine"] * 3


async def test_what_a_store_that_was_away_missed_is_written_when_it_is_back(
    clock: LoopClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Failing(away=True)
    ledger = Ledger(store)
    ledger(ended())
    for _ in range(3):
        clock.advance(1.1)
        await store.asked.wait()
        store.asked.clear()
        ledger(ended())
    assert caplog.text.count("The ledger is away: connection refused") == 1
    store.away = False
    clock.advance(1.1)
    await store.asked.wait()
    await asyncio.sleep(0.01)
    assert store.batches == [4]
    assert "The ledger is back" in caplog.text
    await ledger.aclose()


async def test_more_than_the_queue_holds_is_counted_and_alerted_once(
    clock: LoopClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE", 3)
    store = Failing(away=True)
    ledger = Ledger(store)
    events: list[Any] = []
    for _ in range(5):
        ledger(ended(observers=[events.append]))
    assert (ledger.backlog, ledger.dropped) == (3, 2)
    assert [type(event) for event in events] == [EntriesDropped]
    store.away = False
    clock.advance(1.1)
    await store.asked.wait()
    await asyncio.sleep(0)
    ledger(ended(observers=[events.append]))
    assert [type(event) for event in events] == [EntriesDropped, EntriesKept]
    await ledger.aclose()
    assert len(await written(store)) == 4


async def test_closing_while_the_store_is_away_says_what_is_lost_and_does_not_wait(
    clock: LoopClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Failing(away=True)
    ledger = Ledger(store)
    ledger(ended())
    clock.advance(1.1)
    await store.asked.wait()  # and now it waits for the next try
    async with asyncio.timeout(0.5):
        await ledger.aclose()
    assert "1 entries of the ledger are lost: connection refused" in caplog.text
    assert store.closed


async def test_a_store_that_hangs_holds_up_no_request() -> None:
    class Hanging(MemoryLedger):
        async def write(self, entries: Sequence[Entry], /) -> None:
            await asyncio.Event().wait()

    ledger = Ledger(Hanging())
    app = RequestEventsMiddleware(LLMRouter({"scripted": ScriptedProvider()}), observers=[ledger])
    for _ in range(module.BATCH + 1):
        ledger(ended())
    async with asyncio.timeout(5):
        assert (await post(app, "/v1/chat/completions", chat())).status == 200
    assert ledger.backlog == module.BATCH + 2
    assert ledger._writing is not None
    ledger._writing.cancel()


async def test_old_entries_are_deleted_and_their_sums_stay(clock: LoopClock) -> None:
    store = MemoryLedger()
    now = datetime.fromtimestamp(NOW, UTC)
    await store.write([entry(now - timedelta(days=days)) for days in (1, 6, 8, 100)])
    ledger = Ledger(store, retention=7, clock=lambda: NOW)
    ledger(ended())
    clock.advance(1.1)
    await asyncio.sleep(0.01)
    assert len(await written(store)) == 3
    assert await store.spent(ALL, now - timedelta(days=200)) == 400
    await ledger.aclose()


async def test_pruning_that_fails_is_a_line_in_the_log(clock: LoopClock, caplog: pytest.LogCaptureFixture) -> None:
    class Unprunable(MemoryLedger):
        async def prune(self, before: datetime, /) -> int:
            raise LedgerUnavailable("Away.", detail="connection refused")

    ledger = Ledger(Unprunable())
    ledger(ended())
    clock.advance(1.1)
    await asyncio.sleep(0.01)
    assert "Old entries of the ledger could not be deleted: connection refused" in caplog.text
    await ledger.aclose()


async def test_it_works_alone_around_a_router() -> None:
    store = MemoryLedger()
    ledger = Ledger(store, prices=Prices({"scripted/*": Price(input=1, output=2)}))
    router = LLMRouter({"scripted": ScriptedProvider()})
    app = RequestEventsMiddleware(router, observers=[ledger])
    assert (await post(app, "/v1/chat/completions", chat())).status == 200
    await ledger.aclose()
    (kept,) = await written(store)
    assert (kept.model, kept.input, kept.output, kept.cost, kept.estimated) == ("scripted", 3, 2, 7000, False)


async def test_a_failed_request_is_an_error_that_cost_nothing() -> None:
    store = MemoryLedger()
    ledger = Ledger(store, prices=Prices({"scripted/*": Price(input=1, output=2)}))
    router = LLMRouter({"scripted": ScriptedProvider(UpstreamUnavailable("No."))})
    app = RequestEventsMiddleware(router, observers=[ledger])
    assert (await post(app, "/v1/chat/completions", chat())).status == 502
    await ledger.aclose()
    (kept,) = await written(store)
    assert (kept.error, kept.status, kept.cost, kept.provider) == ("upstream_unreachable", 502, 0, None)


def test_a_retention_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="'retention' is 0"):
        Ledger(MemoryLedger(), retention=0)

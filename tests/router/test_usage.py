"""`GET /v1/usage`: what a caller's own key has used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.asgi_client import Answer, get, post, request
from tests.ledger.entries import entry
from xrouter_asgi import LLMRouter, Price, Prices, Principal, RateLimitMiddleware, RequestEventsMiddleware
from xrouter_asgi.bookkeeping import Ledger
from xrouter_asgi.context import RequestContext
from xrouter_asgi.ledger import Entry, LedgerUnavailable, MemoryLedger
from xrouter_asgi.router.openapi import openapi
from xrouter_asgi.router.usage import OwnUsage
from xrouter_asgi.testing.scripted import ScriptedProvider, chat

MOSCOW = ZoneInfo("Europe/Moscow")
ANN = Principal("key_1", owner="ann")
PRICES = Prices({"scripted/*": Price(input=1, output=2)})


def known(app: ASGIApp, principal: Principal | None) -> ASGIApp:
    """The app behind a middleware that knows who calls."""

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        RequestContext.of(scope).principal = principal
        await app(scope, receive, send)

    return inside


def router(ledger: MemoryLedger, **options: Any) -> LLMRouter:
    return LLMRouter({"scripted": ScriptedProvider()}, usage=OwnUsage(ledger, **options))


async def asked(ledger: MemoryLedger, query: str = "", principal: Principal | None = ANN) -> Answer:
    return await request(known(router(ledger), principal), "GET", "/v1/usage", query=query)


@pytest.fixture
async def ledger() -> MemoryLedger:
    now = datetime.now(UTC)
    ledger = MemoryLedger()
    await ledger.write(
        [
            entry(now, cost=1_500_000_000),
            entry(now, model="large", cost=250_000_000, error="upstream_error"),
            entry(now, key="key_2", cost=7_000_000_000),
            entry(now - timedelta(days=20), model="large", cost=3_000_000_000, output=0),
            entry(now - timedelta(days=40), cost=9_000_000_000),
        ]
    )
    return ledger


async def test_a_key_sees_what_it_has_used_in_the_last_30_days_and_nothing_of_others(ledger: MemoryLedger) -> None:
    answer = (await asked(ledger)).json
    assert (answer["cost"], answer["currency"], answer["requests"], answer["failed_requests"]) == ("4.75", "USD", 3, 1)
    assert (answer["input_tokens"], answer["output_tokens"], answer["reasoning_tokens"]) == (30, 10, 6)
    assert answer["data"] == []
    assert answer["budgets"] == []


async def test_it_is_split_by_what_is_asked_for(ledger: MemoryLedger) -> None:
    answer = (await asked(ledger, "by=model")).json
    assert [(each["model"], each["cost"]) for each in answer["data"]] == [("large", "3.25"), ("small", "1.5")]
    answer = (await asked(ledger, "by=model,day&since=2d")).json
    assert [each["model"] for each in answer["data"]] == ["small", "large"]
    assert answer["cost"] == "1.75"


async def test_a_day_is_counted_whole_and_said_in_the_time_zone_of_the_ledger() -> None:
    ledger = MemoryLedger(timezone=MOSCOW)
    app = known(router(ledger, timezone=MOSCOW, currency="RUB"), Principal("key_1"))
    answer = (await request(app, "GET", "/v1/usage", query="since=2026-11-30T15:00")).json
    assert answer["since"] == "2026-11-30T00:00:00+03:00"
    assert answer["currency"] == "RUB"


@pytest.mark.parametrize(
    ("query", "param", "message"),
    [
        ("since=yesterday", "since", "'yesterday' is not a time. Write 30d, 12h, 2026-11 or 2026-11-30."),
        ("since=", "since", "'' is not a time."),
        ("since=99999999d", "since", "is not a time"),
        ("since=99999w", "since", "is not a time"),
        ("by=owner", "by", "Sums cannot be split by 'owner'. Known: day, month, model, provider."),
        ("until=30d", "until", "Unknown parameter: 'until'. Known: 'since', 'by'."),
    ],
)
async def test_a_query_that_cannot_be_answered_is_told(
    ledger: MemoryLedger, query: str, param: str, message: str
) -> None:
    answer = await asked(ledger, query)
    assert answer.status == 400
    assert answer.json["error"]["param"] == param
    assert message in answer.json["error"]["message"]


async def test_without_a_key_there_is_nothing_to_tell(ledger: MemoryLedger) -> None:
    answer = await asked(ledger, principal=None)
    assert answer.status == 403
    assert answer.json["error"]["message"] == "Usage belongs to an API key, and this request has none."


async def test_a_key_of_few_scopes_may_see_what_it_has_used(ledger: MemoryLedger) -> None:
    assert (await asked(ledger, principal=Principal("key_1", scopes=frozenset({"chat"})))).status == 200


async def test_a_ledger_that_is_away_is_a_503() -> None:
    class Away(MemoryLedger):
        async def sums(self, **asked: Any) -> Any:
            raise LedgerUnavailable("The ledger cannot be asked right now. Try again in a moment.")

    answer = await asked(Away())
    assert (answer.status, answer.json["error"]["code"]) == (503, "ledger_unavailable")


async def test_a_router_without_a_ledger_has_no_such_path() -> None:
    bare = LLMRouter({"scripted": ScriptedProvider()})
    assert (await get(bare, "/v1/usage")).status == 404
    assert "/v1/usage" not in openapi("/")["paths"]
    assert "/v1/usage" in openapi("/", usage=True)["paths"]


async def test_each_budget_is_told_with_what_is_left_and_when_it_begins_again() -> None:
    store = MemoryLedger()
    ledger = Ledger(store, prices=PRICES)
    inner = LLMRouter({"scripted": ScriptedProvider()}, usage=OwnUsage(store))
    limit = "1 USD/calendar month per owner; 5 USD/day per all; 3 USD/day per model; 60/minute"
    limited = RateLimitMiddleware(inner, limit=limit, models={"scripted": "2 USD/day"}, prices=PRICES)
    app = known(RequestEventsMiddleware(limited, observers=[ledger]), ANN)
    assert (await post(app, "/v1/chat/completions", chat(max_tokens=5))).status == 200
    answer = (await get(app, "/v1/usage")).json
    told = [(each["limit"], each["per"], each["model"], each["remaining"]) for each in answer["budgets"]]
    assert told == [
        ("1 USD per calendar month", "owner", None, "0.999993 USD"),
        ("5 USD per 1 day", "all", None, "4.999993 USD"),
        ("2 USD per 1 day", "key", "scripted", "1.999993 USD"),
    ]
    reset = datetime.fromisoformat(answer["budgets"][0]["reset"])
    assert reset > datetime.now(UTC)
    assert (reset.day, reset.hour) == (1, 0)
    await ledger.aclose()
    (kept,) = (await store.entries()).entries
    assert isinstance(kept, Entry)
    assert (kept.key, kept.owner, kept.cost) == ("key_1", "ann", 7000)

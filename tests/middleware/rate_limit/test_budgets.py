"""Limits of money: what a caller is told of them, and that nothing is spent which they do not allow."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.asgi_client import Answer, Exchange, body_messages, http_scope, post
from xrouter_asgi import (
    Candidate,
    Fallback,
    LLMRouter,
    MemoryLimits,
    Price,
    Prices,
    Principal,
    RateLimitMiddleware,
    RequestContext,
    RequestEventsMiddleware,
)
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.events import BudgetUsed, RequestEnded
from xrouter_asgi.providers.base import Call, Provider
from xrouter_asgi.providers.target import Target
from xrouter_asgi.testing.scripted import ScriptedProvider, chat, chunk, usage_chunk
from xrouter_asgi.wire import ChatRequest

# A whole answer of the scripted provider has 3 tokens of input and 2 of output. It costs 0.3 + 0.4 = 0.7.
PRICE = Price(100_000, 200_000)
PRICES = Prices({"scripted/scripted": PRICE})
BOUNDED = chat(max_tokens=2)
MOSCOW = ZoneInfo("Europe/Moscow")


def limited(limit: str, provider: Provider | None = None, **options: object) -> RateLimitMiddleware:
    """One model, whose answers cost 0.7 USD each."""
    router = LLMRouter({"scripted": provider or ScriptedProvider()})
    return RateLimitMiddleware(router, limit=limit, **{"prices": PRICES, **options})  # type: ignore[arg-type]


async def asked(app: object, body: object = BOUNDED, path: str = "/v1/chat/completions") -> Answer:
    return await post(app, path, body)  # type: ignore[arg-type]  # any of the apps here


async def test_an_answer_says_what_it_cost_and_what_is_left_of_the_budget() -> None:
    answer = await asked(limited("100 USD/calendar month", timezone=MOSCOW))
    assert answer.status == 200
    assert answer.header("x-xrouter-cost") == "0.7 USD"
    assert answer.header("x-xrouter-budget-limit") == "100 USD"
    left = re.fullmatch(r"([\d.]+) USD", answer.header("x-xrouter-budget-remaining") or "")
    assert left is not None
    assert 90 < float(left[1]) < 99.3  # less than the cost, because input is estimated by its upper bound
    reset = datetime.fromisoformat(answer.header("x-xrouter-budget-reset") or "")
    assert (reset.day, reset.hour, reset.minute, reset.utcoffset()) == (1, 0, 0, timedelta(hours=3))
    assert reset > datetime.now(UTC)


async def test_what_is_reserved_beyond_the_cost_is_given_back() -> None:
    app = limited("100 USD/day")
    for spent in (0, 0.7, 1.4):
        answer = await asked(app, chat(max_tokens=100))  # which may cost 20 USD and its input
        remaining = float((answer.header("x-xrouter-budget-remaining") or "").removesuffix(" USD"))
        assert 70 - spent < remaining < 80 - spent


async def test_a_budget_of_the_calendar_that_is_used_up_says_when_it_begins_again() -> None:
    app = limited("10 USD/calendar day", timezone=MOSCOW)
    for _ in range(20):
        answer = await asked(app)
        if answer.status != 200:
            break
    tomorrow = (datetime.now(MOSCOW) + timedelta(days=1)).strftime("%Y-%m-%d")
    assert (answer.status, answer.error["type"], answer.error["code"]) == (429, *["insufficient_quota"] * 2)
    message = f"The budget of 10 USD per calendar day is used up. It begins again at {tomorrow} 00:00 Europe/Moscow."
    assert answer.error["message"] == message
    assert (answer.header("x-should-retry"), answer.header("retry-after")) == ("false", None)
    assert answer.header("x-xrouter-budget-limit") == "10 USD"


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (
            "10 USD/40 minutes",
            "The budget of 10 USD per 40 minutes is used up. Enough of it is free again in about 41 min.",
        ),
        (
            "10 USD/day per all",
            "The budget of 10 USD per 1 day for all is used up. Enough of it is free again in about 25 h.",
        ),
        (
            "10 USD/week per owner",
            "The budget of 10 USD per 7 days per owner is used up. Enough of it is free again in about 8 days.",
        ),
        (
            "10 USD/30 s per model",
            "The budget of 10 USD per 30 seconds per model is used up. Enough of it is free again in about 31 s.",
        ),
    ],
)
async def test_a_budget_that_slides_says_when_some_of_it_is_free_again(limit: str, told: str) -> None:
    clock = 1_700_000_000.0 - 1_700_000_000 % 604_800  # where a slice begins
    app = limited(limit, store=MemoryLimits(clock=lambda: clock))
    for _ in range(20):
        answer = await asked(app)
        if answer.status != 200:
            break
    assert answer.error["message"] == told
    assert answer.header("x-should-retry") == "false"
    assert int(answer.header("retry-after") or 0) > 30


async def test_anthropic_s_clients_are_told_of_it_in_their_own_words() -> None:
    app = limited("10 USD/day")
    body = {"model": "scripted", "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(20):
        answer = await asked(app, body, "/v1/messages")
        if answer.status != 200:
            break
    assert (answer.status, answer.json["error"]["type"]) == (402, "billing_error")
    assert answer.header("x-should-retry") == "false"


async def test_a_request_that_costs_more_than_the_whole_budget_is_a_mistake() -> None:
    answer = await asked(limited("1 USD/day"), chat(max_tokens=1_000_000))
    assert (answer.status, answer.error["code"]) == (400, "cost_exceeds_limit")
    assert re.match(
        r"This request may cost 20000\d\.\d USD, and the budget is 1 USD per 1 day\.", answer.error["message"]
    )


async def test_a_guess_of_the_output_reserves_no_more_than_the_budget() -> None:
    answer = await asked(limited("10 USD/day"), chat())
    assert (answer.status, answer.header("x-xrouter-budget-remaining")) == (200, "0 USD")


async def test_a_model_without_a_price_is_refused_and_asked_nothing() -> None:
    provider = ScriptedProvider()
    answer = await asked(limited("10 USD/day", provider, prices=Prices({"other/model": PRICE})))
    assert (answer.status, answer.error["code"], answer.error["param"]) == (403, "model_unpriced", "model")
    assert provider.opened == 0


async def test_a_key_in_another_currency_is_refused_rather_than_let_off() -> None:
    limited_app = limited("100/minute")

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # an ASGI app
        RequestContext.of(scope).principal = Principal("key", limits=("20 RUB/day",))
        await limited_app(scope, receive, send)

    assert (await asked(app)).error["code"] == "model_unpriced"


@pytest.mark.parametrize("hedged", [False, True])
async def test_a_candidate_without_a_price_is_passed_over(hedged: bool) -> None:
    free, priced = ScriptedProvider(name="free"), ScriptedProvider(name="priced")
    candidates = [Candidate(Target(free, model="m"), "free/m"), Candidate(Target(priced, model="m"), "priced/m")]
    if hedged:  # as the one that `Hedge` would ask besides
        candidates = [Candidate(Fallback(candidates[:1]), "free/m"), candidates[1]]
    prices = Prices({"priced/m": PRICE}, models={"scripted": ["free/m", "priced/m"]})
    app = limited("10 USD/day", Fallback(candidates), prices=prices)
    answer = await asked(app)
    assert (answer.status, answer.header("x-xrouter-provider"), free.opened) == (200, "priced", 0)
    app = limited("10/day", Fallback(candidates), prices=prices)
    assert (await asked(app)).header("x-xrouter-provider") == "free"  # nobody limits money


async def test_where_the_only_candidate_has_no_price_nobody_is_asked() -> None:
    provider = ScriptedProvider(name="free")
    fallback = Fallback([Candidate(Target(provider, model="m"), "free/*")])
    context = RequestContext(is_priced=lambda target: target != "free/one")
    request = ChatRequest.of(chat("one"))
    plan = fallback.plan(Call(request, "one", "one", context=context))
    assert [why.text for _, why in plan.unable] == ["has no price"]
    assert len(fallback.plan(Call(request, "two", "two", context=context)).order) == 1


def test_money_without_prices_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"there are no prices. Give prices=Prices\({…}\)"):
        limited("10 USD/day", prices=None)
    with pytest.raises(ValueError, match="The limit 10 RUB per 1 day is not in USD, as the prices are"):
        limited("1/day", models={"x": "10 RUB/day"})


class TestEvents:
    async def test_a_budget_is_told_of_from_80_percent_on(self) -> None:
        told: list[BudgetUsed] = []
        app = RequestEventsMiddleware(
            limited("10 USD/day per all", store=MemoryLimits(clock=lambda: 0.0)),
            observers=[lambda event: told.append(event) if isinstance(event, BudgetUsed) else None],
        )
        for _ in range(15):
            answer = await asked(app)
        assert answer.status == 429
        assert [event for event in told if event.share < 0.8] == []
        assert told[0].share < 1
        assert (told[-1].share, told[-1].budget, told[-1].per) == (1, "10 USD per 1 day", "all")

    async def test_a_request_knows_its_cost_when_it_has_ended(self) -> None:
        ends: list[RequestEnded] = []
        broken = ScriptedProvider([chunk("hello")], UpstreamUnavailable("gone", code="connection_lost"))
        for provider in (ScriptedProvider(), broken):
            app = RequestEventsMiddleware(
                limited("100/day", provider),
                observers=[lambda event: ends.append(event) if isinstance(event, RequestEnded) else None],
            )
            answer = await asked(app, chat(stream=True, max_tokens=2))
            assert answer.header("x-xrouter-cost") is None  # nobody knows it when a stream begins
        whole, cut = (end.context.cost for end in ends)
        assert whole is not None
        assert cut is not None
        assert (whole.amount, whole.estimated) == (700_000_000, False)
        assert cut.estimated
        assert cut.amount > 3 * 200_000_000  # five characters are three tokens, and its input

    async def test_a_client_that_leaves_pays_for_what_came(self) -> None:
        ends: list[RequestEnded] = []
        waits = asyncio.Event()
        app = RequestEventsMiddleware(
            limited("100 USD/day", ScriptedProvider([chunk("hello")], waits, [chunk(finish="stop")], [usage_chunk()])),
            observers=[lambda event: ends.append(event) if isinstance(event, RequestEnded) else None],
        )
        body = json.dumps(chat(stream=True, max_tokens=2)).encode()
        exchange = Exchange(app, http_scope("POST", "/v1/chat/completions"), script=body_messages(body))
        running = asyncio.create_task(exchange.run())
        await exchange.sent(2)
        exchange.leave()
        await running
        (end,) = ends
        assert end.context.cost is not None
        assert end.context.cost.estimated
        assert 0 < end.context.cost.amount < 10 * 10**9

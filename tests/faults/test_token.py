"""An upstream whose access token cannot be had, or does not last: GigaChat's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partialmethod

import pytest

from xrouter_asgi.events import CooldownStarted
from xrouter_asgi.providers.gigachat.auth.tokens import TokenSource
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.gigachat.faults import Fault, Reset, Stall, refusal

from .stand import MANY, Stand, standing


@pytest.fixture
async def fake() -> AsyncIterator[FakeGigaChat]:
    async with FakeGigaChat(parallel=100) as fake:
        yield fake


@asynccontextmanager
async def before(fake: FakeGigaChat) -> AsyncIterator[Stand]:
    # As many at once as a breaker wants to have seen: else they would go to another target.
    table = {
        "kind": "gigachat",
        "base_url": fake.base_url,
        "auth_url": fake.auth_url,
        "credentials": "env:KEY",
        "max_parallel": MANY,
    }
    async with standing(table, model="GigaChat-2", key=fake.key) as stand:
        yield stand


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    # Settings have no word for how long a token is waited for.
    monkeypatch.setattr(TokenSource, "__init__", partialmethod(TokenSource.__init__, patience=0.1, backoff=0.0))


async def test_refused_credentials_are_not_shown_again_and_rest(fake: FakeGigaChat) -> None:
    fake.script("/oauth", *[refusal(401, "credentials doesn't match db data")] * MANY)
    async with before(fake) as stand:
        made_good = await stand.ask("pair")
        told = await stand.ask("alone")
        assert stand.breaker("pair").state == "closed"
    assert (told.answer.status, told.answer.error["code"]) == (502, "upstream_auth_failed")
    assert told.answer.header("x-should-retry") == "false"
    assert made_good.labels == ["upstream_auth_failed", None]
    assert [(event.cooldown_kind, event.duration) for event in made_good.of(CooldownStarted)] == [("credential", 60.0)]
    assert (fake.oauth_calls, fake.asked("/chat/completions")) == (1, [])


@pytest.mark.parametrize(
    ("fault", "status", "calls"),
    [
        (refusal(500, "Oh."), 502, 3),
        (refusal(503, "Oh."), 502, 3),
        (refusal(429, "Too many requests"), 502, 3),
        (Reset(), 502, 3),
        (Stall(), 504, 1),
    ],
    ids=["500", "503", "429", "reset", "silence"],
)
async def test_a_token_that_cannot_be_had_is_asked_for_once_for_all_who_wait(
    fake: FakeGigaChat, fault: Fault, status: int, calls: int
) -> None:
    fake.script("/oauth", *[fault] * MANY)
    async with before(fake) as stand:
        many = await stand.ask_many("pair")
        assert stand.breaker("pair").state == "open"
        told = await stand.ask("alone")
    assert (told.answer.status, told.answer.error["code"]) == (status, "token_unavailable")
    assert set(told.labels) == {"token_unavailable"}
    assert {one.answer.header("x-xrouter-provider") for one in many} == {"second"}
    assert fake.oauth_calls == calls


@pytest.mark.parametrize("unit", [1, 1000, 0], ids=["seconds", "milliseconds", "none"])
@pytest.mark.parametrize("skew", [0, -7200, 7200], ids=["right", "slow", "fast"])
async def test_the_life_of_a_token_is_understood_in_any_unit_and_by_any_clock(
    fake: FakeGigaChat, unit: int, skew: int
) -> None:
    fake.token_unit = unit
    fake.unix_clock = lambda: time.time() + skew
    async with before(fake) as stand:
        for _ in range(3):
            assert (await stand.ask("alone")).labels == [None]
    assert fake.oauth_calls == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_token_that_died_early_is_replaced_within_the_attempt(fake: FakeGigaChat, stream: bool) -> None:
    async with before(fake) as stand:
        await stand.ask("pair")
        fake.revoke()
        told = await stand.ask("pair", stream=stream)
        many = await stand.ask_many("pair")
        assert stand.breaker("pair").state == "closed"
    assert (told.answer.status, told.answer.header("x-xrouter-attempts")) == (200, "1")
    assert {one.answer.header("x-xrouter-provider") for one in (told, *many)} == {"first"}
    assert fake.oauth_calls == 2


async def test_tokens_that_are_refused_however_new_are_given_up(fake: FakeGigaChat) -> None:
    fake.script("/chat/completions", *[refusal(401, "Unauthorized")] * MANY)
    async with before(fake) as stand:
        told = await stand.ask("pair")
        assert stand.breaker("pair").state == "closed"
    assert told.labels == ["upstream_auth_failed", None]
    assert len(fake.asked("/chat/completions")) == 2
    assert fake.oauth_calls == 2

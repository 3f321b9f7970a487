from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from xrouter_asgi.errors import UpstreamError, UpstreamTimeout, UpstreamUnauthorized, UpstreamUnavailable
from xrouter_asgi.providers.gigachat import AccessToken, AuthorizationKey, Credentials, Password
from xrouter_asgi.providers.gigachat.auth.credentials import digest
from xrouter_asgi.providers.gigachat.auth.tokens import TokenSource
from xrouter_asgi.providers.http import Redaction, Upstream
from xrouter_asgi.testing.clock import LoopClock
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.gigachat.faults import HTML_502, JSON, Reset, ScriptedAnswer, Stall


class Sources:
    """Makes token sources that are closed after the test."""

    def __init__(self, oauth: Upstream, api: Upstream, fake: FakeGigaChat) -> None:
        self.oauth = oauth
        self.api = api
        self.fake = fake
        self.made: list[TokenSource] = []

    def __call__(
        self,
        *,
        key: str | None = None,
        scope: str | None = None,
        credentials: Credentials | None = None,
        **arguments: Any,
    ) -> TokenSource:
        credentials = credentials or AuthorizationKey(key or self.fake.key, scope=scope or self.fake.scope)
        upstream = self.api if credentials.url is None else self.oauth
        source = TokenSource(partial(credentials.token, upstream, Redaction()), **{"backoff": 0.0, **arguments})
        self.made.append(source)
        return source


@pytest.fixture
async def sources(fake: FakeGigaChat) -> AsyncIterator[Sources]:
    oauth, api = Upstream(fake.auth_url), Upstream(fake.base_url)
    sources = Sources(oauth, api, fake)
    yield sources
    for source in sources.made:
        await source.aclose()
    await oauth.aclose()
    await api.aclose()


async def test_a_burst_of_callers_makes_one_token_request(sources: Sources, fake: FakeGigaChat) -> None:
    source = sources()
    tokens = await asyncio.gather(*(source.get() for _ in range(50)))
    assert set(tokens) == {"token-1"}
    assert fake.oauth_calls == 1


async def test_a_token_request_is_a_form_with_the_key_and_a_new_request_id(
    sources: Sources, fake: FakeGigaChat
) -> None:
    await sources().get()
    await sources().get()
    first, second = fake.asked("/oauth")
    assert first.headers["authorization"] == f"Basic {fake.key}"
    assert first.body == b"scope=GIGACHAT_API_PERS"
    assert uuid.UUID(first.headers["rquid"]).version == 4
    assert first.headers["rquid"] != second.headers["rquid"]


async def test_it_tells_when_its_token_expires(sources: Sources, fake: FakeGigaChat) -> None:
    source = sources()
    assert source.expires is None
    began = asyncio.get_running_loop().time()
    token = await source.get()
    assert source.expires is not None
    assert began < source.expires <= asyncio.get_running_loop().time() + 1800
    source.refuse(token, detail="")
    assert source.expires is None
    assert sources(ready="from elsewhere").expires is None


@pytest.mark.parametrize("shape", ["access_token", "tok"])
@pytest.mark.parametrize("unit", [1000, 1])
async def test_a_token_is_used_until_it_is_nearly_expired_whatever_its_shape_and_unit(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock, shape: str, unit: int
) -> None:
    fake.token_shape, fake.token_unit = shape, unit
    source = sources()
    assert await source.get() == "token-1"
    clock.advance(1800 - 331)
    assert await source.get() == "token-1"
    assert fake.oauth_calls == 1
    clock.advance(331 - 59)
    assert await source.get() == "token-2"


async def test_a_token_that_tells_no_expiry_is_taken_for_25_minutes(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock
) -> None:
    fake.token_unit = 0
    source = sources()
    await source.get()
    clock.advance(1500 - 331)
    assert await source.get() == "token-1"
    assert fake.oauth_calls == 1
    clock.advance(331 - 59)
    assert await source.get() == "token-2"


async def test_a_token_that_is_born_expired_is_used_nevertheless_for_a_while(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock
) -> None:
    fake.token_life = -3600.0  # as seen from a clock that is an hour behind
    source = sources()
    await source.get()
    clock.advance(14)
    assert await source.get() == "token-1"
    assert fake.oauth_calls == 1
    clock.advance(16)
    assert await source.get() == "token-2"


async def test_a_token_is_renewed_in_the_background_ahead_of_its_expiry(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock
) -> None:
    source = sources(patience=1000.0)
    await source.get()
    clock.advance(1800 - 299)
    release = asyncio.Event()
    fake.script("/oauth", Stall(release))
    assert await source.get() == "token-1"
    await fake.arrived("/oauth", 2)
    assert await source.get() == "token-1"
    release.set()  # that renewal fails and is tried again
    await fake.arrived("/oauth", 3)
    clock.advance(250)  # now there is no time left: callers wait for what is under way
    assert await source.get() == "token-2"
    assert fake.oauth_calls == 3


async def test_the_old_token_serves_as_long_as_it_lives_when_no_new_one_can_be_had(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock
) -> None:
    source = sources()
    await source.get()
    clock.advance(1800 - 30)
    fake.script("/oauth", HTML_502, HTML_502, HTML_502)
    assert await source.get() == "token-1"
    assert fake.oauth_calls == 4
    assert await source.get() == "token-1"
    assert fake.oauth_calls == 4  # the failure is remembered for 2 s
    clock.advance(31)
    assert await source.get() == "token-2"


async def test_an_expired_token_is_not_served_when_no_new_one_can_be_had(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock
) -> None:
    source = sources()
    await source.get()
    clock.advance(1801)
    fake.script("/oauth", HTML_502, HTML_502, HTML_502)
    with pytest.raises(UpstreamUnavailable) as caught:
        await source.get()
    assert caught.value.code == "token_unavailable"


@pytest.mark.parametrize(
    "fault", [HTML_502, ScriptedAnswer(429, {"code": 429, "message": "slow down"}), Reset(), ScriptedAnswer(200)]
)
async def test_a_passing_trouble_is_tried_three_times_for_all_who_wait(
    sources: Sources, fake: FakeGigaChat, fault: Any
) -> None:
    source = sources()
    fake.script("/oauth", fault, fault)
    assert set(await asyncio.gather(source.get(), source.get())) == {"token-1"}
    assert fake.oauth_calls == 3


async def test_three_failures_are_shared_and_remembered_for_two_seconds(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock
) -> None:
    source = sources()
    fake.script("/oauth", *[HTML_502] * 3)
    outcomes = await asyncio.gather(*(source.get() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(each, UpstreamUnavailable) and each.code == "token_unavailable" for each in outcomes)
    assert all(isinstance(each, UpstreamUnavailable) and each.status == 502 for each in outcomes)
    with pytest.raises(UpstreamUnavailable):
        await source.get()
    assert fake.oauth_calls == 3
    clock.advance(2)
    assert await source.get() == "token-1"


def slow_down(wait: str, status: int = 429) -> ScriptedAnswer:
    return ScriptedAnswer(status, {"code": 6, "message": "slow down"}, {**JSON, "retry-after": wait})


@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_that_the_server_tells_is_kept_and_told_to_all_callers(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock, status: int
) -> None:
    source = sources()
    fake.script("/oauth", slow_down("20", status))
    outcomes = await asyncio.gather(*(source.get() for _ in range(3)), return_exceptions=True)
    assert [each.retry_after for each in outcomes if isinstance(each, UpstreamUnavailable)] == [20, 20, 20]
    assert fake.oauth_calls == 1  # a repetition within the wait would only be refused again
    clock.advance(15)
    with pytest.raises(UpstreamUnavailable) as caught:
        await source.get()
    assert caught.value.code == "token_unavailable"
    assert 4 < (caught.value.retry_after or 0) <= 5
    assert fake.oauth_calls == 1
    clock.advance(5)
    assert await source.get() == "token-1"


async def test_a_short_wait_that_the_server_tells_is_waited_for(sources: Sources, fake: FakeGigaChat) -> None:
    fake.script("/oauth", ScriptedAnswer(429, {}, {**JSON, "retry-after-ms": "20"}))
    began = asyncio.get_running_loop().time()
    assert await sources().get() == "token-1"
    assert asyncio.get_running_loop().time() - began >= 0.02


@pytest.mark.parametrize("wait", ["", "soon", "-1", "0"])
async def test_a_wait_that_cannot_be_read_is_none(sources: Sources, fake: FakeGigaChat, wait: str) -> None:
    source = sources()
    fake.script("/oauth", *[slow_down(wait)] * 3)
    for _ in range(2):
        with pytest.raises(UpstreamUnavailable) as caught:
            await source.get()
        assert caught.value.retry_after is None
    assert fake.oauth_calls == 3


async def test_a_token_that_still_lives_is_used_while_the_server_tells_to_wait(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock
) -> None:
    source = sources()
    await source.get()
    fake.script("/oauth", slow_down("50"))
    clock.advance(1800 - 30)
    assert await source.get() == "token-1"


async def test_a_lost_connection_is_said_to_be_about_the_token(sources: Sources, fake: FakeGigaChat) -> None:
    fake.script("/oauth", *[Reset()] * 3)
    with pytest.raises(UpstreamUnavailable, match=r"^There is no access token for GigaChat now\. "):
        await sources().get()


async def test_a_server_that_hangs_is_left_after_the_patience_is_over(sources: Sources, fake: FakeGigaChat) -> None:
    source = sources(patience=0.05)
    fake.script("/oauth", Stall())
    with pytest.raises(UpstreamTimeout, match="did not answer in time") as caught:
        await source.get()
    assert (caught.value.code, caught.value.status) == ("token_unavailable", 504)


async def test_a_gateway_time_out_in_front_of_the_server_is_a_time_out(sources: Sources, fake: FakeGigaChat) -> None:
    fake.script("/oauth", *[ScriptedAnswer(504)] * 3)
    with pytest.raises(UpstreamTimeout) as caught:
        await sources().get()
    assert caught.value.code == "token_unavailable"


REFUSALS = [
    ({"scope": "GIGACHAT_API_XXL"}, "there is no scope 'GIGACHAT_API_XXL'.*GIGACHAT_API_PERS.*_B2B.*_CORP", 1),
    ({"scope": " "}, "there is no scope ' '", 1),
    ({"key": "eDp5"}, "the authorization key is not known", 6),
    ({"scope": "GIGACHAT_API_CORP"}, "not for the scope 'GIGACHAT_API_CORP'.*GIGACHAT_API_PERS for individuals", 7),
]


@pytest.mark.parametrize(("arguments", "words", "code"), REFUSALS)
async def test_a_refusal_is_said_in_words_that_help(
    sources: Sources, fake: FakeGigaChat, arguments: dict[str, Any], words: str, code: int
) -> None:
    source = sources(**arguments)
    with pytest.raises(UpstreamUnauthorized, match=words) as caught:
        await source.get()
    error = caught.value
    assert (error.status, error.code) == (502, "upstream_auth_failed")
    assert re.search(rf"code {code}\b", error.detail or "")
    assert re.search(r"RqUID [0-9a-f-]{36}", error.detail or "")
    for text in (error.message, error.detail or ""):
        assert arguments.get("key", fake.key) not in text
        assert "127.0.0.1" not in text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ScriptedAnswer(400, {"code": 5, "message": "scope is empty"}), "the scope is empty"),
        (ScriptedAnswer(404, b"<html>nothing here</html>"), "Check 'credentials', 'scope' and 'auth_url'"),
        (ScriptedAnswer(403, b""), "gave no reason that is known"),
    ],
)
async def test_other_refusals_are_refusals_too(
    sources: Sources, fake: FakeGigaChat, answer: ScriptedAnswer, words: str
) -> None:
    fake.script("/oauth", answer)
    with pytest.raises(UpstreamUnauthorized, match=words):
        await sources().get()


async def test_a_wrong_key_is_tried_once_in_thirty_seconds(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock
) -> None:
    source = sources(key="eDp5")
    messages = set()
    for _ in range(10):
        with pytest.raises(UpstreamUnauthorized) as caught:
            await source.get()
        messages.add(caught.value.message)
    assert fake.oauth_calls == 1
    assert len(messages) == 1
    clock.advance(30)
    with pytest.raises(UpstreamUnauthorized):
        await source.get()
    assert fake.oauth_calls == 2


async def test_a_refused_renewal_in_the_background_is_not_repeated_for_thirty_seconds(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock
) -> None:
    source = sources()
    await source.get()
    fake.key = "another"
    clock.advance(1800 - 290)
    for renewals in (1, 2):
        assert await source.get() == "token-1"
        await fake.arrived("/oauth", 1 + renewals)
        for _ in range(20):  # as many requests in the same half minute, once the refusal is here
            await asyncio.sleep(0.001)
            assert await source.get() == "token-1"
        assert fake.oauth_calls == 1 + renewals
        clock.advance(30)


async def test_callers_who_wait_for_a_refused_renewal_leave_the_server_alone(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock
) -> None:
    source = sources()
    await source.get()
    clock.advance(1800 - 75)
    fake.key = "another"
    assert await source.get() == "token-1"
    clock.advance(20)
    assert await source.get() == "token-1"  # waits for the renewal under way, which is refused
    clock.advance(29)
    assert await source.get() == "token-1"
    assert fake.oauth_calls == 2
    clock.advance(1)
    assert await source.get() == "token-1"
    assert fake.oauth_calls == 3


async def test_a_refused_token_is_replaced_once_for_all_who_had_it(sources: Sources, fake: FakeGigaChat) -> None:
    source = sources()
    token = await source.get()
    assert await asyncio.gather(*(source.replace(token) for _ in range(5))) == ["token-2"] * 5
    assert await source.replace(token) == "token-2"  # a late one does not drop its successor
    assert fake.oauth_calls == 2


async def test_a_new_token_that_is_refused_too_closes_the_way_for_thirty_seconds(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock
) -> None:
    source = sources()
    again = await source.replace(await source.get())
    error = source.refuse(again, detail="status 401")
    assert isinstance(error, UpstreamUnauthorized)
    with pytest.raises(UpstreamUnauthorized, match="a new one too"):
        await source.get()
    assert fake.oauth_calls == 2
    clock.advance(30)
    assert await source.get() == "token-3"


async def test_a_late_refusal_of_a_token_that_was_replaced_closes_nothing(sources: Sources) -> None:
    source = sources()
    first = await source.get()
    second = await source.replace(first)
    source.refuse(first, detail="")
    assert await source.get() == second


async def test_a_ready_token_is_used_until_it_is_refused(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock
) -> None:
    source = sources(ready="ready")
    clock.advance(10 * 365 * 86400)
    assert await source.get() == "ready"
    assert fake.oauth_calls == 0
    assert await source.replace("ready") == "token-1"


async def test_a_ready_token_alone_is_all_there_is(sources: Sources) -> None:
    source = sources(credentials=AccessToken("ready"), ready="ready")
    assert await source.get() == "ready"
    assert await source.replace("ready") == "ready"


async def test_user_and_password_get_a_token_from_the_api(sources: Sources, fake: FakeGigaChat) -> None:
    fake.token_shape, fake.token_unit = "tok", 1
    source = sources(credentials=Password(fake.user, fake.password))
    assert await source.get() == "token-1"
    (request,) = fake.asked("/token")
    assert (request.method, request.body) == ("POST", b"")


async def test_a_wrong_password_is_said_in_words(sources: Sources, fake: FakeGigaChat) -> None:
    source = sources(credentials=Password(fake.user, "wrong"))
    with pytest.raises(UpstreamUnauthorized, match="Check 'user' and 'password'") as caught:
        await source.get()
    assert "wrong" not in (caught.value.detail or "")


async def test_a_waiter_that_is_cancelled_does_not_end_the_shared_request(sources: Sources, fake: FakeGigaChat) -> None:
    source = sources()
    release = asyncio.Event()
    fake.script("/oauth", Stall(release))
    leaving = asyncio.ensure_future(source.get())
    await fake.arrived("/oauth")
    staying = asyncio.ensure_future(source.get())
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait({leaving})
    release.set()
    assert await staying == "token-1"


async def test_closing_ends_a_request_under_way(sources: Sources, fake: FakeGigaChat) -> None:
    source = sources()
    fake.script("/oauth", Stall())
    waiting = asyncio.ensure_future(source.get())
    await fake.arrived("/oauth")
    await source.aclose()
    with pytest.raises(UpstreamUnavailable, match="closed"):
        await waiting
    await fake.asked("/oauth")[0].gone.wait()


async def test_an_answer_without_a_usable_token_is_an_outage(sources: Sources, fake: FakeGigaChat) -> None:
    fake.script(
        "/oauth", ScriptedAnswer(200, {"access_token": "bad\ntoken"}), ScriptedAnswer(200, {}), ScriptedAnswer(200, [])
    )
    with pytest.raises(UpstreamUnavailable, match="did not answer with a token"):
        await sources().get()


@pytest.mark.parametrize("expiry", ["soon", True, 0, -5, None])
async def test_an_expiry_that_is_no_time_counts_as_none(
    sources: Sources, fake: FakeGigaChat, clock: LoopClock, expiry: object
) -> None:
    fake.script("/oauth", ScriptedAnswer(200, {"access_token": "strange", "expires_at": expiry}))
    source = sources()
    clock.advance(1)
    assert await source.get() == "strange"
    clock.advance(1500 - 331)
    assert await source.get() == "strange"


async def test_a_key_that_gigachat_cannot_decode_is_said_in_words_that_help(
    sources: Sources, fake: FakeGigaChat
) -> None:
    fake.script("/oauth", ScriptedAnswer(400, {"code": 4, "message": "Can't decode 'Authorization' header"}))
    with pytest.raises(UpstreamUnauthorized, match="client secret was pasted instead of the authorization key"):
        await sources().get()


async def test_a_failing_renewal_is_logged_without_the_key(
    sources: Sources, fake: FakeGigaChat, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "xrouter"), pytest.raises(UpstreamError):
        await sources(key="eDp5").get()
    (record,) = caplog.records
    assert "the authorization key is not known" in record.getMessage()
    assert "eDp5" not in str(record.__dict__)


@pytest.mark.parametrize("key", ["a2V5OnNlY3JldA==", "a2V5OnNlY3JldA"])
def test_a_key_is_a_secret_in_each_form_in_which_somebody_may_quote_it(key: str) -> None:
    secrets = AuthorizationKey(key).secrets
    assert {key, key.rstrip("=")} <= set(secrets)
    assert {"key", "secret"} <= set(secrets)


def test_a_digest_tells_credentials_apart_and_not_what_they_are() -> None:
    assert digest("a", None) != digest(None, "a")
    assert digest("a", "b") == digest("a", "b")
    assert "secret" not in digest("secret")


@pytest.mark.parametrize("value", ["line\nbreak", "ключ"])
def test_a_credential_that_no_header_can_hold_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(ValueError, match="'credentials' holds a character") as caught:
        AuthorizationKey(value)
    assert value not in str(caught.value)
    with pytest.raises(ValueError, match="'access_token' holds a character"):
        AccessToken(value)

"""What GigaChat quotes of our credentials is shown to no client and in no log."""

from __future__ import annotations

import base64

import pytest

from xrouter_asgi.envelopes import openai
from xrouter_asgi.errors import UpstreamUnauthorized, XRouterError
from xrouter_asgi.providers.gigachat import Password
from xrouter_asgi.testing.gigachat import KEY, FakeGigaChat
from xrouter_asgi.testing.gigachat.faults import Events, ScriptedAnswer, refusal

from .conftest import Ask, Connect

KEY_PARTS = base64.b64decode(KEY).decode().split(":")


@pytest.mark.parametrize("quoted", ["token-1", KEY, KEY.rstrip("="), *KEY_PARTS])
@pytest.mark.parametrize("status", [400, 402, 403, 404, 413, 422, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_that_quotes_a_secret_shows_it_to_nobody(
    connect: Connect, ask: Ask, fake: FakeGigaChat, quoted: str, status: int, stream: bool
) -> None:
    fake.script("/chat/completions", *[refusal(status, f"Nothing for {quoted} here")] * 3)
    with pytest.raises(XRouterError) as caught:
        await connect().send(ask(stream=stream))
    assert quoted not in f"{caught.value} {openai(caught.value, '')} {caught.value.detail}"
    assert "Nothing for [redacted] here" in str(caught.value.detail)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_with_status_200_shows_no_secret_either(
    connect: Connect, ask: Ask, fake: FakeGigaChat, stream: bool
) -> None:
    error = {"status": 422, "message": "Nothing for token-1 here"}
    fake.script("/chat/completions", Events([error]) if stream else ScriptedAnswer(200, error))
    with pytest.raises(XRouterError) as caught:
        await connect().send(ask(stream=stream))
    assert caught.value.message == "GigaChat: Nothing for [redacted] here."
    assert "token-1" not in str(caught.value.detail)


async def test_a_token_that_was_replaced_is_still_a_secret(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    fake.script("/chat/completions", refusal(401, "Token has expired"), refusal(400, "neither token-1 nor token-2"))
    with pytest.raises(XRouterError) as caught:
        await connect().send(ask())
    assert caught.value.message == "GigaChat: neither [redacted] nor [redacted]."


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500, 504])
async def test_a_refused_login_shows_no_secret_to_clients_or_the_log(
    connect: Connect, ask: Ask, fake: FakeGigaChat, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    body = {"code": KEY_PARTS[1], "message": f"no {KEY} of {KEY_PARTS}", KEY: 1}
    fake.script("/oauth", *[ScriptedAnswer(status, body)] * 3)
    with pytest.raises(XRouterError) as caught:
        await connect().send(ask())
    logged = "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    for secret in (KEY, *KEY_PARTS):
        assert secret not in f"{caught.value} {caught.value.detail} {logged}"


async def test_a_user_and_a_password_are_not_shown(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    fake.user, fake.password = "somebody", "pass-phrase"
    pair = base64.b64encode(b"somebody:pass-phrase").decode()
    fake.script("/token", ScriptedAnswer(401, {"message": f"no somebody with pass-phrase or {pair}"}))
    provider = connect(credentials=Password(fake.user, fake.password))
    with pytest.raises(UpstreamUnauthorized) as caught:
        await provider.send(ask())
    assert "message 'no [redacted] with [redacted] or [redacted]'" in str(caught.value.detail)

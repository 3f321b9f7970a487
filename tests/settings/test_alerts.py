"""`[alerts]`, as settings and in the standalone app."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.alerts.happenings import ended
from tests.asgi_client import post
from xrouter_asgi.context import RequestContext
from xrouter_asgi.errors import UpstreamError
from xrouter_asgi.events import CircuitOpened, LimiterDegraded
from xrouter_asgi.settings import Settings
from xrouter_asgi.settings.alerts import AlertsSettings
from xrouter_asgi.standalone import assemble
from xrouter_asgi.testing.http import FakeExchange, FakeServer
from xrouter_asgi.testing.openai import FakeOpenAI, refuse
from xrouter_asgi.testing.scripted import chat

from .reading import mistakes, read

CONTEXT = RequestContext()


def table(text: str = "", **environment: str) -> AlertsSettings:
    found = read(f"[alerts]\n{text}", folder=Path(), **environment).alerts
    assert found is not None
    return found


def test_without_a_table_nobody_is_told() -> None:
    assert read("").alerts is None


async def test_an_empty_table_tells_the_log_what_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    alerts = table().build()
    for _ in range(20):
        alerts(ended(502, error=UpstreamError("no")))
    alerts(CircuitOpened(CONTEXT, "up", 5.0))
    await alerts.aclose()
    assert [message.split(":")[0] for message in caplog.messages] == ["Alert error_share", "Alert circuit_open"]


async def test_slowness_is_watched_when_it_is_said_what_is_slow(caplog: pytest.LogCaptureFixture) -> None:
    for text in ("minimum = 1", "minimum = 1\nslow = 5\nslow_share = 1.0"):
        alerts = table(text).build()
        alerts(ended(first_byte=5.0))
        await alerts.aclose()
    assert caplog.messages == ["Alert slow: 1 of 1 requests of the last 60 s took 5 s or more to be answered."]


async def test_a_rule_may_be_off(caplog: pytest.LogCaptureFixture) -> None:
    alerts = table('off = ["circuit_open"]').build()
    alerts(CircuitOpened(CONTEXT, "up", 5.0))
    alerts(LimiterDegraded(CONTEXT))
    await alerts.aclose()
    assert [message.split(":")[0] for message in caplog.messages] == ["Alert limiter_degraded"]


async def test_every_channel_of_the_table_is_told(caplog: pytest.LogCaptureFixture) -> None:
    came: list[FakeExchange] = []

    async def hook(exchange: FakeExchange) -> None:
        came.append(exchange)
        await exchange.answer(200)

    async with FakeServer(hook) as server:
        text = f"""
            log = false
            webhook = {{ url = "{server.url}/plain", headers = {{ x-token = "env:TOKEN" }} }}
            slack.url = "env:SLACK"
            telegram = {{ token = "env:BOT", chat = "@ops", base_url = "{server.url}" }}
        """
        alerts = table(text, TOKEN="t0ken", SLACK=f"{server.url}/slack", BOT="1:bot").build()
        alerts(LimiterDegraded(CONTEXT))
        await alerts.aclose()
    by_path = {exchange.path: exchange for exchange in came}
    assert sorted(by_path) == ["/bot1:bot/sendMessage", "/plain", "/slack"]
    assert by_path["/plain"].headers["x-token"] == "t0ken"
    assert json.loads(by_path["/bot1:bot/sendMessage"].body)["chat_id"] == "@ops"
    assert caplog.messages == []


def test_secrets_of_channels_are_not_shown() -> None:
    text = 'slack.url = "env:SLACK"\ntelegram = { token = "env:BOT", chat = "1" }\nwebhook.url = "env:HOOK"'
    shown = repr(table(text, SLACK="https://h/slack", BOT="bot-token", HOOK="https://h/hook"))
    assert not any(secret in shown for secret in ("h/slack", "bot-token", "h/hook"))


def test_certificates_and_a_proxy_are_the_channels_own(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    (problem,) = mistakes(f'[alerts.slack]\nurl = "env:S"\nca_bundle = "{tmp_path}/ca.pem"', S="https://h/x")
    assert problem.startswith("alerts.slack cannot be used: ")
    (problem,) = mistakes('[alerts.slack]\nurl = "env:S"\nproxy = "socks5://h"', S="https://h/x")
    assert problem.startswith("alerts.slack cannot be used: 'proxy' must start with")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("error_share = 2.0", "alerts.error_share is 2.0. It should be less than or equal to 1."),
        ("cooldown = 0", "alerts.cooldown is 0."),
        ('off = ["errors"]', "alerts.off[0] is 'errors'. Write 'error_share', 'circuit_open',"),
        ("log = false", "alerts would tell nobody. Write log = true, or a table [alerts.webhook], .slack or"),
        ("minimun = 3", "alerts has no key 'minimun'. Did you mean 'minimum'?"),
        ('slack.url = "https://h/s3cret"', "alerts.slack.url holds the secret itself."),
        ("telegram.chat = '1'", "alerts.telegram.token is missing. Write it."),
        ('webhook = { url = "http://h", ulr = 1 }', "alerts.webhook has no key 'ulr'. Did you mean 'url'? Known: ca_"),
        ('webhook.url = "s3cret"', "alerts.webhook cannot be used: The URL of a webhook cannot be used. Write all"),
    ],
)
def test_a_mistake_is_said_in_words(text: str, mistake: str) -> None:
    found = mistakes(f"[alerts]\n{text}")
    assert [each[: len(mistake)] for each in found] == [mistake]
    assert "s3cret" not in found[0]


async def test_the_standalone_app_tells_of_a_credential_that_is_refused() -> None:
    came = asyncio.Event()
    bodies: list[dict[str, str]] = []

    async def hook(exchange: FakeExchange) -> None:
        bodies.append(json.loads(exchange.body))
        await exchange.answer(200)
        came.set()

    async with FakeOpenAI() as fake, FakeServer(hook) as server:
        fake.next(refuse(401))
        document = {
            "providers": {"local": {"kind": "openai", "base_url": fake.base_url, "api_key": "env:KEY"}},
            "access_log": {"format": "off"},
            "alerts": {"webhook": {"url": server.url}},
        }
        made = assemble(Settings.parse(document, environment={"KEY": "k"}))
        async with made.router.lifespan():
            assert (await post(made.app, "/v1/chat/completions", chat("m"))).status == 502
            await came.wait()
    assert [(body["rule"], body["subject"]) for body in bodies] == [("credential_refused", "local")]

"""Webhooks against a server on this machine, and the log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest

from xrouter_asgi.alerts import Alert, Alerts, LimitsDegraded, Undelivered, Webhook, log, slack, telegram
from xrouter_asgi.context import RequestContext
from xrouter_asgi.events import LimiterDegraded
from xrouter_asgi.testing.http import FakeExchange, FakeServer

WRONG = Alert("circuit_open", "up", "The provider 'up' keeps <failing> & is left alone.", False, 1_700_000_000.0)
WELL = Alert("circuit_open", "up", "The provider 'up' answers again.", True, 1_700_000_060.0)


class Hook:
    """Takes what is posted, and answers with a status."""

    def __init__(self) -> None:
        self.status = 200
        self.came: list[FakeExchange] = []
        self.url = ""

    async def __call__(self, exchange: FakeExchange) -> None:
        self.came.append(exchange)
        await exchange.answer(self.status, b"ok", {"location": "http://127.0.0.1:1/"} if self.status == 302 else None)

    @property
    def bodies(self) -> list[object]:
        return [json.loads(exchange.body) for exchange in self.came]


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook()
    async with FakeServer(hook) as server:
        hook.url = server.url
        yield hook


async def test_a_webhook_gets_all_of_an_alert_as_json(hook: Hook) -> None:
    webhook = Webhook(f"{hook.url}/alerts?team=llm", headers={"Authorization": "Bearer s3cret"})
    await webhook(WRONG)
    await webhook(WELL)
    first, second = hook.came
    assert (first.method, first.path) == ("POST", "/alerts?team=llm")
    assert first.headers["content-type"] == "application/json"
    assert first.headers["authorization"] == "Bearer s3cret"
    assert json.loads(first.body) == {
        "rule": "circuit_open",
        "subject": "up",
        "state": "firing",
        "text": WRONG.text,
        "time": "2023-11-14T22:13:20+00:00",
    }
    assert json.loads(second.body)["state"] == "recovered"


async def test_slack_gets_a_text_without_its_control_characters(hook: Hook) -> None:
    await slack(f"{hook.url}/services/T/B/X")(WRONG)
    await slack(f"{hook.url}/services/T/B/X")(WELL)
    assert hook.bodies == [
        {"text": "The provider 'up' keeps &lt;failing&gt; &amp; is left alone."},
        {"text": "Recovered. The provider 'up' answers again."},
    ]
    assert hook.came[0].path == "/services/T/B/X"


async def test_telegram_gets_a_message_to_a_chat(hook: Hook) -> None:
    await telegram("1:token", chat="@ops", base_url=hook.url)(WRONG)
    assert hook.came[0].path == "/bot1:token/sendMessage"
    assert hook.bodies == [{"chat_id": "@ops", "text": WRONG.text, "disable_web_page_preview": True}]


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_no_2xx_is_not_delivered_and_the_path_is_not_told(hook: Hook, status: int) -> None:
    hook.status = status
    with pytest.raises(Undelivered) as caught:
        await Webhook(f"{hook.url}/s3cret")(WRONG)
    assert "s3cret" not in f"{caught.value} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert len(hook.came) == 1


async def test_nobody_at_the_address_is_not_delivered() -> None:
    with pytest.raises(Undelivered, match=r"^127\.0\.0\.1 cannot be reached: connect_refused\.$"):
        await Webhook("http://127.0.0.1:1/s3cret")(WRONG)


async def test_a_webhook_that_never_answers_is_closed_when_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gone = asyncio.Event()

    async def silent(exchange: FakeExchange) -> None:
        await exchange.gone.wait()
        gone.set()

    async with FakeServer(silent) as server:
        monkeypatch.setattr("xrouter_asgi.alerts.alerts.PATIENCE", 0.05)
        alerts = Alerts([LimitsDegraded()], [Webhook(f"{server.url}/s3cret")])
        alerts(LimiterDegraded(RequestContext()))
        await gone.wait()
        await alerts.aclose()
    assert "s3cret" not in caplog.text


def test_a_webhook_shows_its_host_and_nothing_else() -> None:
    assert repr(telegram("1:token", chat="@ops")) == "Webhook(host='api.telegram.org')"


@pytest.mark.parametrize(
    "url",
    ["s3cret", "ftp://h/s3cret", "https:///s3cret", "https://user:s3cret@h/", "http://[s3cret", "http://h:s3cret/"],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="The URL of a webhook cannot be used") as caught:
        Webhook(url)
    assert "s3cret" not in str(caught.value)


def test_a_header_that_cannot_be_sent_is_refused_before_the_first_alert() -> None:
    with pytest.raises(ValueError, match="line break"):
        Webhook("http://h/", headers={"x": "a\nb"})


def test_the_log_warns_of_what_is_wrong_and_informs_of_what_is_over(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="xrouter"):
        log(WRONG)
        log(WELL)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"Alert circuit_open: {WRONG.text}"),
        ("INFO", "Alert circuit_open: Recovered. The provider 'up' answers again."),
    ]

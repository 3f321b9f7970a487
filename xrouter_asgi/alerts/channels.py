"""Where alerts go: the log, and webhooks in three dialects. Any callable will do as well."""

from __future__ import annotations

import html
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import httpx

from ..errors import UpstreamError
from ..providers.http import TLS, Upstream
from ..wire.codec import encode

_ANSWER = 64 << 10  # bytes; nobody reads them

logger = logging.getLogger("xrouter")


@dataclass(frozen=True, slots=True)
class Alert:
    """What somebody should know.

    Attributes:
        rule, subject, text: See `Rule` and `Finding`.
        recovered: Whether it is over.
        time: Unix time in seconds.
    """

    rule: str
    subject: str
    text: str
    recovered: bool
    time: float


Channel: TypeAlias = Callable[[Alert], Awaitable[object] | None]
"""Where alerts go: a function, or a coroutine function. It must not block the event loop."""

AlertWriter: TypeAlias = Callable[[Alert], Mapping[str, Any]]
"""Makes the JSON object that a webhook is sent."""


class Undelivered(Exception):
    """A channel could not pass an alert on. The message is for the log and holds no secret."""


def log(alert: Alert) -> None:
    """One line in the log `xrouter`: a warning, or an info about what is over."""
    level = logging.INFO if alert.recovered else logging.WARNING
    facts = {"rule": alert.rule, "subject": alert.subject}
    logger.log(level, "Alert %s: %s", alert.rule, _headed(alert), extra=facts)


def as_json(alert: Alert) -> Mapping[str, Any]:
    """For programs."""
    return {
        "rule": alert.rule,
        "subject": alert.subject,
        "state": "recovered" if alert.recovered else "firing",
        "text": alert.text,
        "time": datetime.fromtimestamp(alert.time, UTC).isoformat(timespec="seconds"),
    }


class Webhook:
    """POSTs each alert as JSON, over a connection of its own. Raises ValueError for arguments that cannot be used.

    Args:
        url: It is taken for a secret: only the host is ever shown.
        write: Returns what to send.
        headers: Sent along, such as a token.
        tls: Certificates are read when the webhook is made.
        proxy: `http://` or `https://` address of a proxy.
    """

    def __init__(
        self,
        url: str,
        *,
        write: AlertWriter = as_json,
        headers: Mapping[str, str] | None = None,
        tls: TLS = TLS(),  # noqa: B008 -- frozen
        proxy: str | None = None,
    ) -> None:
        parsed = _parsed(url)
        self._write = write
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._base = str(parsed.copy_with(raw_path=b"/")).removesuffix("/")
        # Apart from the base, which is shown in the details of errors.
        self._path = parsed.raw_path.decode("ascii")
        self._host = parsed.host
        self._tls = TLS(tls.context()) if parsed.scheme == "https" else tls
        self._proxy = proxy
        self._upstream()  # to say now what is wrong with it

    async def __call__(self, alert: Alert) -> None:
        """Deliver it. Raises Undelivered if the host cannot be reached or answers with another status than 2xx."""
        upstream = self._upstream()
        try:
            answer = await upstream.fetch("POST", self._path, content=encode(self._write(alert)), limit=_ANSWER)
        except UpstreamError as error:
            # Without the cause and the detail, which show the path.
            raise Undelivered(f"{self._host} cannot be reached: {error.code}.") from None
        finally:
            await upstream.aclose()
        if not 200 <= answer.status < 300:
            raise Undelivered(f"{self._host} answered with status {answer.status}.")

    def __repr__(self) -> str:
        return f"Webhook(host={self._host!r})"

    def _upstream(self) -> Upstream:
        return Upstream(self._base, headers=self._headers, tls=self._tls, proxy=self._proxy)


def slack(url: str, *, tls: TLS = TLS(), proxy: str | None = None) -> Webhook:  # noqa: B008 -- frozen
    """An incoming webhook of Slack, Mattermost or Rocket.Chat. See https://api.slack.com/messaging/webhooks."""
    return Webhook(url, write=_for_slack, tls=tls, proxy=proxy)


def telegram(
    token: str,
    *,
    chat: str,
    base_url: str = "https://api.telegram.org",
    tls: TLS = TLS(),  # noqa: B008 -- frozen
    proxy: str | None = None,
) -> Webhook:
    """A chat of Telegram: its id, or `@channel`. See https://core.telegram.org/bots/api#sendmessage."""

    def write(alert: Alert) -> Mapping[str, Any]:
        return {"chat_id": chat, "text": _headed(alert), "disable_web_page_preview": True}

    return Webhook(f"{base_url.rstrip('/')}/bot{token}/sendMessage", write=write, tls=tls, proxy=proxy)


def _for_slack(alert: Alert) -> Mapping[str, Any]:
    return {"text": html.escape(_headed(alert), quote=False)}


def _headed(alert: Alert) -> str:
    return f"Recovered. {alert.text}" if alert.recovered else alert.text


def _parsed(url: str) -> httpx.URL:
    # The URL is not repeated in the message: who knows it can write where alerts go.
    wrong = ValueError("The URL of a webhook cannot be used. Write all of it, as in 'https://hooks.example.com/T0/B0'.")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise wrong from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or "%" in parsed.host:
        raise wrong
    return parsed

"""The table of alerts: what to watch, and which channels to notify."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from ..alerts import (
    Alerts,
    BudgetsUsed,
    Channel,
    CircuitsOpen,
    CredentialRefused,
    ErrorShare,
    LedgerBehind,
    LimitsDegraded,
    ModelGone,
    QuotaUsedUp,
    Rule,
    SlowShare,
    Webhook,
    log,
    slack,
    telegram,
)
from ..checks import Count, Seconds
from ..providers.http import TLS
from .base import Buildable, Table
from .references import CABundle, Hidden, Secret, reveal
from .upstreams import BaseURL

Share = Annotated[float, Field(gt=0, le=1)]
RuleName: TypeAlias = Literal[
    "error_share",
    "circuit_open",
    "credential_refused",
    "quota_used_up",
    "model_gone",
    "limiter_degraded",
    "budget",
    "ledger_behind",
    "slow",
]


class _ChannelSettings(Buildable):
    """Keys of all channels.

    Attributes:
        ca_bundle: File or folder with certificates to trust besides the public ones, or `system` for this machine's
            store in their place. By default what `SSL_CERT_FILE` or `SSL_CERT_DIR` names.
        proxy: `http://` or `https://` address. May be a reference, since it may hold a password.
    """

    ca_bundle: CABundle = None
    proxy: Hidden | None = None

    @abstractmethod
    def build(self) -> Webhook:
        """Make the channel. Opens nothing but the files with certificates."""


class WebhookSettings(_ChannelSettings):
    """`[alerts.webhook]`: each alert is POSTed as JSON.

    Attributes:
        url: Where to POST. May be a reference, since it may hold a secret.
        headers: Sent with each alert. A value may be a reference.
    """

    url: Hidden
    headers: dict[str, Hidden] = Field(default_factory=dict)

    def build(self) -> Webhook:
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        url = self.url.get_secret_value()
        return Webhook(url, headers=headers, tls=TLS(self.ca_bundle), proxy=reveal(self.proxy))


class SlackSettings(_ChannelSettings):
    """`[alerts.slack]`: an incoming webhook of Slack, Mattermost or Rocket.Chat.

    Attributes:
        url: The address of the webhook, which is a secret.
    """

    url: Secret

    def build(self) -> Webhook:
        return slack(self.url.get_secret_value(), tls=TLS(self.ca_bundle), proxy=reveal(self.proxy))


class TelegramSettings(_ChannelSettings):
    """`[alerts.telegram]`: a message of a bot.

    Attributes:
        token: The token of the bot.
        chat: The id of a chat, or `@channel`.
        base_url: The base URL of the Bot API.
    """

    token: Secret
    chat: str
    base_url: BaseURL = "https://api.telegram.org"

    def build(self) -> Webhook:
        token, tls = self.token.get_secret_value(), TLS(self.ca_bundle)
        return telegram(token, chat=self.chat, base_url=self.base_url, tls=tls, proxy=reveal(self.proxy))


class AlertsSettings(Table):
    """`[alerts]`: what to watch, and which channels to notify.

    Attributes:
        error_share: The share of failed requests that raises an alert.
        slow: An answer is slow if its head takes so many seconds. Without it nobody is told of slow answers.
        slow_share: The share of slow answers that raises an alert.
        window: Shares are of the requests of so many seconds.
        minimum: Shares count from so many requests on.
        cooldown: Seconds between two alerts about the same thing. Its end is told at once.
        off: Rules that are off.
        log: Whether alerts go to the log.
    """

    error_share: Share = 0.5
    slow: Seconds | None = None
    slow_share: Share = 0.5
    window: Seconds = 60.0
    minimum: Count = 20
    cooldown: Seconds = 600.0
    off: tuple[RuleName, ...] = ()
    log: bool = True
    webhook: WebhookSettings | None = None
    slack: SlackSettings | None = None
    telegram: TelegramSettings | None = None

    def build(self) -> Alerts:
        channels: list[Channel] = [log] if self.log else []
        return Alerts(self.rules, [*channels, *self.webhooks().values()], cooldown=self.cooldown)

    def webhooks(self) -> dict[str, Webhook]:
        """Make the channels that tell others, by the names of their tables."""
        tables = {"webhook": self.webhook, "slack": self.slack, "telegram": self.telegram}
        return {name: table.build() for name, table in tables.items() if table is not None}

    @property
    def rules(self) -> list[Rule]:
        """The rules that are on."""
        rules: list[Rule] = [
            ErrorShare(share=self.error_share, window=self.window, minimum=self.minimum),
            CircuitsOpen(),
            CredentialRefused(),
            QuotaUsedUp(),
            ModelGone(),
            LimitsDegraded(),
            BudgetsUsed(),
            LedgerBehind(),
        ]
        if self.slow is not None:
            rules.append(SlowShare(slow=self.slow, share=self.slow_share, window=self.window, minimum=self.minimum))
        return [rule for rule in rules if rule.name not in self.off]

    @property
    def channels(self) -> list[str]:
        """The names of the channels to notify."""
        return [name for name in ("log", "webhook", "slack", "telegram") if getattr(self, name)]

    @model_validator(mode="after")
    def _has_a_channel(self) -> Self:
        if not self.channels:
            raise ValueError("would tell nobody. Write log = true, or a table [alerts.webhook], .slack or .telegram.")
        return self

"""The table about who is told when something is wrong."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal, Self, TypeAlias, TypedDict

from pydantic import Field, model_validator

from ..alerts import (
    Alerts,
    CircuitsOpen,
    CredentialRefused,
    ErrorShare,
    LimitsDegraded,
    QuotaUsedUp,
    Rule,
    SlowShare,
    Webhook,
    log,
    slack,
    telegram,
)
from ..providers.http import TLS
from .base import Buildable, Count, Seconds, Table
from .providers import BaseURL
from .references import ExistingPath, Hidden, Secret, reveal

Share = Annotated[float, Field(gt=0, le=1)]
RuleName: TypeAlias = Literal[
    "error_share", "circuit_open", "credential_refused", "quota_used_up", "limiter_degraded", "slow"
]


class _Way(TypedDict):
    tls: TLS
    proxy: str | None


class _ChannelSettings(Buildable):
    """What all channels have.

    Attributes:
        ca_bundle: File or folder with certificates to trust besides the public ones.
        proxy: `http://` or `https://` address; may be a reference, since it may hold a password.
    """

    ca_bundle: ExistingPath | None = None
    proxy: Hidden | None = None

    @abstractmethod
    def build(self) -> Webhook:
        """The channel. Opens nothing but the files with certificates."""

    def _way(self) -> _Way:
        return {
            "tls": TLS(self.ca_bundle),
            "proxy": reveal(self.proxy),
        }

    def _try(self) -> None:
        self.build()


class WebhookSettings(_ChannelSettings):
    """`[alerts.webhook]`: each alert is POSTed as JSON.

    Attributes:
        url: May be a reference, if it holds a secret.
        headers: Sent along; a value may be a reference.
    """

    url: Hidden
    headers: dict[str, Hidden] = Field(default_factory=dict)

    def build(self) -> Webhook:
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        return Webhook(self.url.get_secret_value(), headers=headers, **self._way())


class SlackSettings(_ChannelSettings):
    """`[alerts.slack]`: an incoming webhook of Slack, Mattermost or Rocket.Chat."""

    url: Secret

    def build(self) -> Webhook:
        return slack(self.url.get_secret_value(), **self._way())


class TelegramSettings(_ChannelSettings):
    """`[alerts.telegram]`.

    Attributes:
        token: The bot's.
        chat: The id of a chat, or `@channel`.
        base_url: Of the Bot API.
    """

    token: Secret
    chat: str
    base_url: BaseURL = "https://api.telegram.org"

    def build(self) -> Webhook:
        return telegram(self.token.get_secret_value(), chat=self.chat, base_url=self.base_url, **self._way())


class AlertsSettings(Table):
    """`[alerts]`: what to watch, and who is told.

    Attributes:
        error_share: Which share of the requests fails when it is wrong.
        slow, slow_share: Seconds to the head of an answer from which it is slow, and which share of the requests is so
            when it is wrong. Without `slow` nobody looks.
        window, minimum: Seconds that shares look back on, and how many requests in them prove something.
        cooldown: Seconds between two alerts about the same.
        off: Rules that are not kept.
        log: Whether the log is told.
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
        channels = [table.build() for table in (self.webhook, self.slack, self.telegram) if table is not None]
        return Alerts(self.rules, [log, *channels] if self.log else channels, cooldown=self.cooldown)

    @property
    def rules(self) -> list[Rule]:
        """Those that are kept."""
        rules: list[Rule] = [
            ErrorShare(share=self.error_share, window=self.window, minimum=self.minimum),
            CircuitsOpen(),
            CredentialRefused(),
            QuotaUsedUp(),
            LimitsDegraded(),
        ]
        if self.slow is not None:
            rules.append(SlowShare(slow=self.slow, share=self.slow_share, window=self.window, minimum=self.minimum))
        return [rule for rule in rules if rule.name not in self.off]

    @property
    def told(self) -> list[str]:
        """Names of the channels."""
        return [name for name in ("log", "webhook", "slack", "telegram") if getattr(self, name)]

    @model_validator(mode="after")
    def _tells_somebody(self) -> Self:
        if not self.told:
            raise ValueError("would tell nobody. Write log = true, or a table [alerts.webhook], .slack or .telegram.")
        return self

"""The tables of providers, one class for each `kind`. Names, meanings and defaults are those of the providers."""

from __future__ import annotations

import math
import ssl
from abc import abstractmethod
from dataclasses import fields
from typing import Annotated, Literal, Self, TypeAlias, TypedDict

from pydantic import AfterValidator, Field, PlainValidator, SecretStr, model_validator

from ..policies.upstream_state import UpstreamState
from ..providers.base import ReadyProvider
from ..providers.echo import EchoProvider
from ..providers.gigachat import (
    AUTH_URL,
    BASE_URL,
    AccessToken,
    AuthorizationKey,
    Credentials,
    GigaChatProvider,
    Options,
    Password,
)
from ..providers.http import TLS, Instrument, Timeouts, Upstream
from ..providers.openai import OpenAIProvider
from ..providers.own_key import BringYourOwnKey
from ..queueing.adaptive import AdaptiveLimit
from ..queueing.slots import Slots
from .base import Buildable, Count, Seconds, Some, Table
from .references import ExistingPath, Hidden, Secret, reveal

_TIMEOUTS = Timeouts()
_OPTIONS = Options()
_ANYBODY = "YTpi"  # a credential that every kind can be built with


def _base_url(url: str) -> str:
    try:
        Upstream(url)
    except ValueError as exc:
        raise ValueError(f"cannot be used: {exc}") from exc
    return url


BaseURL = Annotated[str, AfterValidator(_base_url)]


class TimeoutSettings(Table):
    """See `providers.http.Timeouts`; seconds. `total = inf` sets no bound."""

    connect: Seconds = _TIMEOUTS.connect
    first: Seconds = _TIMEOUTS.first
    idle: Seconds = _TIMEOUTS.idle
    total: Annotated[float, Field(gt=0)] = _TIMEOUTS.total or math.inf
    write: Seconds = _TIMEOUTS.write
    pool: Seconds = _TIMEOUTS.pool

    def build(self) -> Timeouts:
        return Timeouts(**{**self.model_dump(), "total": None if math.isinf(self.total) else self.total})


class _Connection(TypedDict):
    base_url: str
    timeouts: Timeouts
    tls: TLS
    proxy: str | None


class UpstreamSettings(Buildable):
    """What every provider behind HTTP has.

    Attributes:
        ca_bundle: File or folder with certificates to trust besides the public ones.
        cert, key, key_password: The certificate that this gateway shows.
        insecure: Do not check the upstream's certificate.
        proxy: `http://` or `https://` address; may be a reference, since it may hold a password.
        own_key: Whether callers may, or must, bring a credential of their own in `x-provider-key`. What may stand for
            the gateway's account is not shown beside it: no other credential, no `headers`, no `cert`.
    """

    base_url: BaseURL
    timeouts: TimeoutSettings = TimeoutSettings()
    ca_bundle: ExistingPath | None = None
    cert: ExistingPath | None = None
    key: ExistingPath | None = None
    key_password: Secret | None = None
    insecure: bool = False
    proxy: Hidden | None = None
    own_key: Literal[False, True, "required"] = False

    def build(self, name: str, *, instrument: Instrument | None = None) -> ReadyProvider:
        """The provider of that name. Opens nothing but the files with certificates."""
        if not self.own_key:
            return self._provider(name, instrument)
        inner = None if self.own_key == "required" else self._provider(name, instrument)
        # Once: to read the certificates takes longer than a request, and the warning of `insecure` is told here.
        trust = self._tls().anonymous().context()
        return BringYourOwnKey(
            lambda key: self._with_only(key)._provider(name, instrument, trust), inner=inner, name=name
        )

    @abstractmethod
    def _provider(self, name: str, instrument: Instrument | None, trust: ssl.SSLContext | None = None) -> ReadyProvider:
        """With the credential of these settings. `trust` stands in place of `ca_bundle` and `insecure`."""

    @abstractmethod
    def _with_only(self, credential: str) -> Self:
        """The settings with the credential of a caller, and without what may stand for another account."""

    def _try(self) -> None:
        # Without `insecure`, whose warning belongs to the provider that is used.
        checked = self.model_copy(update={"insecure": False})
        checked.build("")
        if self.own_key:
            checked._with_only(_ANYBODY)._provider("", None)

    def account(self) -> UpstreamState:
        """What the models of one provider share."""
        return UpstreamState()

    def _connection(self, trust: ssl.SSLContext | None) -> _Connection:
        return {
            "base_url": self.base_url,
            "timeouts": self.timeouts.build(),
            "tls": self._tls() if trust is None else TLS(trust),
            "proxy": reveal(self.proxy),
        }

    def _tls(self) -> TLS:
        return TLS(
            self.ca_bundle,
            cert=str(self.cert) if self.cert else None,
            key=str(self.key) if self.key else None,
            key_password=reveal(self.key_password),
            insecure=self.insecure,
        )


class GigaChatSettings(UpstreamSettings):
    """`kind = "gigachat"`. One of `credentials`, `user` and `password`, `access_token` or `cert` is needed."""

    kind: Literal["gigachat"]
    base_url: BaseURL = BASE_URL
    auth_url: BaseURL = AUTH_URL
    credentials: Secret | None = None
    scope: Literal["GIGACHAT_API_PERS", "GIGACHAT_API_B2B", "GIGACHAT_API_CORP"] = "GIGACHAT_API_PERS"
    user: Hidden | None = None
    password: Secret | None = None
    access_token: Secret | None = None
    max_parallel: Count | None = None
    queue_timeout: Seconds = 30.0
    client_id: str | None = None
    allow_networks: tuple[str, ...] = ()
    # The rest are the fields of `Options`.
    strict: bool = _OPTIONS.strict
    aliases: dict[str, str] = Field(default_factory=dict)
    structured_output: Literal["auto", "native", "function", "prompt"] = _OPTIONS.structured_output
    empty_content: Literal["empty", "null", "omit"] = _OPTIONS.empty_content
    late_system: Literal["merge", "user"] = _OPTIONS.late_system
    replay_state: bool = _OPTIONS.replay_state
    reasoning_models: tuple[str, ...] = tuple(_OPTIONS.reasoning_models)
    max_tokens: Count | None = _OPTIONS.max_tokens
    attachment_text: str = _OPTIONS.attachment_text

    def _with_only(self, credential: str) -> Self:
        nobody = dict.fromkeys(("user", "password", "access_token", "cert", "key", "key_password", "client_id"))
        return self.model_copy(update={**nobody, "credentials": SecretStr(credential)})

    def _provider(
        self, name: str, instrument: Instrument | None, trust: ssl.SSLContext | None = None
    ) -> GigaChatProvider:
        return GigaChatProvider(
            name=name,
            **self._connection(trust),
            credentials=self._credentials(),
            max_parallel=self.max_parallel,
            queue_timeout=self.queue_timeout,
            client_id=self.client_id,
            allow_networks=self.allow_networks,
            instrument=instrument,
            options=Options(**{option.name: getattr(self, option.name) for option in fields(Options)}),
        )

    def _credentials(self) -> Credentials | None:
        key, token = reveal(self.credentials), reveal(self.access_token)
        user, password = reveal(self.user), reveal(self.password)
        login: AuthorizationKey | Password | None = None
        if key:
            login = AuthorizationKey(key, scope=self.scope, url=self.auth_url)
        elif user and password:
            login = Password(user, password)
        return AccessToken(token, then=login, scope=self.scope) if token else login


def _parallel(value: object) -> object:
    if value == "adaptive" or (type(value) is int and value > 0):
        return value
    raise ValueError(f'is {value!r}. Write a number above 0, or "adaptive".')


class OpenAISettings(UpstreamSettings):
    """`kind = "openai"`: any upstream that speaks OpenAI's API. A value of `headers` may be a reference.

    Attributes:
        max_parallel: How many chats and embeddings at once, of all models together; `adaptive` finds it out.
    """

    kind: Literal["openai"]
    api_key: Secret | None = None
    headers: dict[str, Hidden] = Field(default_factory=dict)
    http2: bool = False
    ask_usage: bool = True
    max_parallel: Annotated[int | Literal["adaptive"], PlainValidator(_parallel)] | None = None

    def account(self) -> UpstreamState:
        if self.max_parallel is None:
            return UpstreamState()
        return UpstreamState(slots=Slots(AdaptiveLimit() if self.max_parallel == "adaptive" else self.max_parallel))

    @model_validator(mode="after")
    def _counts_one_account(self) -> Self:
        if self.own_key and self.max_parallel is not None:
            raise ValueError("has 'own_key', so there is not one account whose calls 'max_parallel' could count.")
        return self

    def _with_only(self, credential: str) -> Self:
        nobody: dict[str, object] = {"headers": {}, **dict.fromkeys(("cert", "key", "key_password"))}
        return self.model_copy(update={**nobody, "api_key": SecretStr(credential)})

    def _provider(
        self, name: str, instrument: Instrument | None, trust: ssl.SSLContext | None = None
    ) -> OpenAIProvider:
        return OpenAIProvider(
            name=name,
            **self._connection(trust),
            api_key=reveal(self.api_key),
            headers={header: value.get_secret_value() for header, value in self.headers.items()},
            http2=self.http2,
            ask_usage=self.ask_usage,
            instrument=instrument,
        )


class EchoSettings(Table):
    """`kind = "echo"`: says what it was told, word by word with `delay` seconds between."""

    kind: Literal["echo"]
    models: Some[str] = ("echo",)
    delay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    def build(self, name: str, *, instrument: Instrument | None = None) -> EchoProvider:
        """The provider of that name. There is no HTTP to instrument."""
        return EchoProvider(name=name, models=self.models, delay=self.delay)


ProviderSettings: TypeAlias = GigaChatSettings | OpenAISettings | EchoSettings

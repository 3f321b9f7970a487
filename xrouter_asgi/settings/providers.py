"""The tables of providers, one class for each `kind`. Names, meanings and defaults are those of the providers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, model_validator

from ..admission import most_connections
from ..checks import Amount, Count, Seconds
from ..providers.anthropic import BASE_URL as ANTHROPIC_URL
from ..providers.anthropic import AnthropicOptions, AnthropicProvider
from ..providers.by_dialect import ByDialect
from ..providers.echo import EchoProvider
from ..providers.gigachat import (
    AUTH_URL,
    BASE_URL,
    AccessToken,
    AuthorizationKey,
    Credentials,
    GigaChatOptions,
    GigaChatProvider,
    Password,
    mistake_in,
)
from ..providers.http import TLS, Instrument
from ..providers.openai import OpenAIOptions, OpenAIProvider, has_responses
from ..providers.presets import PRESETS, Dialect, PresetKind
from .base import Some, Table
from .presets import filled_in, missing
from .references import Hidden, Secret, reveal, sources_of
from .upstreams import AccountSettings, BaseURL, UpstreamSettings

_KEY = "ANTHROPIC_API_KEY"


def _authorization_key(key: SecretStr) -> SecretStr:
    if (mistake := mistake_in(key.get_secret_value())) is not None:
        raise ValueError(mistake)
    return key


class GigaChatSettings(UpstreamSettings):
    """`kind = "gigachat"`. One of `credentials`, `user` and `password`, `access_token` or `cert` is needed.

    Attributes:
        kind: GigaChat's API.
        base_url: Up to and including `/v1`.
        auth_url: Where access tokens come from.
        credentials: The authorization key.
        scope: For whom the key is: persons, or companies that pay in advance (`B2B`) or afterwards (`CORP`).
        user: The name of a login with a password. May be a reference.
        password: Its password.
        access_token: A token of GigaChat's. When it ends, `credentials` or `user` get the next one.
        max_parallel: Chats at once; others go to a target that is free, or wait. By default 1 for persons, else 10.
        queue_timeout: Seconds that a chat waits at most until others have ended.
        client_id: The value of `X-Client-ID`; by default it comes from the key.
        allow_networks: Private networks from which pictures may be fetched.
        options: Details of the translation.
    """

    kind: Literal["gigachat"]
    base_url: BaseURL = BASE_URL
    auth_url: BaseURL = AUTH_URL
    credentials: Annotated[Secret, AfterValidator(_authorization_key)] | None = None
    scope: Literal["GIGACHAT_API_PERS", "GIGACHAT_API_B2B", "GIGACHAT_API_CORP"] = "GIGACHAT_API_PERS"
    user: Hidden | None = None
    password: Secret | None = None
    access_token: Secret | None = None
    max_parallel: Count | None = None
    queue_timeout: Seconds = 30.0
    client_id: str | None = None
    allow_networks: tuple[str, ...] = ()
    options: GigaChatOptions = GigaChatOptions()

    def _with_only(self, credential: str) -> Self:
        nobody = dict.fromkeys(("user", "password", "access_token", "client_id"))
        return self.model_copy(update={**nobody, "credentials": SecretStr(credential)})

    def _provider(self, name: str, tls: TLS, instrument: Instrument | None) -> GigaChatProvider:
        return GigaChatProvider(
            name=name,
            base_url=self.base_url,
            timeouts=self.timeouts,
            tls=tls,
            proxy=reveal(self.proxy),
            credentials=self._credentials(),
            max_parallel=self.max_parallel,
            queue_timeout=self.queue_timeout,
            client_id=self.client_id,
            allow_networks=self.allow_networks,
            instrument=instrument,
            options=self.options,
            errors=self.errors,
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


class OpenAISettings(AccountSettings):
    """`kind = "openai"`: any upstream that speaks OpenAI's API; or one of those that are known (`PRESETS`).

    Attributes:
        kind: Any upstream that speaks OpenAI's API, or one whose address and manners are known.
        folder: The folder of an account at Yandex, which needs it. May be a reference.
        speaks: Which client APIs besides chat the upstream has itself; by default what is known about its `kind`.
        ask_usage: Ask for the usage of streams; off for upstreams that refuse `stream_options`.
        members: Members of requests that go upstream besides those that always do, such as `["store"]`.
        options: How the upstream wants to be sent what other APIs than chat ask for.
    """

    kind: Literal["openai", PresetKind]
    folder: Hidden | None = None
    speaks: tuple[Dialect, ...] | None = None
    ask_usage: bool = True
    members: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    options: OpenAIOptions = OpenAIOptions()

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, table: Any, info: ValidationInfo) -> Any:
        return filled_in(table, sources_of(info).environment)

    @model_validator(mode="after")
    def _knows_its_account(self) -> Self:
        given = {"api_key": bool(self.api_key or self.headers), "folder": self.folder is not None}
        if (sentence := missing(self.kind, given, own_key=self.own_key)) is not None:
            raise ValueError(sentence)
        return self

    def upstream_name(self, model: str) -> str:
        row = PRESETS.get(self.kind)
        if row is None or row.model_prefix is None or "://" in model:
            return model
        return row.model_prefix.replace("{folder}", reveal(self.folder) or "") + model

    def _provider(self, name: str, tls: TLS, instrument: Instrument | None) -> OpenAIProvider | ByDialect:
        common: dict[str, Any] = {
            "name": name,
            "base_url": self.base_url,
            "timeouts": self.timeouts,
            "tls": tls,
            "proxy": reveal(self.proxy),
            "http2": self.http2,
            "errors": self.errors,
            "max_connections": self.max_connections or most_connections(),
            "instrument": instrument,
        }
        provider = OpenAIProvider(
            **common,
            api_key=None if self._key_header else reveal(self.api_key),
            headers=self._all_headers(),
            responses="responses" in self.spoken,
            ask_usage=self.ask_usage,
            members=self.members,
            options=self.options,
        )
        if "messages" not in self.spoken:
            return provider
        bearer = {} if self._key_header or not self.api_key else {"Authorization": f"Bearer {reveal(self.api_key)}"}
        return ByDialect(provider, {"messages": AnthropicProvider(**common, headers={**bearer, **self._all_headers()})})

    @property
    def spoken(self) -> Sequence[str]:
        row = PRESETS.get(self.kind)
        speaks: Sequence[str] | None = self.speaks if self.speaks is not None or row is None else row.speaks
        if speaks is None:
            speaks = ("responses",) if has_responses(self.base_url) else ()
        legacy = ("completions",) if self.options.completions else ()
        return ("chat", *speaks, *legacy)

    @property
    def _key_header(self) -> str | None:
        row = PRESETS.get(self.kind)
        return None if row is None else row.key_header

    def _all_headers(self) -> dict[str, str]:
        """Those of the table, and those in which the upstream wants to be told who asks."""
        row = PRESETS.get(self.kind)
        special = {} if row is None else {row.key_header: self.api_key, row.project_header: self.folder}
        told = {name: value.get_secret_value() for name, value in special.items() if name and value is not None}
        return told | self._headers()


class AnthropicSettings(AccountSettings):
    """`kind = "anthropic"`: Claude, or any upstream at `base_url` that speaks Anthropic's Messages API.

    Attributes:
        kind: Anthropic's Messages API.
        base_url: Up to and including `/v1`.
        options: Details of the translation.
    """

    kind: Literal["anthropic"]
    base_url: BaseURL = ANTHROPIC_URL
    options: AnthropicOptions = AnthropicOptions()

    @property
    def spoken(self) -> Sequence[str]:
        return ("messages",)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, table: Any, info: ValidationInfo) -> Any:
        """The key of Anthropic's own tools, which no other address gets to see."""
        known = isinstance(table, Mapping) and "base_url" not in table and sources_of(info).environment.get(_KEY)
        return {"api_key": f"env:{_KEY}", **table} if known else table

    @model_validator(mode="after")
    def _knows_its_account(self) -> Self:
        if self.base_url == ANTHROPIC_URL and not (self.api_key or self.headers) and self.own_key != "required":
            raise ValueError(f'has no key. Set the environment variable {_KEY}, or write api_key = "env:NAME".')
        return self

    def _provider(self, name: str, tls: TLS, instrument: Instrument | None) -> AnthropicProvider:
        return AnthropicProvider(
            name=name,
            base_url=self.base_url,
            timeouts=self.timeouts,
            tls=tls,
            proxy=reveal(self.proxy),
            api_key=reveal(self.api_key),
            headers=self._headers(),
            http2=self.http2,
            errors=self.errors,
            max_connections=self.max_connections or most_connections(),
            instrument=instrument,
            options=self.options,
        )


class EchoSettings(Table):
    """`kind = "echo"`: repeats the last message word by word.

    Attributes:
        kind: No upstream at all.
        models: The names of its models.
        delay: Seconds between two words.
    """

    kind: Literal["echo"]
    models: Some[str] = ("echo",)
    delay: Amount = 0.0

    @property
    def spoken(self) -> Sequence[str]:
        return ("chat",)

    def upstream_name(self, model: str) -> str:
        return model

    def build(self, name: str, *, instrument: Instrument | None = None) -> EchoProvider:
        """Make the provider under that name. It does no HTTP, so there is nothing to instrument."""
        return EchoProvider(name=name, models=self.models, delay=self.delay)


ProviderSettings: TypeAlias = GigaChatSettings | OpenAISettings | AnthropicSettings | EchoSettings

"""The tables of providers, one class for each `kind`. Names, meanings and defaults are those of the providers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, PlainValidator, SecretStr, ValidationInfo, model_validator

from ..admission import most_connections
from ..checks import Amount, Count, Seconds
from ..policies.upstream_state import UpstreamState
from ..providers.base import ReadyProvider
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
from ..providers.http import TLS, ErrorRule, Instrument, Timeouts, Upstream
from ..providers.openai import OpenAIOptions, OpenAIProvider
from ..providers.own_key import BringYourOwnKey
from ..providers.presets import PRESETS, PresetKind
from ..queueing.adaptive import AdaptiveLimit
from ..queueing.slots import Slots
from .base import Buildable, Some, Table
from .presets import filled_in, missing
from .references import CABundle, ExistingPath, Hidden, Secret, reveal, sources_of

_ANYBODY = "YTpi"  # a credential that every kind can be built with


def _base_url(url: str) -> str:
    try:
        Upstream(url)
    except ValueError as exc:
        raise ValueError(f"cannot be used: {exc}") from exc
    return url


BaseURL = Annotated[str, AfterValidator(_base_url)]


class UpstreamSettings(Buildable):
    """What all providers behind HTTP have in common.

    Attributes:
        ca_bundle: File or folder with certificates to trust besides the public ones, or `system` for this machine's
            store in their place. By default what `SSL_CERT_FILE` names.
        timeouts: See `providers.http.Timeouts`. `total = inf` sets no bound.
        cert, key, key_password: The client certificate of this gateway.
        insecure: Do not check the upstream's certificate.
        proxy: `http://` or `https://` address. May be a reference, since it may hold a password.
        own_key: Whether callers may (true) or must (`required`) bring a credential of their own in `x-provider-key`.
            Nothing that identifies the gateway's account goes with it: no credential, no `headers`, no `cert`.
        errors: Whose fault errors are: see `providers.ErrorRule`. They come before what this package knows.
    """

    base_url: BaseURL
    timeouts: Timeouts = Timeouts()
    ca_bundle: CABundle = None
    cert: ExistingPath | None = None
    key: ExistingPath | None = None
    key_password: Secret | None = None
    insecure: bool = False
    proxy: Hidden | None = None
    own_key: Literal[False, True, "required"] = False
    errors: tuple[ErrorRule, ...] = ()

    def build(self, name: str, *, instrument: Instrument | None = None) -> ReadyProvider:
        """Make the provider under that name. Opens nothing but the files with certificates."""
        if not self.own_key:
            return self._provider(name, self._tls(), instrument)
        inner = None if self.own_key == "required" else self._provider(name, self._tls(), instrument)
        # Read the certificates once, which takes longer than a request. This also logs the warning of `insecure`.
        tls = TLS(self._tls().anonymous().context())
        return BringYourOwnKey(
            lambda key: self._with_only(key)._provider(name, tls, instrument), inner=inner, name=name
        )

    @abstractmethod
    def _provider(self, name: str, tls: TLS, instrument: Instrument | None) -> ReadyProvider:
        """Make the provider with the credential of this table."""

    @abstractmethod
    def _with_only(self, credential: str) -> Self:
        """This table with the credential of a caller, and without all else in requests that names another account."""

    def _try(self) -> None:
        # Without `insecure`, whose warning is for the provider that is used.
        checked = self.model_copy(update={"insecure": False})
        checked.build("")
        if self.own_key:
            checked._with_only(_ANYBODY)._provider("", checked._tls().anonymous(), None)

    @property
    def trusted(self) -> str:
        """Whose certificates it trusts, in words."""
        return self._tls().trusted if self.base_url.startswith("https:") else "-"

    def upstream_name(self, model: str) -> str:
        """How the upstream calls a model, or a pattern of them."""
        return model

    def _tls(self) -> TLS:
        return TLS(
            self.ca_bundle,
            cert=str(self.cert) if self.cert else None,
            key=str(self.key) if self.key else None,
            key_password=reveal(self.key_password),
            insecure=self.insecure,
        )


def _authorization_key(key: SecretStr) -> SecretStr:
    if (mistake := mistake_in(key.get_secret_value())) is not None:
        raise ValueError(mistake)
    return key


class GigaChatSettings(UpstreamSettings):
    """`kind = "gigachat"`. One of `credentials`, `user` and `password`, `access_token` or `cert` is needed."""

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


def _parallel(value: object) -> object:
    if value == "adaptive" or (type(value) is int and value > 0):
        return value
    raise ValueError(f'is {value!r}. Write a number above 0, or "adaptive".')


class OpenAISettings(UpstreamSettings):
    """`kind = "openai"`: any upstream that speaks OpenAI's API; or one of those that `PRESETS` knows.

    Attributes:
        headers: Sent with every request. A value may be a reference.
        folder: The folder of an account at Yandex. May be a reference.
        members: Members of requests that go upstream besides those that always do; see `OpenAIProvider`.
        max_parallel: How many chats and embeddings at once, for all models together; `adaptive` learns the number.
        max_connections: How many connections at once; by default as many as there are descriptors for.
    """

    kind: Literal["openai", PresetKind]
    api_key: Secret | None = None
    folder: Hidden | None = None
    headers: dict[str, Hidden] = Field(default_factory=dict)
    http2: bool = False
    ask_usage: bool = True
    members: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    options: OpenAIOptions = OpenAIOptions()
    max_parallel: Annotated[int | Literal["adaptive"], PlainValidator(_parallel)] | None = None
    max_connections: Count | None = None

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

    def account(self) -> UpstreamState:
        """Make the state that all models of the provider share."""
        if self.max_parallel is None:
            return UpstreamState()
        return UpstreamState(slots=Slots(AdaptiveLimit() if self.max_parallel == "adaptive" else self.max_parallel))

    @model_validator(mode="after")
    def _counts_one_account(self) -> Self:
        if self.own_key and self.max_parallel is not None:
            raise ValueError("has 'own_key', so there is not one account whose calls 'max_parallel' could count.")
        return self

    def _with_only(self, credential: str) -> Self:
        return self.model_copy(update={"headers": {}, "api_key": SecretStr(credential)})

    def _provider(self, name: str, tls: TLS, instrument: Instrument | None) -> OpenAIProvider:
        return OpenAIProvider(
            name=name,
            base_url=self.base_url,
            timeouts=self.timeouts,
            tls=tls,
            proxy=reveal(self.proxy),
            api_key=None if self._key_header else reveal(self.api_key),
            headers=self._all_headers(),
            http2=self.http2,
            ask_usage=self.ask_usage,
            errors=self.errors,
            members=self.members,
            max_connections=self.max_connections or most_connections(),
            instrument=instrument,
            options=self.options,
        )

    @property
    def _key_header(self) -> str | None:
        row = PRESETS.get(self.kind)
        return None if row is None else row.key_header

    def _all_headers(self) -> dict[str, str]:
        """Those of the table, and those in which the upstream wants to be told who asks."""
        row = PRESETS.get(self.kind)
        special = {} if row is None else {row.key_header: self.api_key, row.project_header: self.folder}
        told = {name: value.get_secret_value() for name, value in special.items() if name and value is not None}
        return told | {name: value.get_secret_value() for name, value in self.headers.items()}


class EchoSettings(Table):
    """`kind = "echo"`: repeats the last message word by word, with `delay` seconds between words."""

    kind: Literal["echo"]
    models: Some[str] = ("echo",)
    delay: Amount = 0.0

    def upstream_name(self, model: str) -> str:
        return model

    def build(self, name: str, *, instrument: Instrument | None = None) -> EchoProvider:
        """Make the provider under that name. It does no HTTP, so there is nothing to instrument."""
        return EchoProvider(name=name, models=self.models, delay=self.delay)


ProviderSettings: TypeAlias = GigaChatSettings | OpenAISettings | EchoSettings

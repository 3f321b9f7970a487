"""The tables of a settings file, one class each. Defaults are those of the parts that they describe."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Annotated, Any, Literal, Self, TypeAlias, TypedDict

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ..providers.gigachat.options import Options
from ..providers.http import Timeouts, Upstream, ssl_context
from .references import ExistingPath, Hidden, Secret

_TIMEOUTS = Timeouts()
_OPTIONS = Options()


def _base_url(url: str) -> str:
    try:
        Upstream(url)
    except ValueError as exc:
        raise ValueError(f"cannot be used: {exc}") from exc
    return url


BaseUrl = Annotated[str, AfterValidator(_base_url)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Table(BaseModel):
    """A table whose unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TimeoutSettings(Table):
    """See `providers.http.Timeouts`; seconds. `total = inf` sets no bound."""

    connect: Seconds = _TIMEOUTS.connect
    first: Seconds = _TIMEOUTS.first
    idle: Seconds = _TIMEOUTS.idle
    total: Annotated[float, Field(gt=0)] = _TIMEOUTS.total or math.inf
    write: Seconds = _TIMEOUTS.write
    pool: Seconds = _TIMEOUTS.pool

    def build(self) -> Timeouts:
        values = self.model_dump()
        return Timeouts(**{**values, "total": None if math.isinf(self.total) else self.total})


class Certificate(TypedDict):
    """The client certificate as keyword arguments of a provider."""

    cert: str | None
    key: str | None
    key_password: str | None


class UpstreamSettings(Table):
    """What every provider behind HTTP has.

    Attributes:
        ca_bundle: File or folder with certificates to trust besides the public ones.
        cert, key, key_password: The certificate that this gateway shows.
        insecure: Do not check the upstream's certificate.
        proxy: `http://` or `https://` address; may be a reference, since it may hold a password.
    """

    base_url: BaseUrl
    timeouts: TimeoutSettings = TimeoutSettings()
    ca_bundle: ExistingPath | None = None
    cert: ExistingPath | None = None
    key: ExistingPath | None = None
    key_password: Secret | None = None
    insecure: bool = False
    proxy: Hidden | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """What the parts themselves refuse is reported with the other mistakes of the file. Nothing is opened."""
        try:
            tls = ssl_context(self.ca_bundle, **self.certificate)
            Upstream(self.base_url, proxy=reveal(self.proxy), tls=tls)
        except (ValueError, ImportError) as exc:
            raise ValueError(f"cannot be used: {exc}") from exc
        return self

    @property
    def certificate(self) -> Certificate:
        return Certificate(
            cert=str(self.cert) if self.cert else None,
            key=str(self.key) if self.key else None,
            key_password=reveal(self.key_password),
        )


def reveal(secret: Hidden | Secret | None) -> str | None:
    """The text behind a secret."""
    return None if secret is None else secret.get_secret_value()


class GigaChatSettings(UpstreamSettings):
    """`kind = "gigachat"`. One of `credentials`, `user` and `password`, `access_token` or `cert` is needed."""

    kind: Literal["gigachat"]
    base_url: BaseUrl = "https://api.giga.chat/v1"
    auth_url: BaseUrl = "https://ngw.devices.sberbank.ru:9443/api/v2/oauth"
    credentials: Secret | None = None
    scope: Literal["GIGACHAT_API_PERS", "GIGACHAT_API_B2B", "GIGACHAT_API_CORP"] = "GIGACHAT_API_PERS"
    user: Hidden | None = None
    password: Secret | None = None
    access_token: Secret | None = None
    max_parallel: Annotated[int, Field(gt=0)] | None = None
    queue_timeout: Seconds = 30.0
    client_id: str | None = None
    # The rest are the fields of `providers.gigachat.options.Options`.
    strict: bool = _OPTIONS.strict
    aliases: dict[str, str] = Field(default_factory=dict)
    structured_output: Literal["auto", "native", "function", "prompt"] = _OPTIONS.structured_output
    empty_content: Literal["empty", "null", "omit"] = _OPTIONS.empty_content
    late_system: Literal["merge", "user"] = _OPTIONS.late_system
    replay_state: bool = _OPTIONS.replay_state
    reasoning_models: tuple[str, ...] = tuple(_OPTIONS.reasoning_models)
    max_tokens: Annotated[int, Field(gt=0)] | None = _OPTIONS.max_tokens
    attachment_text: Annotated[str, Field(pattern=r"\S")] = _OPTIONS.attachment_text

    @model_validator(mode="after")
    def _can_authenticate(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("has one of 'user' and 'password'. Write both.")
        if not (self.credentials or self.user or self.access_token or self.cert):
            raise ValueError(
                'has nothing to authenticate with. Write credentials = "env:GIGACHAT_CREDENTIALS" (the authorization '
                "key), or 'user' and 'password', or 'access_token', or 'cert'."
            )
        return self

    def options(self) -> Options:
        return Options(**{option.name: getattr(self, option.name) for option in fields(Options)})


class OpenAISettings(UpstreamSettings):
    """`kind = "openai"`: any upstream that speaks OpenAI's API.

    Attributes:
        headers: Sent with every request; a value may be a reference.
    """

    kind: Literal["openai"]
    api_key: Secret | None = None
    headers: dict[str, Hidden] = Field(default_factory=dict)
    http2: bool = False


class EchoSettings(Table):
    """`kind = "echo"`: says what it was told, word by word with `delay` seconds between."""

    kind: Literal["echo"]
    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("echo",)
    delay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


ProviderSettings: TypeAlias = GigaChatSettings | OpenAISettings | EchoSettings


class TargetName(Table):
    """`provider/model`. A `*` in the model stands for what the `*` in the client's name matched."""

    provider: str
    model: str

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        provider, _, model = value.partition("/")
        if not provider or not model or model.count("*") > 1:
            raise ValueError(f'is {value!r}. Write "PROVIDER/MODEL", with at most one "*" in the model.')
        return {"provider": provider, "model": model}

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class ModelSettings(Table):
    """`[models.NAME]`: the name clients use, and what it stands for, in the order of preference."""

    targets: Annotated[tuple[TargetName, ...], Field(min_length=1)]


class ServerSettings(Table):
    """`[server]`.

    Attributes:
        port: 0 takes a free one.
        max_body: Bytes that a request may have.
        drain: Seconds that running requests get to finish after SIGTERM.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    max_body: Annotated[int, Field(gt=0)] = 32 << 20
    drain: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0

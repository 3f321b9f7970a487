"""What the tables of all providers behind HTTP have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PlainValidator, SecretStr, model_validator

from ..checks import Count
from ..policies.upstream_state import UpstreamState
from ..providers.base import ReadyProvider
from ..providers.http import TLS, ErrorRule, Instrument, Timeouts, Upstream
from ..providers.own_key import BringYourOwnKey
from ..queueing.adaptive import AdaptiveLimit
from ..queueing.slots import Slots
from .base import Buildable
from .references import CABundle, ExistingPath, Hidden, Secret, reveal

_ANYBODY = "YTpi"  # a credential that every kind can be built with


def _base_url(url: str) -> str:
    try:
        Upstream(url)
    except ValueError as exc:
        raise ValueError(f"cannot be used: {exc}") from exc
    return url


BaseURL = Annotated[str, AfterValidator(_base_url)]


class UpstreamSettings(Buildable):
    """Keys of all providers over HTTP.

    Attributes:
        base_url: Up to and including `/v1`; needed where the `kind` does not know it.
        timeouts: Seconds for each phase of an exchange.
        ca_bundle: File or folder with certificates to trust besides the public ones, or `system` for this machine's
            store in their place. By default what `SSL_CERT_FILE` or `SSL_CERT_DIR` names.
        cert: PEM with the client certificate of this gateway.
        key: PEM with its key.
        key_password: The password of that key.
        insecure: Do not check the upstream's certificate.
        proxy: `http://` or `https://` address. May be a reference, since it may hold a password.
        own_key: Whether callers may (`true`) or must (`required`) bring a credential of their own in `x-provider-key`.
            Nothing that identifies the gateway's account goes with it: no credential, no `headers`, no `cert`.
        errors: Whose fault errors are. They come before what this package knows.
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
    def spoken(self) -> Sequence[str]:
        """Which client APIs the upstream has itself; requests of all others are translated."""
        return ("chat",)

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


def _parallel(value: object) -> object:
    if value == "adaptive" or (type(value) is int and value > 0):
        return value
    raise ValueError(f'is {value!r}. Write a number above 0, or "adaptive".')


class AccountSettings(UpstreamSettings):
    """Keys of all providers with a plain key.

    Attributes:
        api_key: Sent as the upstream wants it, by default as a bearer token.
        headers: Sent with every request. A value may be a reference.
        http2: Speak HTTP/2, where the upstream does. Needs the extra `http2`.
        max_parallel: Chats and embeddings at once, for all models together; others go to a target that is free, or wait
            up to 30 seconds. `adaptive` learns the number: it starts at 10 and reaches at most 100. By default any.
        max_connections: Connections at once; by default half of the descriptors that there are, less 64.
    """

    api_key: Secret | None = None
    headers: dict[str, Hidden] = Field(default_factory=dict)
    http2: bool = False
    max_parallel: Annotated[int | Literal["adaptive"], PlainValidator(_parallel)] | None = None
    max_connections: Count | None = None

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

    def _headers(self) -> dict[str, str]:
        return {name: value.get_secret_value() for name, value in self.headers.items()}

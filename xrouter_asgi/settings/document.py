"""The settings as one document: from a file, from the environment, or parsed already."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field, PrivateAttr, SecretStr, ValidationError

from ..context import matches
from ..limits.prices import Prices
from ..telemetry.otlp_json import SERVICE
from .admin import AdminSettings
from .alerts import AlertsSettings
from .base import Table
from .caching import CacheSettings
from .environment import PREFIX, gigachat, variable
from .errors import Location, SettingsError, known_instead, sentences, show
from .layers import (
    AdmissionSettings,
    CORSSettings,
    KeysSettings,
    RateLimitSettings,
    ResponsesSettings,
)
from .metrics import MetricsSettings
from .models import ModelSettings, TargetSettings
from .providers import ProviderSettings
from .references import ReferenceSources
from .server import ServerSettings
from .spend import PriceSettings, SpendSettings, price_list, wrong_with_money
from .telemetry import AccessLogSettings, LogSettings, TracingSettings
from .workers import wrong_among

T = TypeVar("T", bound=Table)

FILE = Path("xrouter.toml")
VARIABLE = "XROUTER_CONFIG"


class Settings(Table):
    """What the standalone app serves and how. Its constructors raise SettingsError with every mistake at once."""

    providers: dict[str, Annotated[ProviderSettings, Field(discriminator="kind")]] = Field(default_factory=dict)
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    server: ServerSettings = ServerSettings()
    responses: ResponsesSettings = ResponsesSettings()
    cache: CacheSettings = CacheSettings()
    admission: AdmissionSettings = AdmissionSettings()
    keys: KeysSettings | None = None
    rate_limit: RateLimitSettings | None = None
    spend: SpendSettings | None = None
    prices: tuple[PriceSettings, ...] = ()
    cors: CORSSettings | None = None
    tracing: TracingSettings | None = None
    access_log: AccessLogSettings = AccessLogSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings | None = None
    alerts: AlertsSettings | None = None
    admin: AdminSettings | None = None
    _source: str = PrivateAttr("settings")

    @property
    def source(self) -> str:
        """Where they were read, for people: the file, or another name of the document."""
        return self._source

    @property
    def served(self) -> Mapping[str, ModelSettings]:
        """The names clients use. Without `models`, every model of the only provider under its own name."""
        every = tuple(TargetSettings(provider=name, model="*") for name in self.providers)
        return self.models or {"*": ModelSettings(targets=every)}

    @property
    def version(self) -> str:
        """8 hexadecimal digits that change with every setting, except secrets."""
        return blake2b(self.model_dump_json().encode(), digest_size=4).hexdigest()

    @property
    def limits(self) -> RateLimitSettings | None:
        """The limits to enforce. With keys there always are some, since a key may have limits of its own."""
        budgets = () if self.spend is None else self.spend.limit
        table = self.rate_limit or (RateLimitSettings() if self.keys is not None or self.spend is not None else None)
        return table and table.model_copy(update={"limit": (*table.limit, *budgets)})

    def price_list(self) -> Prices:
        """What the targets of all served models cost."""
        return price_list(self.spend, self.prices, self.served)

    def reloaded(self, newer: Settings) -> Self:
        """These settings with what a running gateway takes over of newer ones: providers, models and prices."""
        update: dict[str, Any] = {"providers": newer.providers, "models": newer.models, "prices": newer.prices}
        if self.spend is not None and newer.spend is not None:
            update["spend"] = self.spend.model_copy(update={"prices": newer.spend.prices})
        return self.model_copy(update=update)

    @property
    def service(self) -> str:
        """The name that collectors and Prometheus are told."""
        return SERVICE if self.tracing is None else self.tracing.service

    @property
    def ledger_url(self) -> SecretStr | None:
        """The database of the ledger; None without `[spend]`, or if there is no database."""
        if self.spend is None:
            return None
        return self.spend.url or (self.keys.url if self.keys is not None else None)

    def with_server(self, **values: Any) -> Self:
        """The same settings with other values in `[server]`. Raises SettingsError if they are wrong together."""
        try:
            server = ServerSettings.model_validate({**dict(self.server), **values})
        except ValidationError as exc:
            found = sentences(exc, ServerSettings, below=("server",))
        else:
            settings = self.model_copy(update={"server": server})
            found = list(settings._wrong_among_workers())
        if found:
            raise SettingsError([f"{show(path)} {sentence}" for path, sentence in found])
        return settings

    def _wrong_among_workers(self) -> Iterator[tuple[Location, str]]:
        return wrong_among(
            self.server.workers,
            limits=self.limits,
            responses=self.responses,
            metrics=self.metrics,
            ledger=self.ledger_url,
            admin=self.admin,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, *, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the file `path`, else `$XROUTER_CONFIG`, else `./xrouter.toml` if it exists; else GIGACHAT_*."""
        file = find_file(path, environment=environment)
        if file is None:
            return cls.from_environment(environment=environment)
        return cls.from_file(file, environment=environment)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, environment: Mapping[str, str] = os.environ) -> Self:
        """Read a file of TOML. Relative paths in it start at its folder."""
        file = Path(path)
        return cls.parse(read_document(file), source=str(file), environment=environment, folder=file.parent)

    @classmethod
    def from_environment(cls, *, environment: Mapping[str, str] = os.environ) -> Self:
        """Read GIGACHAT_*: see `settings.environment`."""
        if not any(environment.get(PREFIX + name) for name in _ENOUGH):
            raise SettingsError([_NOTHING])
        document = gigachat(environment)
        return cls.parse(
            document, source="environment", environment=environment, name_of=lambda path: variable(path) or show(path)
        )

    @classmethod
    def parse(
        cls,
        document: Mapping[str, Any],
        *,
        source: str = "settings",
        environment: Mapping[str, str] = os.environ,
        folder: Path = Path(),
        name_of: Callable[[Location], str] = show,
    ) -> Self:
        """Validate a document as `tomllib` returns it.

        Args:
            source: The name of the document in messages.
            environment: The variables that `env:NAME` may name.
            folder: Where relative paths start.
            name_of: Returns the name of a path in messages.
        """
        found = list(_cross_check(document))
        settings = None
        try:
            settings = cls.model_validate(document, context=ReferenceSources(environment, folder))
        except ValidationError as exc:
            found = sentences(exc, cls) + found
        if settings is not None:
            found += settings._wrong_among_workers()
            found += wrong_with_money(settings.spend, settings.rate_limit, settings.models)
            if settings.admin is not None and settings.keys is None:
                found.append((("keys",), "is missing, and [admin] lets in nobody without an admin key. Write it."))
        if found or settings is None:
            # Outside the handler, because a traceback of pydantic's error would show the values.
            problems = [f"{source}: {name_of(path)} {sentence}" for path, sentence in found]
            raise SettingsError(list(dict.fromkeys(problems)))
        settings._source = source
        return settings


def find_file(
    path: str | os.PathLike[str] | None = None, *, environment: Mapping[str, str] = os.environ
) -> Path | None:
    """The file that `Settings.load` reads; None if it reads the environment."""
    named = path or environment.get(VARIABLE)
    return Path(named or FILE) if named or FILE.is_file() else None


def load_keys(
    path: str | os.PathLike[str] | None = None, *, environment: Mapping[str, str] = os.environ
) -> KeysSettings | None:
    """Read only the table `[keys]` of the file of `Settings.load`, so that no other secret need be present."""
    return load_table("keys", KeysSettings, path, environment)


def load_rate_limit(
    path: str | os.PathLike[str] | None = None, *, environment: Mapping[str, str] = os.environ
) -> RateLimitSettings | None:
    """Read only the table `[rate_limit]` in the same way."""
    return load_table("rate_limit", RateLimitSettings, path, environment)


def load_table(
    name: str, kind: type[T], path: str | os.PathLike[str] | None, environment: Mapping[str, str]
) -> T | None:
    """Read only one table of the file of `Settings.load`, so that no other secret need be present."""
    file = find_file(path, environment=environment)
    table = read_document(file).get(name) if file is not None else None
    if file is None or table is None:
        return None
    try:
        return kind.model_validate(table, context=ReferenceSources(environment, file.parent))
    except ValidationError as exc:
        found = sentences(exc, kind, below=(name,))
    raise SettingsError([f"{file}: {show(path)} {sentence}" for path, sentence in found])


def read_document(file: Path) -> dict[str, Any]:
    """The tables of a file, as they are written. Raises SettingsError."""
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as exc:
        raise SettingsError([f"{file} cannot be read: {exc.strerror}."]) from exc
    except UnicodeDecodeError as exc:
        raise SettingsError([f"{file} is not a text in UTF-8."]) from exc
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError([f"{file} is not TOML: {exc}."]) from exc


def _cross_check(document: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Find names that lead nowhere, in the raw document, so that a mistake elsewhere does not hide them."""
    providers, models = document.get("providers"), document.get("models")
    if not isinstance(providers, dict) or not providers:
        yield ("providers",), 'is empty. Write for example providers.gigachat.kind = "gigachat".'
        return
    for name in providers:
        if not name or "/" in name:
            yield ("providers", name), "has a name that is empty or holds a '/'. Write one without."
    if not isinstance(models, dict):
        models = {}
    if not models and len(providers) > 1:
        target = f"{next(iter(providers))}/MODEL"
        sentence = f"is missing, and with {len(providers)} providers nothing says which model goes where."
        yield ("models",), f'{sentence} Write for example models.assistant.targets = ["{target}"].'
    for name, table in models.items():
        yield from _check_model(name, table, providers)
    limits = document.get("rate_limit")
    limited = limits.get("models") if isinstance(limits, dict) else None
    for name in limited if isinstance(limited, dict) and models else ():
        # A pattern may match names that only another pattern serves.
        if "*" not in name and not any(matches(model, name) for model in models):
            yield ("rate_limit", "models", name), f"is the name of no model. {known_instead(name, models)}"


def _check_model(name: str, table: Any, providers: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    if not name or name.count("*") > 1:
        yield ("models", name), "has a name that is empty or holds more than one '*'. Write one with at most one."
    targets = table.get("targets") if isinstance(table, dict) else None
    for index, target in enumerate(targets if isinstance(targets, list) else ()):
        provider, model = _provider_and_model(target)
        path = ("models", name, "targets", index)
        if provider and model and provider not in providers:
            yield path, f"names provider '{provider}'. {known_instead(provider, providers)}"
        if "*" in model and "*" not in name:
            yield path, f"holds a '*', but the name '{name}' has none that it could stand for. Write the model's name."


def _provider_and_model(target: Any) -> tuple[str, str]:
    """The provider and the model of a target in either form; empty texts for anything else."""
    match target:
        case str():
            provider, _, model = target.partition("/")
            return provider, model
        case {"provider": str(provider), "model": str(model)}:
            return provider, model
    return "", ""


_ENOUGH = ("CREDENTIALS", "ACCESS_TOKEN", "USER", "CERT_FILE")
_NOTHING = """\
There is nothing to serve yet. Three ways to start:
  xrouter demo                                 a model that echoes, without key or network
  GIGACHAT_CREDENTIALS=KEY xrouter serve       every model of GigaChat, with your authorization key
  xrouter init && xrouter serve                a file of settings with comments, from three questions"""

"""What settings serve, and which layers are on, as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from ..limits.limit import parse_limits
from ..settings import AlertsSettings, MetricsSettings, RateLimitSettings, Settings, TracingSettings
from .columns import in_columns

T = TypeVar("T")


def describe_models(settings: Settings) -> str:
    """The names that clients use, each with its targets."""
    rows = []
    for name, table in settings.served.items():
        first, *others = map(str, table.targets)
        how = "if it fails" if table.strategy == "in_order" else f"{table.strategy}, with"
        rows.append((name, first, f"{how}: {', '.join(others)}" if others else ""))
    return in_columns([("model", "target", ""), *rows])


def describe_layers(settings: Settings) -> str:
    """Which layers around the router are on, and how, without secrets; and the version of the settings."""
    rows = (
        ("keys", _keys(settings)),
        ("limits", _or_off(settings.limits, _limits)),
        ("access log", _access_log(settings)),
        ("tracing", _or_off(settings.tracing, _tracing)),
        ("metrics", _or_off(settings.metrics, _metrics)),
        ("alerts", _or_off(settings.alerts, _alerts)),
        ("cors", _or_off(settings.cors, lambda table: f"for {', '.join(table.origins)}")),
        ("version", settings.version),
    )
    return in_columns(rows)


def _keys(settings: Settings) -> str:
    table = settings.keys
    return f"{_address(table.url)}, {table.hasher}" if table else "off: whoever reaches this server is let in"


def _or_off(table: T | None, how: Callable[[T], str]) -> str:
    return "off" if table is None else how(table)


def _limits(table: RateLimitSettings) -> str:
    general = "; ".join(map(str, parse_limits(table.limit))) or "only those that keys or models have"
    if not table.shared:
        return f"{general}; counted in memory"
    return f"{general}; counted in {_address(table.storage)}, without it {_WITHOUT[table.when_unavailable]}"


_WITHOUT = {"degrade": "by each process for itself", "open": "not at all", "closed": "every request is refused"}


def _access_log(settings: Settings) -> str:
    match settings.access_log.format:
        case "off":
            return "off"
        case "logging":
            return "JSON to the logger xrouter.access"
    return f"{'text' if settings.access_log.readable else 'JSON'} on the standard output"


def _tracing(table: TracingSettings) -> str:
    return f"{table.sampling:.0%} to {table.endpoint or 'where OTEL_EXPORTER_OTLP_ENDPOINT says'}"


def _metrics(table: MetricsSettings) -> str:
    where = table.path if table.port is None else f"on port {table.port} of {table.host}"
    return f"{where}, {'with' if table.token else 'without'} a token"


def _alerts(table: AlertsSettings) -> str:
    return f"{', '.join(rule.name for rule in table.rules) or 'no rule'}; told to {', '.join(table.channels)}"


def _address(url: SecretStr) -> str:
    """The URL of a store without user, password and options."""
    parts = urlsplit(url.get_secret_value())
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"

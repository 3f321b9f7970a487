"""What settings serve, and whether the providers behind them answer: as plain text for a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from ..errors import XRouterError
from ..limits.limit import parse_limits
from ..providers.base import ReadyProvider
from ..settings import AlertsSettings, MetricsSettings, RateLimitSettings, Settings, TracingSettings

T = TypeVar("T")

_SHOWN = 5  # models in a line of the survey


@dataclass(frozen=True, slots=True)
class Finding:
    """What one provider said when it was asked for its models.

    Attributes:
        failure: Why there is no list; None when there is one.
    """

    provider: str
    models: Sequence[str] = ()
    failure: str | None = None


def describe(settings: Settings) -> str:
    """The names that clients use, each with its targets."""
    rows = []
    for name, table in settings.served.items():
        first, *others = map(str, table.targets)
        how = "if it fails" if table.strategy == "in_order" else f"{table.strategy}, with"
        rows.append((name, first, f"{how}: {', '.join(others)}" if others else ""))
    return aligned([("model", "target", ""), *rows])


def describe_skins(settings: Settings) -> str:
    """Which of keys, limits and so on are on, and how, without secrets; and the version of all settings."""
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
    return aligned(rows)


def _keys(settings: Settings) -> str:
    table = settings.keys
    return f"{_place(table.url)}, {table.hasher}" if table else "off: whoever reaches this server is let in"


def _or_off(table: T | None, how: Callable[[T], str]) -> str:
    return "off" if table is None else how(table)


def _limits(table: RateLimitSettings) -> str:
    general = "; ".join(map(str, parse_limits(table.limit))) or "only those that keys or models have"
    if not table.shared:
        return f"{general}; counted in memory"
    return f"{general}; counted in {_place(table.storage)}, without it {_WITHOUT[table.when_unavailable]}"


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


def _place(url: SecretStr) -> str:
    """Where a store is, without user, password and options."""
    parts = urlsplit(url.get_secret_value())
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


async def survey(providers: Mapping[str, ReadyProvider]) -> list[Finding]:
    """Ask all of them at once for their models, and close them."""
    return list(await asyncio.gather(*(_ask(name, provider) for name, provider in providers.items())))


async def _ask(name: str, provider: ReadyProvider) -> Finding:
    try:
        listed = await provider.models()
    except XRouterError as error:
        return Finding(name, failure=_printable(f"{error.message} ({error.detail})" if error.detail else error.message))
    finally:
        await provider.aclose()
    return Finding(name, models=[_printable(model["id"]) for model in listed.value["data"]])


def _printable(text: str) -> str:
    """Text of an upstream, which might otherwise give orders to the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def tell(findings: Iterable[Finding], *, colours: bool = False) -> str:
    """The findings as a table. Colours are those of ANSI terminals."""
    # As wide as each other, and painted alike, so that the invisible characters do not move a column.
    good, bad = ("\x1b[32mok    \x1b[0m", "\x1b[31mfailed\x1b[0m") if colours else ("ok", "failed")
    heading = "\x1b[39mstatus\x1b[0m" if colours else "status"
    rows = [("provider", heading, "models")]
    for finding in findings:
        if finding.failure is not None:
            rows.append((finding.provider, bad, finding.failure))
            continue
        shown = ", ".join(finding.models[:_SHOWN])
        more = len(finding.models) - _SHOWN
        rows.append((finding.provider, good, f"{shown} and {more} more" if more > 0 else shown))
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equally many cells as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )

"""What settings serve, how, and what they allow, as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydantic import SecretStr

from ..limits.limit import parse_limits
from ..settings import Settings
from ..settings.admin import AdminSettings
from ..settings.alerts import AlertsSettings
from ..settings.layers import (
    RateLimitSettings,
    ResponsesSettings,
)
from ..settings.metrics import MetricsSettings
from ..settings.telemetry import AccessLogSettings, LogSettings, TracingSettings
from ..settings.upstreams import UpstreamSettings
from .statuses import in_columns

_NO_KEYS = "off: whoever reaches this server is let in"
_STORE = re.compile(r"(\w[\w+]*://)(?:[^@/?#]*@)?([^@?#]*)(?:[?#][^@]*)?")


def describe_models(settings: Settings) -> str:
    """The names that clients use, each with its targets."""
    rows = []
    for name, table in settings.served.items():
        first, *others = map(str, table.targets)
        how = "if it fails" if table.strategy == "in_order" else f"{table.strategy}, with"
        rows.append((name, first, f"{how}: {', '.join(others)}" if others else ""))
    return in_columns([("model", "target", ""), *rows])


def describe_providers(settings: Settings) -> str:
    """The upstreams: which APIs each has, where it is, and whose certificates are trusted there."""
    rows = [("provider", "kind", "speaks", "address", "trusted certificates")]
    for name, table in settings.providers.items():
        upstream = table if isinstance(table, UpstreamSettings) else None
        where = ("-", "-") if upstream is None else (upstream.base_url, upstream.trusted)
        rows.append((name, table.kind, ", ".join(table.spoken), *where))
    return in_columns(rows)


def find_risks(settings: Settings) -> Iterator[str]:
    """What the settings allow, and nobody may want."""
    yield from _unpriced(settings)
    if (table := settings.limits) is None:
        return
    general = parse_limits(table.limit)
    for limits in (general, *(parse_limits(texts) for texts in table.models.values())):
        tokens = next((limit for limit in limits if limit.unit == "tokens"), None)
        if tokens is not None and not any(limit.unit == "parallel" for limit in (*general, *limits)):
            yield (
                f"[rate_limit] bounds tokens ({tokens}), but not the requests that run at once. Each of them may take "
                'more than was reserved for it. Add a limit such as "8 parallel".'
            )
            return


def _unpriced(settings: Settings) -> Iterator[str]:
    """Models and targets that cannot be used within the budgets of the settings."""
    table = settings.limits
    texts = () if table is None else (*table.limit, *(text for texts in table.models.values() for text in texts))
    if not any(limit.unit == "money" for text in texts for limit in parse_limits(text)):
        return
    prices = settings.price_list()
    for name, model in settings.served.items():
        targets = list(map(str, model.targets))
        missing = [target for target in targets if not prices.knows(target)]
        follows = "it is refused" if len(missing) == len(targets) else "these targets are passed over"
        if missing:
            yield f"Of the model '{name}' no price is known for {', '.join(missing)}: within a budget {follows}."


def describe_layers(settings: Settings) -> str:
    """Which layers around the router are on, and how, without secrets; and the version of the settings."""
    return in_columns(layers_of(settings))


def layers_of(settings: Settings) -> Sequence[tuple[str, str]]:
    """The name of each layer, and how it is."""
    return (
        *([("workers", str(workers))] if (workers := settings.server.workers) > 1 else ()),
        ("keys", f"{_address(keys.url)}, {keys.hasher}" if (keys := settings.keys) else _NO_KEYS),
        ("limits", _limits(settings.limits) if settings.limits else "off"),
        ("ledger", _address(settings.ledger_url) if settings.ledger_url else "off"),
        ("responses", _responses(settings.responses)),
        ("access log", _access_log(settings.access_log)),
        ("log", _log(settings.log)),
        ("tracing", _tracing(settings.tracing) if settings.tracing else "off"),
        ("metrics", _metrics(settings.metrics) if settings.metrics else "off"),
        ("alerts", _alerts(settings.alerts) if settings.alerts else "off"),
        ("cors", f"for {', '.join(settings.cors.origins)}" if settings.cors else "off"),
        ("admin", _admin(settings.admin) if settings.admin else "off"),
        ("version", settings.version),
    )


def _admin(table: AdminSettings) -> str:
    where = f"on port {table.own_port} of {table.host}" if table.path is None else f"at {table.path}"
    return f"{where}, for peers of {', '.join(table.allow)}" if table.allow else where


def _limits(table: RateLimitSettings) -> str:
    general = "; ".join(map(str, parse_limits(table.limit))) or "only those that keys or models have"
    if not table.shared:
        return f"{general}; counted in memory"
    return f"{general}; counted in {_address(table.storage)}, without it {_WITHOUT[table.when_unavailable]}"


_WITHOUT = {"degrade": "by each process for itself", "open": "not at all", "closed": "every request is refused"}


def _responses(table: ResponsesSettings) -> str:
    if table.shared:
        return f"kept in {_address(table.store)}, {table.ttl:g} s after their last use"
    if not table.per_process:
        return "not kept"
    return f"kept in memory, {table.ttl:g} s after their last use; several workers need a Redis"


def _access_log(table: AccessLogSettings) -> str:
    match table.format:
        case "off":
            return "off"
        case "logging":
            return "JSON to the logger xrouter.access"
    return f"{'text' if table.readable else 'JSON'} on the standard output"


def _log(table: LogSettings) -> str:
    return f"{'text' if table.readable else 'JSON'} on the standard error, from the level {table.level} on"


def _tracing(table: TracingSettings) -> str:
    return f"{table.sampling:.0%} to {table.endpoint}"


def _metrics(table: MetricsSettings) -> str:
    where = table.shown_path if table.port is None else f"on port {table.port} of {table.host}"
    shown = f"{where}, {'with' if table.token else 'without'} a token" if where else None
    sent = f"sent to {table.otlp.endpoint} every {table.otlp.interval:g} s" if table.otlp else None
    return "; ".join(filter(None, (shown, sent)))


def _alerts(table: AlertsSettings) -> str:
    return f"{', '.join(rule.name for rule in table.rules) or 'no rule'}; told to {', '.join(table.channels)}"


def _address(url: SecretStr) -> str:
    """The URL of a store without user, password and options.

    An '@' behind the host, or what seems to be the host, may end a password with a '/', which then is all over the URL.
    """
    text = url.get_secret_value()
    found = _STORE.fullmatch(text)
    return found[1] + found[2] if found else f"{text.partition('://')[0]}://…"

"""What `xrouter check` and `xrouter explain` say about settings, providers and one request, as plain text."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import SecretStr

from .decision import Decision
from .errors import XRouterError
from .limits.limit import parse_limits
from .policies.fallback import Fallback
from .policies.timeout import Deadline
from .providers.base import Call, ReadyProvider
from .router.table import ModelTable
from .settings import Settings
from .settings.alerts import AlertsSettings
from .settings.layers import (
    RateLimitSettings,
    ResponsesSettings,
)
from .settings.metrics import MetricsSettings
from .settings.telemetry import AccessLogSettings, TracingSettings
from .wire import ChatRequest

_NO_KEYS = "off: whoever reaches this server is let in"
_STORE = re.compile(r"(\w[\w+]*://)(?:[^@/?#]*@)?([^@?#]*)(?:[?#][^@]*)?")
_SHOWN = 5  # models in a line
_PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
_CHARACTERS = 6  # of one token at most, as in `policies.candidates`


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """The rows as lines. All have as many cells; each column is as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def describe_models(settings: Settings) -> str:
    """The names that clients use, each with its targets."""
    rows = []
    for name, table in settings.served.items():
        first, *others = map(str, table.targets)
        how = "if it fails" if table.strategy == "in_order" else f"{table.strategy}, with"
        rows.append((name, first, f"{how}: {', '.join(others)}" if others else ""))
    return in_columns([("model", "target", ""), *rows])


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
    rows = (
        *([("workers", str(workers))] if (workers := settings.server.workers) > 1 else ()),
        ("keys", f"{_address(keys.url)}, {keys.hasher}" if (keys := settings.keys) else _NO_KEYS),
        ("limits", _limits(settings.limits) if settings.limits else "off"),
        ("ledger", _address(settings.ledger_url) if settings.ledger_url else "off"),
        ("responses", _responses(settings.responses)),
        ("access log", _access_log(settings.access_log)),
        ("tracing", _tracing(settings.tracing) if settings.tracing else "off"),
        ("metrics", _metrics(settings.metrics) if settings.metrics else "off"),
        ("alerts", _alerts(settings.alerts) if settings.alerts else "off"),
        ("cors", f"for {', '.join(settings.cors.origins)}" if settings.cors else "off"),
        ("version", settings.version),
    )
    return in_columns(rows)


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


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """The models that a provider lists, or why it lists none."""

    provider: str
    models: Sequence[str] = ()
    failure: str | None = None


async def survey(providers: Mapping[str, ReadyProvider]) -> list[ProviderStatus]:
    """Ask all providers at once for their models, and close them."""
    return await asyncio.gather(*(_ask(name, provider) for name, provider in providers.items()))


async def _ask(name: str, provider: ReadyProvider) -> ProviderStatus:
    try:
        listed = await provider.models()
    except XRouterError as error:
        text = f"{error.message} ({error.detail})" if error.detail else error.message
        return ProviderStatus(name, failure=_printable(text))
    finally:
        await provider.aclose()
    return ProviderStatus(name, models=[_printable(model["id"]) for model in listed.value["data"]])


def _printable(text: str) -> str:
    """Text of an upstream without control characters, which a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


def describe_statuses(statuses: Iterable[ProviderStatus], *, colours: bool = False) -> str:
    """The statuses as a table. Colours are those of ANSI terminals."""
    # All cells of the column have as many invisible characters, so that they do not shift the next column.
    good, bad = ("\x1b[32mok    \x1b[0m", "\x1b[31mfailed\x1b[0m") if colours else ("ok", "failed")
    rows = [("provider", "\x1b[39mstatus\x1b[0m" if colours else "status", "models")]
    for status in statuses:
        shown, more = ", ".join(status.models[:_SHOWN]), len(status.models) - _SHOWN
        listed = (good, f"{shown} and {more} more" if more > 0 else shown)
        rows.append((status.provider, *(listed if status.failure is None else (bad, status.failure))))
    return in_columns(rows)


def sample_request(
    model: str, *, tokens: int = 1, tools: bool = False, vision: bool = False, json_schema: bool = False
) -> ChatRequest:
    """Make a request with a prompt of so many tokens that needs tools, vision, a JSON Schema."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": "x" * (_CHARACTERS * tokens)}]
    if vision:
        parts.append(_PICTURE)
    request: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": parts}]}
    if tools:
        request["tools"] = [{"type": "function", "function": {"name": "tool"}}]
    if json_schema:
        request["response_format"] = _SCHEMA
    return ChatRequest.of(request)


def explain(models: ModelTable, model: str, request: ChatRequest, *, version: str) -> Decision | None:
    """Decide where a request would go. None if the table, which settings of this version made, has no such model."""
    found = models.find(model)
    if found is None:
        return None
    provider, stem = found
    # `policies.stack` puts at most a `Deadline` around the part that chooses.
    planner = cast(Fallback, provider.inner if isinstance(provider, Deadline) else provider)
    plan = planner.plan(Call(request, model, stem))
    return Decision(version=version, strategy=plan.strategy, candidates=plan.considered)


def describe_decision(decision: Decision) -> str:
    """The targets of a decision in the order in which they would be asked, then the excluded ones."""
    rows = [("", "target", "score", "")]
    for place, each in enumerate(decision.candidates, start=1):
        score = "" if each.score is None else f"{each.score:.4g}"
        rows.append(("-" if each.excluded else str(place), each.name, score, str(each.excluded or "")))
    return f"configuration {decision.version}, strategy {decision.strategy}\n\n{in_columns(rows)}"

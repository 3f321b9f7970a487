"""`general_settings` and `litellm_settings`: who comes in, what is kept, and who is told."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ...settings.environment import KEYS_PEPPER, KEYS_URL
from . import reasons
from .deployments import Deployment
from .source import Section, Variables, referred

_PORT = 4000  # LiteLLM's own
_METRICS = 9100
_TTL = 600  # seconds: LiteLLM's own in memory
_DURATION = re.compile(r"(\d+)\s*(s|m|h|d|w|mo)")
_WINDOWS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class OtherTables:
    """The tables beside providers and models.

    Args:
        groups: The deployments of each name.
        priced: The targets with a price.
        variables: What the settings refer to.
    """

    def __init__(
        self, groups: Mapping[str, Sequence[Deployment]], priced: Collection[str], variables: Variables
    ) -> None:
        self._groups = groups
        self._all_priced = all(str(each) in priced for group in groups.values() for each in group)
        self._variables = variables

    def tables(self, general: Section, library: Section, redis: str | None) -> dict[str, Any]:
        """Take what the two tables say.

        Args:
            redis: Where counts are shared; None if they are not.
        """
        keys = self._keys(general)
        spend = self._spend(general, library, keys=keys is not None)
        tables: dict[str, Any] = {"server": _server(general, open_to_all=keys is not None)}
        tables["keys"] = keys
        tables["rate_limit"] = self._rate_limit(general, redis)
        tables["spend"] = spend
        tables |= self._watching(general, library)
        general.close(reasons.GENERAL)
        library.close(reasons.LIBRARY)
        return {name: table for name, table in tables.items() if table is not None}

    def _keys(self, general: Section) -> dict[str, Any] | None:
        master, database = general.text("master_key"), general.text("database_url")
        if master is None and database is None:
            return None
        if master is not None:
            general.tell("master_key", "has no counterpart: no key opens everything. Make one: xrouter keys create.")
        url = "sqlite:///keys.db"
        if database is not None:
            url = self._variables.expect(KEYS_URL)
            general.tell("database_url", f"is LiteLLM's. Set {KEYS_URL} to a database of the gateway's own.")
        return {"url": url, "pepper": self._variables.expect(KEYS_PEPPER)}

    def _rate_limit(self, general: Section, redis: str | None) -> dict[str, Any] | None:
        parallel = general.whole("global_max_parallel_requests")
        table: dict[str, Any] = {} if parallel is None else {"limit": f"{parallel} parallel per all"}
        if models := {name: limits for name, group in self._groups.items() if (limits := _limits_of(group))}:
            table["models"] = models
        if redis is not None:
            table["storage"] = redis
        return table or None

    def _spend(self, general: Section, library: Section, *, keys: bool) -> dict[str, Any] | None:
        retention = _days(general.text("maximum_spend_logs_retention_period"))
        limit = self._budget(library)
        if not keys and limit is None:
            return None
        table: dict[str, Any] = {"currency": "USD"} | ({} if limit is None else {"limit": limit})
        return table if retention is None else table | {"retention": retention}

    def _budget(self, library: Section) -> str | None:
        """The budget of all callers together."""
        amount, window = library.number("max_budget"), _window(library.text("budget_duration"))
        if amount is None:
            return None
        limit = f"{Decimal(str(amount)):f} USD/{window or 'month'} per all"
        if window is None:
            library.tell("max_budget", f"has no time for which it is. Write one: [spend] limit = '{limit}'.")
        elif not self._all_priced:
            # Within a budget, what has no price is not asked.
            library.tell("max_budget", f"needs the price of each target. With these, write [spend] limit = '{limit}'.")
        else:
            return limit
        return None

    def _watching(self, general: Section, library: Section) -> dict[str, Any]:
        """Metrics, traces and alerts."""
        tables: dict[str, Any] = {}
        for key in ("callbacks", "success_callback", "failure_callback", "service_callbacks"):
            for name in library.texts(key):
                match name:
                    case "prometheus" | "prometheus_system":
                        tables["metrics"] = {"port": _METRICS}
                    case "otel" | "opentelemetry":
                        tables["tracing"] = {}
                    case _:
                        library.tell(f"{key} '{name}'", reasons.CALLBACKS.get(name, reasons.NO_COUNTERPART))
        slow = general.number("alerting_threshold")
        for channel in general.texts("alerting"):
            if channel == "slack":
                alerts = {"slow": slow} if slow else {}
                tables["alerts"] = alerts | {"slack": {"url": self._variables.expect("SLACK_WEBHOOK_URL")}}
            else:
                general.tell(f"alerting '{channel}'", "has no counterpart. There are a webhook, Slack and Telegram.")
        if slow and "alerts" not in tables:
            general.tell(
                "alerting_threshold", f"is for a channel that is told. Write one: [alerts], with slow = {slow}."
            )
        return tables


def read_cache(library: Section, variables: Variables) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Where answers are kept, and how: the table `[cache]`, and `cache` of each model. None for neither."""
    on, params = library.flag("cache"), library.section("cache_params")
    if not on:
        return None, None
    kind, mode = params.text("type") or "redis", params.text("mode")
    ttl = params.number("ttl") or _TTL
    if mode == "default_off":
        params.tell("mode", "has no counterpart: a model has a 'cache' or it has none. None is written.")
        return None, None
    if kind not in ("redis", "local"):
        params.tell("type", f"is '{kind}'. Answers are kept in memory, or in a Redis: [cache] store.")
        return None, None
    library.tell("cache", "is not shared among callers here, and is for temperature 0: see docs/policies.md.")
    store = {"store": read_redis(params, variables, "", "CACHE_REDIS_URL")} if kind == "redis" else None
    params.close({"namespace": "has no counterpart: keys have a prefix of their own.", "supported_call_types": ""})
    return store, {"ttl": ttl}


def read_redis(table: Section, variables: Variables, prefix: str, variable: str) -> str:
    """The URL of a Redis that several keys describe. One that may hold a password is to be put into `variable`."""
    url, host = table.text(f"{prefix}url"), table.text(f"{prefix}host")
    port, database = table.text(f"{prefix}port") or "6379", table.text(f"{prefix}db")
    secret = table.text(f"{prefix}password") or table.text(f"{prefix}username")
    if url is not None:
        return variables.secret(table, f"{prefix}url", url, variable)
    if host is not None and secret is None and referred(host) is None and referred(port) is None:
        return f"redis://{host}:{port}{f'/{database}' if database else ''}"
    table.tell(f"{prefix}host", f"is told by a URL here. Set {variable} to redis://:PASSWORD@HOST:PORT/0.")
    return variables.expect(variable)


def _server(general: Section, *, open_to_all: bool) -> dict[str, Any]:
    """Where it listens: at LiteLLM's own port, so that clients need not change."""
    table: dict[str, Any] = {"port": general.whole("port") or _PORT}
    host = general.text("host")
    if open_to_all:
        table["host"] = host or "0.0.0.0"  # noqa: S104  # where LiteLLM listens
    elif host not in (None, "127.0.0.1", "localhost"):
        general.tell("host", "is left out: without [keys] xrouter serve listens at this machine's own addresses.")
    if (megabytes := general.number("max_request_size_mb")) is not None:
        table["max_body"] = round(megabytes * (1 << 20))
    return table


def _limits_of(group: Sequence[Deployment]) -> str:
    """What all deployments of a name bear together."""
    parts = []
    for key, unit in (("rpm", ""), ("tpm", " tokens")):
        each = [getattr(deployment, key) for deployment in group]
        if None not in each:
            parts.append(f"{sum(each)}{unit}/minute per all")
    return "; ".join(parts)


def _window(duration: str | None) -> str | None:
    """A duration of LiteLLM's, as limits write it."""
    found = _DURATION.fullmatch(duration or "")
    if found is None:
        return None
    if found[2] == "mo":
        return "calendar month" if found[1] == "1" else f"{found[1]} month"
    return f"{found[1]} {_WINDOWS[found[2]]}"


def _days(duration: str | None) -> float | None:
    found = _DURATION.fullmatch(duration or "")
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "mo": 2592000}
    return None if found is None else int(found[1]) * seconds[found[2]] / 86400

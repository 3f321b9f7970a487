"""Who watches what is served, made of settings: access log, ledger, alerts, metrics, and the operator's app."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from .admission import Refusals
from .asgi.lifespan import Close
from .bookkeeping import Ledger
from .events import Observer
from .keys import KeyRegistry
from .ledger import Budgets, LedgerStore, Spend
from .limits import LimitStore, Prices
from .live import Live
from .middleware.request_events import RequestEventsMiddleware
from .reloading import Reload, ReloadableRouter, Replaceable
from .settings import Settings
from .settings.telemetry import Tracing
from .telemetry.access_log import LineBuffer
from .telemetry.metrics import Metrics

if TYPE_CHECKING:
    from .admin import LimitsUsed, ThisProcess, Watched


def metrics_of(
    settings: Settings,
    router: ReloadableRouter,
    store: LimitStore | None,
    bookkeeper: Ledger | None,
    refusals: Refusals,
    tracing: Tracing | None,
) -> Metrics | None:
    """What measures, with all that it asks for numbers; None without `[metrics]`."""
    if settings.metrics is None:
        return None
    return Metrics(
        models=router,
        refusals=refusals.counts,
        backlog=None if store is None else lambda: store.backlog,
        lost=None if tracing is None else tracing.lost,
        dropped=None if bookkeeper is None else lambda: bookkeeper.dropped,
        currency=None if settings.spend is None else settings.spend.currency,
    )


def access_log_of(settings: Settings, closing: dict[str, Close]) -> list[Observer]:
    """The access log, if there is one. Adds to `closing` what has to be written at the end."""
    lines = LineBuffer()
    log = settings.access_log.build(lines)
    if log is None:
        return []
    closing["access log"] = lines.flush
    return [log]


def bookkeeper_of(
    settings: Settings, store: LedgerStore | None, prices: Prices, router: ReloadableRouter, closing: dict[str, Close]
) -> Ledger | None:
    """Who writes down what requests cost: nobody without a store. Adds it to `closing`."""
    table = settings.spend
    if store is None or table is None:
        return None
    ledger = Ledger(store, prices=prices, models=router.entry, labels=table.labels, retention=table.retention)
    closing["ledger"] = ledger.aclose
    return ledger


def observers_of(
    settings: Settings,
    metrics: Metrics | None,
    bookkeeper: Ledger | None,
    log: Sequence[Observer],
    closing: dict[str, Close],
) -> list[Observer]:
    """The observers of each request: ledger, access log, alerts, metrics. Adds to `closing` what has to be closed."""
    observers: list[Observer] = [*([] if bookkeeper is None else [bookkeeper]), *log]
    if settings.alerts is not None:
        alerts = settings.alerts.build()
        closing["alerts"] = alerts.aclose
        observers.append(alerts)
    if metrics is not None and settings.metrics is not None:
        observers.append(metrics)
        if (push := settings.metrics.push(metrics, settings.service)) is not None:
            closing["metrics"] = push.aclose
            observers.append(push)
    return observers


def spend_of(
    settings: Settings, ledger: LedgerStore | None, store: LimitStore | None, registry: KeyRegistry | None
) -> Spend | None:
    """What tells what was spent; None without a ledger.

    Args:
        store: The counts of the limits, if this process sees them.
    """
    table, limits = settings.spend, settings.limits
    if ledger is None or table is None:
        return None
    budgets = None
    if limits is not None:
        budgets = Budgets(
            ledger, limit=limits.limit, models=limits.models, timezone=table.zone, store=store, keys=registry
        )
    return Spend(ledger, currency=table.currency, timezone=table.zone, budgets=budgets)


def watched_of(
    settings: Settings, router: ReloadableRouter, observers: list[Observer], store: LimitStore | None
) -> ThisProcess | None:
    """This process, for the operator's app; None without `[admin]`. Adds what remembers requests to the observers."""
    if settings.admin is None:
        return None
    from .admin import ThisProcess  # here, because it takes a MiB that no other gateway needs

    live = Live()
    observers.append(live)
    currency = settings.price_list().currency
    return ThisProcess(router, live, currency=currency, limits=_limits_used(settings, store))


def admin_of(
    settings: Settings,
    processes: Sequence[Watched],
    registry: KeyRegistry | None,
    spend: Spend | None,
    served: Replaceable,
    reload: Reload | None,
    log: list[Observer],
    closing: dict[str, Close],
    shared: LimitStore | None = None,
) -> ASGIApp | None:
    """The operator's app of these processes, which has its lines in the access log; None without `[admin]`.

    Adds it to `closing`.

    Args:
        served: Has the settings in force.
        shared: The counts of the limits, if this process sees those of all; None if each tells of its own.
    """
    if settings.admin is None or settings.keys is None or registry is None:
        return None
    from .admin import AdminApp

    app = AdminApp(
        *processes,
        keys=registry,
        hasher=settings.keys.hasher,
        spend=spend,
        limits=_limits_used(settings, shared),
        settings=lambda: served.settings,
        reload=None if reload is None else reload.run,
        allow=settings.admin.allow,
    )
    closing["operator's app"] = app.aclose
    return RequestEventsMiddleware(app, observers=log) if log else app


def _limits_used(settings: Settings, store: LimitStore | None) -> LimitsUsed | None:
    """What tells how far limits are used up, by these counts; None without them."""
    from .admin import LimitsUsed

    if (limits := settings.limits) is None or store is None:
        return None
    timezone = UTC if settings.spend is None else settings.spend.zone
    return LimitsUsed(store, limit=limits.limit, models=limits.models, timezone=timezone)

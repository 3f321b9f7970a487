"""The standalone app: the parts that others mount, assembled from settings.

`uvicorn --factory xrouter_asgi.standalone:create_app` serves it, as does every other ASGI server.
"""

from __future__ import annotations

import logging
from datetime import UTC
from functools import partial
from typing import NamedTuple

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from .admission import LoopLag, MemoryGate, Refusals
from .asgi.lifespan import Close, ClosingAtShutdown
from .asgi.scope import local_path
from .bookkeeping import Ledger
from .events import Observer
from .kept import AnswerStore, ResponseStore
from .ledger import LedgerStore, SeededBudget
from .limits import LimitStore, Prices
from .middleware.admission import AdmissionMiddleware
from .middleware.auth import APIKeyMiddleware
from .middleware.docs import DocsMiddleware
from .middleware.rate_limit import RateLimitMiddleware
from .middleware.request_events import RequestEventsMiddleware
from .middleware.tracing import TracingMiddleware
from .providers.base import ReadyProvider
from .providers.http import Instrument
from .reloading import ReloadableRouter
from .router.router import LLMRouter
from .router.table import ModelTable
from .router.usage import OwnUsage
from .settings import Settings, ledger_of
from .settings.base import OPEN
from .settings.layers import CORSSettings, RateLimitSettings
from .settings.providers import OpenAISettings
from .settings.telemetry import Tracing
from .telemetry.access_log import LineBuffer
from .telemetry.metrics import Metrics

EXPOSED = (
    "retry-after",
    "retry-after-ms",
    *(f"x-ratelimit-{what}-{unit}" for unit in ("requests", "tokens") for what in ("limit", "remaining", "reset")),
    "x-ratelimit-scope",
    "ratelimit",
    "ratelimit-policy",
    "request-id",
    "x-request-id",
    "x-should-retry",
    "x-xrouter-attempts",
    *(f"x-xrouter-budget-{what}" for what in ("limit", "remaining", "reset")),
    "x-xrouter-cache",
    "x-xrouter-cost",
    "x-xrouter-explain",
    "x-xrouter-model",
    "x-xrouter-provider",
    "x-xrouter-warnings",
)
"""Headers of answers that a browser shows to a page of another origin."""

logger = logging.getLogger("xrouter")


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The app of these settings; without them, of those that `Settings.load()` finds. It does not reload them.

    Raises:
        SettingsError: The settings cannot be used.
    """
    settings = settings or Settings.load()
    if settings.keys is None:
        logger.warning("The settings have no [keys]: whoever reaches this app is let in.")
    if settings.metrics is not None and settings.metrics.port is not None:
        logger.warning("Only 'xrouter serve' serves metrics on a port of their own. Give [metrics] a path and a token.")
    return assemble(settings).app


class Assembly(NamedTuple):
    """The whole as one application, the router in its middle, what measures (None without `[metrics]`), and what
    counts refusals for want of room."""

    app: ASGIApp
    router: ReloadableRouter
    metrics: Metrics | None
    refusals: Refusals


def assemble(settings: Settings) -> Assembly:
    """Build the whole onion. A request meets the last layer first. A layer exists if the settings have its table."""
    measured, refusals, observers = settings.metrics, Refusals(), list[Observer]()
    tracing = settings.tracing.build() if settings.tracing is not None else None
    instrument = tracing.instrument if tracing is not None else None
    prices, ledger, answers = settings.price_list(), ledger_of(settings), settings.cache.build()
    closing: dict[str, Close] = {"answers": answers.aclose}
    responses, own = _responses(settings, closing), _own_usage(settings, ledger)
    build = partial(build_router, instrument=instrument, responses=responses, answers=answers, prices=prices, usage=own)
    router = ReloadableRouter(settings, build=build, observers=observers)
    store = _limit_store(settings, ledger, closing)
    # Next to the router, because only the router knows the model and the tokens.
    app: ASGIApp = router if store is None else _limited(router, settings, store, prices)
    if settings.keys is not None:
        keys = settings.keys.build(changes=settings.limits.key_changes() if settings.limits is not None else None)
        closing["keys"] = keys.aclose
        # Above limits, so that a limit belongs to a key and not to an address, and strangers use up no limit.
        app = APIKeyMiddleware(app, store=keys, exclude_paths=settings.server.open_paths)
    # Above keys, because a browser that is sent to a page brings none.
    app = DocsMiddleware(app) if settings.server.docs else app
    # With the observers, because it hears of every request that has ended, also of one whose client has left.
    bookkeeper = _bookkeeper(settings, ledger, prices, router, closing)
    metrics = _metrics(settings, router, store, bookkeeper, refusals, tracing) if measured is not None else None
    if metrics is not None and measured is not None and (path := measured.shown_path) is not None:
        # Above keys, because Prometheus brings a token of its own and no key.
        app = _at(path, measured.show(metrics, settings.service), otherwise=app)
    observers += _observers(settings, metrics, bookkeeper, closing)
    if observers:
        # Above keys and limits, so that their refusals are logged and measured, too.
        app = RequestEventsMiddleware(app, observers=observers)
    if tracing is not None:
        closing["tracing"] = tracing.close
        # Above the observers, so that a line of the log carries the id of its trace.
        app = TracingMiddleware(app, tracer=tracing.tracer, propagate=tracing.propagate)
    app = _admission(app, settings, refusals)
    if settings.cors is not None:
        # Above all: a preflight carries no key and counts as no request, and a page must be able to read a refusal.
        app = _cors(app, settings.cors)
    # Outermost, because stores and exporters close after the providers, whose last calls they still record.
    return Assembly(ClosingAtShutdown(app, closing=closing), router, metrics, refusals)


def build_router(
    settings: Settings,
    instrument: Instrument | None = None,
    responses: ResponseStore | None = None,
    answers: AnswerStore | None = None,
    prices: Prices | None = None,
    usage: OwnUsage | None = None,
) -> LLMRouter:
    """The router of these settings, with its providers, which it closes when its lifespan ends. The stores are kept.

    Args:
        prices: Take over those of the settings.
    """
    listed = settings.price_list()
    if prices is not None:
        prices.update(listed)
    # Models of one provider share it, and so its connections, its token, its queue, and its state for the policies.
    providers = build_providers(settings, instrument)
    tables = settings.providers
    accounts = {name: table.account() for name, table in tables.items() if isinstance(table, OpenAISettings)}
    kept = answers or settings.cache.build()
    models = {name: table.build(providers, tables, accounts, kept, listed) for name, table in settings.served.items()}
    return LLMRouter(
        ModelTable(models),
        max_body=settings.server.max_body,
        explain=settings.server.explain,
        version=settings.version,
        commit_after=settings.server.commit_after,
        responses=responses,
        usage=usage,
    )


def _own_usage(settings: Settings, ledger: LedgerStore | None) -> OwnUsage | None:
    table = settings.spend
    return OwnUsage(ledger, currency=table.currency, timezone=table.zone) if ledger is not None and table else None


def build_providers(settings: Settings, instrument: Instrument | None = None) -> dict[str, ReadyProvider]:
    """One provider for each table of `[providers]`, by name. Opens no connection."""
    return {name: table.build(name, instrument=instrument) for name, table in settings.providers.items()}


def _responses(settings: Settings, closing: dict[str, Close]) -> ResponseStore | None:
    """The store of responses, which outlives the routers, so that a reload forgets nothing. Adds it to `closing`."""
    store = settings.responses.build()
    if store is not None:
        closing["responses"] = store.aclose
    return store


def _metrics(
    settings: Settings,
    router: ReloadableRouter,
    store: LimitStore | None,
    bookkeeper: Ledger | None,
    refusals: Refusals,
    tracing: Tracing | None,
) -> Metrics:
    return Metrics(
        models=router,
        refusals=refusals.counts,
        backlog=None if store is None else lambda: store.backlog,
        lost=None if tracing is None else tracing.lost,
        dropped=None if bookkeeper is None else lambda: bookkeeper.dropped,
        currency=None if settings.spend is None else settings.spend.currency,
    )


def _observers(
    settings: Settings, metrics: Metrics | None, bookkeeper: Ledger | None, closing: dict[str, Close]
) -> list[Observer]:
    """The observers of each request: access log, alerts, metrics. Adds to `closing` what has to be closed."""
    observers: list[Observer] = []
    if bookkeeper is not None:
        observers.append(bookkeeper)
    lines = LineBuffer()
    if (log := settings.access_log.build(lines)) is not None:
        closing["access log"] = lines.flush
        observers.append(log)
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


def _bookkeeper(
    settings: Settings, store: LedgerStore | None, prices: Prices, router: ReloadableRouter, closing: dict[str, Close]
) -> Ledger | None:
    """Who writes down what requests cost: nobody without a store. Adds it to `closing`."""
    table = settings.spend
    if store is None or table is None:
        return None
    ledger = Ledger(store, prices=prices, models=router.entry, labels=table.labels, retention=table.retention)
    closing["ledger"] = ledger.aclose
    return ledger


def _limit_store(settings: Settings, ledger: LedgerStore | None, closing: dict[str, Close]) -> LimitStore | None:
    """The counts of limits; None without limits. Adds them to `closing`."""
    if (table := settings.limits) is None:
        return None
    store = table.build(workers=settings.server.workers)
    if ledger is not None:
        # Around the counts, so that a budget goes on where the ledger ends, whatever forgot its count.
        store = SeededBudget(store, ledger, when_unavailable=table.when_unavailable)
    closing["limits"] = store.aclose
    return store


def _admission(app: ASGIApp, settings: Settings, refusals: Refusals) -> ASGIApp:
    """Refuse what there is no room for, above all that costs: a key looked up, a span, a line in the log."""
    table = settings.admission
    shown = settings.metrics.shown_path if settings.metrics is not None else None
    return AdmissionMiddleware(
        app,
        lag=LoopLag(table.lag),
        memory=MemoryGate(table.memory),
        bodies=table.body_budget(settings.server.max_body),
        refusals=refusals,
        exclude_paths=OPEN if shown is None else (*OPEN, shown),
    )


def _limited(app: ASGIApp, settings: Settings, store: LimitStore, prices: Prices) -> ASGIApp:
    table, spend = settings.limits or RateLimitSettings(), settings.spend
    return RateLimitMiddleware(
        app,
        limit=table.limit,
        models=table.models,
        prices=prices if prices or spend is not None else None,
        timezone=UTC if spend is None else spend.zone,
        assumed_output=table.assumed_output,
        store=store,
        exclude_paths=settings.server.open_paths,
        ietf=table.ietf,
    )


def _cors(app: ASGIApp, table: CORSSettings) -> ASGIApp:
    return CORSMiddleware(
        app,
        allow_origins=table.origins,
        allow_methods=("GET", "POST", "DELETE", "OPTIONS"),
        allow_headers=("*",),  # Starlette answers with the headers asked for: for Authorization, `*` is not enough
        expose_headers=EXPOSED,
        max_age=table.max_age,
    )


def _at(path: str, app: ASGIApp, *, otherwise: ASGIApp) -> ASGIApp:
    """Serve an app at one path below the mount, and another app everywhere else."""

    async def switch(scope: Scope, receive: Receive, send: Send) -> None:
        here = scope["type"] == "http" and local_path(scope) == path
        await (app if here else otherwise)(scope, receive, send)

    return switch

"""The standalone app: the parts that others mount, assembled from settings.

`uvicorn --factory xrouter_asgi.standalone:create_app` serves it, as does every other ASGI server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from .admission import LoopLag, MemoryGate, Refusals
from .asgi.lifespan import Close, ClosingAtShutdown
from .asgi.mounts import below, exactly_at
from .events import Observer
from .kept import AnswerStore, ResponseStore
from .keys import KeyRegistry
from .landing import Landing
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
from .reloading import FileWatch, Reload, ReloadableRouter, Replaceable
from .router.router import LLMRouter
from .router.table import ModelTable
from .router.usage import OwnUsage
from .settings import Settings, ledger_of
from .settings.base import OPEN
from .settings.layers import CORSSettings, RateLimitSettings
from .settings.upstreams import AccountSettings
from .telemetry.metrics import Metrics
from .watching import access_log_of, admin_of, bookkeeper_of, metrics_of, observers_of, spend_of, watched_of

if TYPE_CHECKING:
    from .admin import ThisProcess, Watched

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
    if settings.admin is not None and settings.admin.own_port is not None:
        logger.warning("Only 'xrouter serve' serves the operator's API on a port of its own. Give [admin] a path.")
    return assemble(settings).app


class Assembly(NamedTuple):
    """The whole as one application, the router in its middle, what measures (None without `[metrics]`), what counts
    refusals for want of room, the operator's app and what it sees of this process (None without `[admin]`), and what
    reads the settings again."""

    app: ASGIApp
    router: ReloadableRouter
    metrics: Metrics | None
    refusals: Refusals
    admin: ASGIApp | None = None
    watched: ThisProcess | None = None
    reload: Reload | None = None


def assemble(
    settings: Settings, *, load: Callable[[], Settings] | None = None, watch: FileWatch | None = None
) -> Assembly:
    """Build the whole onion. A request meets the last layer first. A layer exists if the settings have its table.

    `load` and `watch` are those of `Reload`; without `load` nobody can reload.
    """
    closing, observers, refusals = dict[str, Close](), list[Observer](), Refusals()
    tracing = None if settings.tracing is None else settings.tracing.build()
    prices, ledger = settings.price_list(), ledger_of(settings)
    build = _builder(settings, None if tracing is None else tracing.instrument, prices, ledger, closing)
    router = ReloadableRouter(settings, build=build, observers=observers)
    reload = None if load is None else Reload(router, load=load, watch=watch)
    store = _limit_store(settings, ledger, closing)
    # Next to the router, because only the router knows the model and the tokens.
    app: ASGIApp = router if store is None else _limited(router, settings, store, prices)
    registry = _registry(settings)
    if settings.keys is not None and registry is not None:
        keys = settings.keys.build(registry)
        closing["keys"] = keys.aclose
        # Above limits, so that a limit belongs to a key and not to an address, and strangers use up no limit.
        app = APIKeyMiddleware(app, store=keys, exclude_paths=settings.server.open_paths)
    # With the observers, because it hears of every request that has ended, also of one whose client has left.
    bookkeeper = bookkeeper_of(settings, ledger, prices, router, closing)
    metrics = metrics_of(settings, router, store, bookkeeper, refusals, tracing)
    app = _without_key(app, settings, metrics)
    log = access_log_of(settings, closing)
    watched, spend = watched_of(settings, router, observers, store), spend_of(settings, ledger, store, registry)
    admin = admin_of(settings, [watched] if watched else [], registry, spend, router, reload, log, closing)
    observers += observers_of(settings, metrics, bookkeeper, log, closing)
    if observers:
        # Above keys and limits, so that their refusals are logged and measured, too.
        app = RequestEventsMiddleware(app, observers=observers)
    if tracing is not None:
        closing["tracing"] = tracing.close
        # Above the observers, so that a line of the log carries the id of its trace.
        app = TracingMiddleware(app, tracer=tracing.tracer, propagate=tracing.propagate)
    app = _outermost(app, settings, refusals, admin)
    # Around all, because stores and exporters close after the providers, whose last calls they still record.
    return Assembly(ClosingAtShutdown(app, closing=closing), router, metrics, refusals, admin, watched, reload)


def admin_of_workers(
    settings: Settings, workers: Sequence[Watched], served: Replaceable, reload: Reload
) -> ASGIApp | None:
    """The operator's app of a supervisor. Its lifespan closes its stores."""
    closing = dict[str, Close]()
    ledger, registry, limits = ledger_of(settings), _registry(settings), settings.limits
    store = None if limits is None or not limits.shared else _limit_store(settings, ledger, closing)
    log = access_log_of(settings, closing)
    spend = spend_of(settings, ledger, store, registry)
    admin = admin_of(settings, workers, registry, spend, served, reload, log, closing, store)
    closing |= {name: each.aclose for name, each in (("ledger", ledger), ("keys", registry)) if each is not None}
    return None if admin is None else ClosingAtShutdown(admin, closing=closing)


def _registry(settings: Settings) -> KeyRegistry | None:
    """The store of the keys; None without `[keys]`."""
    if settings.keys is None:
        return None
    return settings.keys.store(changes=None if settings.limits is None else settings.limits.key_changes())


def _builder(
    settings: Settings,
    instrument: Instrument | None,
    prices: Prices,
    ledger: LedgerStore | None,
    closing: dict[str, Close],
) -> Callable[[Settings], LLMRouter]:
    """Builds routers that share stores, so that a reload forgets nothing. Adds these to `closing`."""
    responses, answers = settings.responses.build(), settings.cache.build()
    closing["answers"] = answers.aclose
    if responses is not None:
        closing["responses"] = responses.aclose
    own = _own_usage(settings, ledger)
    return partial(build_router, instrument=instrument, responses=responses, answers=answers, prices=prices, usage=own)


def _without_key(app: ASGIApp, settings: Settings, metrics: Metrics | None) -> ASGIApp:
    """The app, and what stands above keys."""
    # It tells strangers where to go.
    app = exactly_at("/", Landing(), otherwise=app)
    if settings.server.docs:
        # A browser that is sent to a page brings no key.
        app = DocsMiddleware(app)
    if metrics is not None and (table := settings.metrics) is not None and (path := table.shown_path) is not None:
        # Prometheus brings a token of its own and no key.
        app = exactly_at(path, table.show(metrics, settings.service), otherwise=app)
    return app


def _outermost(app: ASGIApp, settings: Settings, refusals: Refusals, admin: ASGIApp | None) -> ASGIApp:
    """Whatever may answer before anybody is asked who is calling."""
    app = _admission(app, settings, refusals)
    if settings.cors is not None:
        # A preflight carries no key and counts as no request, and a page must be able to read a refusal.
        app = _cors(app, settings.cors)
    if admin is not None and settings.admin is not None and (path := settings.admin.path) is not None:
        # Above CORS, because no page of another origin may ever read it; above admission, because an operator comes
        # when there is no room.
        app = below(path, admin, otherwise=app)
    return app


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
    accounts = {name: table.account() for name, table in tables.items() if isinstance(table, AccountSettings)}
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

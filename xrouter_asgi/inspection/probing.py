"""Whether everything beside the upstreams is there: databases, Redis, the collector, those who hear of alerts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator

from ..alerts import Alert
from ..errors import XRouterError
from ..limits.servers import server_at
from ..settings import Settings
from ..telemetry.collector import Collector
from .statuses import PartStatus, printable

_PATIENCE = 10.0  # seconds for each part


async def probe(settings: Settings) -> list[PartStatus]:
    """Ask all parts at once. Nothing is made or changed; each channel of alerts is sent a test."""
    return await asyncio.gather(*_probes(settings))


def _probes(settings: Settings) -> Iterator[Awaitable[PartStatus]]:
    if settings.keys is not None:
        yield _tried("keys", _ask_keys(settings.keys.url.get_secret_value()))
    if settings.ledger_url is not None:
        yield _tried("spend", _ask_ledger(settings.ledger_url.get_secret_value()))
    if settings.limits is not None and settings.limits.shared:
        yield _tried("rate_limit", _ask_redis(settings.limits.storage.get_secret_value()))
    for part, table in (("responses", settings.responses), ("cache", settings.cache)):
        if table.shared:
            yield _tried(part, _ask_redis(table.store.get_secret_value()))
    if settings.tracing is not None and settings.tracing.protocol == "json":
        yield _tried("tracing", _post_to(settings.tracing.collector(), "/v1/traces", b'{"resourceSpans":[]}'))
    if settings.metrics is not None and settings.metrics.otlp is not None:
        collector = settings.metrics.otlp.collector()
        yield _tried("metrics.otlp", _post_to(collector, "/v1/metrics", b'{"resourceMetrics":[]}'))
    if settings.alerts is not None:
        text = "A test by xrouter check --live: alerts of this gateway arrive here."
        test = Alert("test", "xrouter check", text, recovered=False, time=time.time())
        for name, channel in settings.alerts.webhooks().items():
            yield _tried(f"alerts.{name}", _send(channel(test)))


async def _tried(part: str, asking: Awaitable[str]) -> PartStatus:
    """Wait for an answer. Whatever is raised is one, and a bad one."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return PartStatus(part, True, printable(await asking))
    except TimeoutError:
        said = f"No answer came in {_PATIENCE:g} s."
    except XRouterError as error:
        said = error.detail or error.message
    except Exception as error:  # of drivers, which have no common base
        said = f"{type(error).__name__}: {error}"
    return PartStatus(part, False, printable(said))


async def _ask_keys(url: str) -> str:
    from ..database.probe import look_at  # here, because it needs an extra
    from ..keys.schema import SCHEMA

    return await look_at(url, SCHEMA)


async def _ask_ledger(url: str) -> str:
    from ..database.probe import look_at  # here, because it needs an extra
    from ..ledger.schema import SCHEMA

    return await look_at(url, SCHEMA)


async def _ask_redis(url: str) -> str:
    server = server_at(url, ())
    try:
        await server.connect()
        await asyncio.gather(*(link.send("PING") for link in server.links))
    finally:
        server.disconnect()
    return "answers"


async def _post_to(collector: Collector, path: str, document: bytes) -> str:
    try:
        await collector.post(path, document)
    finally:
        await collector.aclose()
    return "takes what is sent"


async def _send(sending: Awaitable[object]) -> str:
    await sending
    return "took a test"

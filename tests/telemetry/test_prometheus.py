from __future__ import annotations

import asyncio

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.asgi_client import get, post, request
from tests.scripted import ScriptedProvider, chat
from tests.serving import uvicorn_here
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.middleware.request_events import RequestEventsMiddleware
from xrouter_asgi.providers.target import Target
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.telemetry.metrics import Metrics
from xrouter_asgi.telemetry.prometheus import MetricsApp


def measured() -> tuple[RequestEventsMiddleware, Metrics]:
    """A router with a model that answers and one that does not, and what measures it."""
    good = Target(ScriptedProvider(), model="there")
    broken = Target(ScriptedProvider(UpstreamUnavailable("No.", code="dns_error")), model="there")
    router = LLMRouter({"scripted": good, "broken": broken})
    metrics = Metrics(models=router.models)
    return RequestEventsMiddleware(router, observers=[metrics]), metrics


def samples(text: str) -> dict[str, float]:
    """Each series, as Prometheus writes it, to its value."""
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_what_was_measured_is_shown_over_a_socket() -> None:
    app, metrics = measured()
    shown = MetricsApp(metrics)
    await post(app, "/v1/chat/completions", chat())
    async with uvicorn_here(shown, lifespan="on") as url, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["x-content-type-options"] == "nosniff"
    series = samples(answer.text)
    labels = (
        "[('gen_ai_request_model', 'scripted'), ('http_response_status_code', '200'), ('xrouter_complete', 'true'), "
        "('xrouter_endpoint', 'chat')]"
    )
    assert series[f"xrouter_requests_total{labels}"] == 1
    assert series["xrouter_requests_in_flight[]"] == 0
    assert "otel_scope" not in answer.text


async def test_an_attempt_without_error_lacks_the_label_that_a_failed_one_has() -> None:
    app, metrics = measured()
    shown = MetricsApp(metrics)
    await post(app, "/v1/chat/completions", chat())
    await post(app, "/v1/chat/completions", chat("broken"))
    series = samples((await get(shown, "/")).body.decode())
    attempts = {name: count for name, count in series.items() if name.startswith("xrouter_attempts_total")}
    label = "('gen_ai_provider_name', 'scripted'), ('gen_ai_request_model', "
    assert attempts == {
        f"xrouter_attempts_total[('error_type', ''), {label}'scripted')]": 1,
        f"xrouter_attempts_total[('error_type', 'dns_error'), {label}'broken')]": 1,
    }


async def test_it_can_be_mounted() -> None:
    shown = MetricsApp(Metrics())
    answer = await get(Starlette(routes=[Mount("/metrics", shown)]), "/metrics/")
    assert b"xrouter_limiter_degraded 0.0" in answer.body


async def test_a_head_has_the_length_and_no_body() -> None:
    shown = MetricsApp(Metrics())
    answer = await request(shown, "HEAD", "/")
    assert answer.status == 200
    assert int(answer.header("content-length") or 0) > 0
    assert answer.body == b""


async def test_metrics_are_only_to_be_read() -> None:
    answer = await request(MetricsApp(Metrics()), "POST", "/")
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "given", [None, b"", b"Bearer", b"Bearer wrong", b"Basic marked-token-of-16", b"marked-token-of-16", b"\xff"]
)
async def test_without_the_token_nothing_is_shown(given: bytes | None) -> None:
    headers = [] if given is None else [(b"authorization", given)]
    shown = MetricsApp(Metrics(), token="marked-token-of-16")
    answer = await get(shown, "/", headers=headers)
    assert answer.status == 401
    assert answer.header("www-authenticate") == 'Bearer realm="metrics"'
    assert b"xrouter" not in answer.body


async def test_with_the_token_it_is() -> None:
    shown = MetricsApp(Metrics(), token="marked-token-of-16")
    assert (await get(shown, "/", headers=[(b"authorization", b"bearer marked-token-of-16")])).status == 200
    assert "marked-token-of-16" not in repr(shown)


@pytest.mark.parametrize("token", ["", "x" * 15])
def test_a_token_that_could_be_guessed_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match=f"has {len(token)} characters. Take 16 or more"):
        MetricsApp(Metrics(), token=token)


async def test_scrapes_under_load_are_whole_and_do_not_grow() -> None:
    app, metrics = measured()
    shown = MetricsApp(metrics)
    await post(app, "/v1/chat/completions", chat())
    await post(app, "/v1/chat/completions", chat("odd"))
    await get(app, "/odd")
    before = samples((await get(shown, "/")).body.decode()).keys()

    async def load(number: int) -> None:
        for each in range(20):
            await post(app, f"/v1/chat/completions?{each}", chat(f"odd-{number}-{each}"))
            await get(app, f"/odd/{number}/{each}")

    async def scrape() -> set[str]:
        series = samples((await get(shown, "/")).body.decode())
        return {name for name in series if not name.startswith("xrouter_event_loop_lag")}

    *scraped, _ = await asyncio.gather(*(scrape() for _ in range(5)), asyncio.gather(*map(load, range(10))))
    assert all(names == before for names in [*scraped, await scrape()])


def test_what_a_meter_provider_has_is_for_its_readers_to_show() -> None:
    with pytest.raises(ValueError, match=r"Make Metrics without one\."):
        MetricsApp(Metrics(MeterProvider()))

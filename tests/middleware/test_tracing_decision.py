from __future__ import annotations

from pathlib import Path

from opentelemetry.trace import SpanKind
from starlette.types import Receive, Scope, Send

from tests.asgi_client import get, post
from tests.middleware.spans import Recorded
from tests.middleware.traced import answering, traced
from tests.policies.candidates import candidate
from xrouter_asgi.context import RequestContext
from xrouter_asgi.decision import Unready
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.scripted import ScriptedProvider, chat

DECISION = {
    "xrouter.config.version",
    "xrouter.strategy",
    "xrouter.candidates",
    "xrouter.excluded",
    "xrouter.attempts",
    "xrouter.waited",
    "xrouter.hedges",
}


def unready(why: str) -> ScriptedProvider:
    provider = ScriptedProvider()
    provider.unready = Unready("circuit_open", None, why)
    return provider


async def test_the_server_span_tells_why_the_request_went_where_it_went(recorded: Recorded) -> None:
    fallback = Fallback(
        [
            candidate("a", UpstreamUnavailable("No.", code="connect_refused")),
            candidate("b"),
            Candidate(unready("circuit open for 3.2 s"), "c/m"),
        ]
    )
    await post(traced(LLMRouter({"scripted": fallback}, version="v1"), recorded), "/v1/chat/completions", chat())
    attributes = recorded["POST chat"]
    waited = attributes["xrouter.waited"]
    assert isinstance(waited, float)
    assert 0 < waited < 60
    assert {name: value for name, value in attributes.items() if name in DECISION} == {
        "xrouter.config.version": "v1",
        "xrouter.strategy": "in_order",
        "xrouter.candidates": ("a/m", "b/m", "c/m"),
        "xrouter.excluded": ("c/m: circuit open for 3.2 s",),
        "xrouter.attempts": 2,
        "xrouter.waited": waited,
    }


async def test_hedges_are_counted_on_the_server_span(recorded: Recorded) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        RequestContext.of(scope).decision.hedges = 1
        await answering()(scope, receive, send)

    await get(traced(app, recorded), "/")
    assert recorded["GET"]["xrouter.hedges"] == 1


async def test_a_span_of_the_host_bears_the_decision(recorded: Recorded) -> None:
    app = traced(LLMRouter({"scripted": Fallback([candidate("a")])}), recorded)
    with recorded.provider.get_tracer("host").start_as_current_span("host", kind=SpanKind.SERVER):
        await post(app, "/v1/chat/completions", chat())
    assert recorded["host"]["xrouter.candidates"] == ("a/m",)


async def test_of_very_many_candidates_a_span_names_a_few(recorded: Recorded) -> None:
    many = Fallback([Candidate(unready("w" * 1000), f"up{number}/m") for number in range(100)])
    await post(traced(LLMRouter({"scripted": many}), recorded), "/v1/chat/completions", chat())
    for name in ("xrouter.candidates", "xrouter.excluded"):
        named = recorded["POST chat"][name]
        assert isinstance(named, tuple)
        assert len(named) == 32
        assert max(map(len, named)) < 200


async def test_a_request_that_asks_no_upstream_has_no_decision(recorded: Recorded) -> None:
    app = traced(LLMRouter({"scripted": Fallback([candidate("a")])}, version="v1"), recorded)
    await get(app, "/v1/models")
    assert DECISION.isdisjoint(recorded["GET models"])


def test_the_document_names_every_attribute_of_the_decision() -> None:
    text = (Path(__file__).parents[2] / "docs/telemetry.md").read_text("utf-8")
    assert [name for name in DECISION if f"`{name}`" not in text] == []

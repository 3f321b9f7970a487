from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from opentelemetry.trace import SpanKind, use_span
from starlette.types import Message, Receive, Scope, Send

from tests.asgi_client import Exchange, body_messages, get, http_scope, post
from tests.middleware.spans import Recorded, RecordedBySDK
from tests.middleware.traced import answering, routed, traced
from tests.policies.candidates import candidate
from tests.scripted import ScriptedProvider, chat, chunk, usage_chunk
from xrouter_asgi.context import RequestContext
from xrouter_asgi.decision import Unready
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.router.router import LLMRouter

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


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_span_of_the_host_bears_it_all_before_the_last_message_which_ends_it(
    by_sdk: RecordedBySDK, streamed: bool
) -> None:
    provider = (
        ScriptedProvider([chunk("a")], [chunk(finish="stop")], [usage_chunk()]) if streamed else ScriptedProvider()
    )
    app = traced(LLMRouter({"scripted": Fallback([Candidate(provider, "a/m")])}), by_sdk)
    span = by_sdk.provider.get_tracer("host").start_span("host", kind=SpanKind.SERVER)

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_end(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                span.end()
            await send(message)

        with use_span(span):
            await app(scope, receive, send_and_end)

    await post(host, "/v1/chat/completions", chat(stream=streamed))
    told = by_sdk["host"]
    assert told["xrouter.candidates"] == ("a/m",)
    assert told["xrouter.attempts"] == 1
    assert told["gen_ai.usage.output_tokens"] == 2
    assert str(told["xrouter.request.id"]).startswith("req_")


async def test_a_span_of_the_host_bears_it_at_the_end_when_there_is_no_last_message(by_sdk: RecordedBySDK) -> None:
    body = body_messages(b'{"model":"scripted","messages":[{"role":"user","content":"hi"}],"stream":true}')
    app = traced(LLMRouter({"scripted": Fallback([candidate("a", asyncio.Event())])}), by_sdk)
    with by_sdk.provider.get_tracer("host").start_as_current_span("host", kind=SpanKind.SERVER):
        exchange = Exchange(app, http_scope("POST", "/v1/chat/completions"), script=body)
        exchange.leave()
        await exchange.run()
    assert by_sdk["host"]["xrouter.candidates"] == ("a/m",)


async def test_a_span_of_the_host_that_cannot_be_described_harms_no_request(
    by_sdk: RecordedBySDK, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    span = by_sdk.provider.get_tracer("host").start_span("host", kind=SpanKind.SERVER)

    def fail(attributes: object) -> None:
        raise LookupError

    monkeypatch.setattr(span, "set_attributes", fail)
    with use_span(span):
        answer = await post(traced(routed(ScriptedProvider()), by_sdk), "/v1/chat/completions", chat())
    assert answer.status == 200
    assert "The span of the host could not be described" in caplog.text


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

"""Which members of a client's request go upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xrouter_asgi.providers.base import MAX_WARNINGS, Call
from xrouter_asgi.providers.openai import OpenAIOptions, OpenAIProvider
from xrouter_asgi.testing.openai import FakeOpenAI
from xrouter_asgi.wire import ChatRequest, Document, EmbeddingsRequest, Original

from .calls import chat, embed, read

STEERING = [
    *("api_base", "base_url", "api_key", "api_version", "organization", "custom_llm_provider", "proxy", "headers"),
    *("extra_headers", "extra_query", "extra_body", "fallbacks", "context_window_fallbacks", "model_list", "models"),
    *("route", "provider", "transforms", "user_config", "litellm_params", "aws_access_key_id", "mock_response"),
    *("best_of", "n_predict", "chat_template", "lora_path", "priority"),
]
HARMLESS = ["top_k", "min_p", "repetition_penalty", "chat_template_kwargs", "guided_json", "structured_outputs"]


def written(call: Call) -> Call:
    """The same call with the bytes of a client that writes spaces and escapes."""
    body = json.dumps(call.document.value, indent=1).encode()
    return Call(call.request, document=Document(json.loads(body), body))


@pytest.mark.parametrize("name", STEERING)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_could_steer_a_gateway_behind_stays_here(
    fake: FakeOpenAI, provider: OpenAIProvider, name: str, stream: bool
) -> None:
    steering: dict[str, Any] = {name: "x"}
    reply = await provider.send(chat(stream=stream, **steering))
    await reply.aclose()
    assert name not in fake.last
    assert reply.warnings == [f"{name}_ignored"]


@pytest.mark.parametrize("name", [*ChatRequest.model_fields, *HARMLESS, "service_tier", "reasoning", "thinking"])
async def test_what_openai_knows_and_what_is_harmless_passes(
    fake: FakeOpenAI, provider: OpenAIProvider, name: str
) -> None:
    more: dict[str, Any] = {} if name in ("model", "messages") else {name: None}
    call = chat(**more)
    reply = await provider.send(written(call))
    assert fake.last == call.document.value
    assert reply.warnings == ()


@pytest.mark.parametrize("name", [*EmbeddingsRequest.model_fields, "input_type"])
async def test_of_embeddings_the_same(fake: FakeOpenAI, provider: OpenAIProvider, name: str) -> None:
    call = embed(**({} if name in ("model", "input") else {name: None}))
    assert (await provider.send(call)).warnings == ()
    assert fake.last == call.document.value
    assert (await provider.send(embed(api_base="x", tools=[]))).warnings == ["api_base_ignored", "tools_ignored"]
    assert fake.last == embed().document.value


async def test_of_a_translated_request_the_same(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    legacy = {"model": "alias", "prompt": "hi", "echo": False, "top_k": 5, "route": "x"}
    document, written = chat(api_base="x").document, Document(legacy)
    original = Original("completions", written, document, written)
    call = Call(chat().request, document=document, original=original)
    assert (await provider.send(call)).warnings == ["route_ignored"]
    assert fake.last == {name: value for name, value in legacy.items() if name != "route"}
    chats = OpenAIProvider(fake.base_url, options=OpenAIOptions(completions=False))
    assert (await chats.send(call)).warnings == ["api_base_ignored"]
    assert fake.last == chat().document.value
    await chats.aclose()


async def test_all_other_bytes_stay_as_the_client_wrote_them(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    body = (
        b'{ "models" : ["a", {"]": 1}], "model" : "alias", "seed":1,\n "route":"x",'
        b' "messages": [{"role":"user","content":"\\u00e9 \xc3\xa9 \\"route\\":1,"}] , "temperature":1.50,"x":{} }'
    )
    await provider.send(chat(body=body, model="real"))
    left = body.replace(b' "models" : ["a", {"]": 1}],', b"").replace(b'\n "route":"x",', b"").replace(b',"x":{} ', b"")
    assert fake.requests[0].body == left.replace(b"alias", b"real")


async def test_a_document_of_our_own_loses_them_too(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    call = Call(ChatRequest.of({**chat().document.value, "route": "x"}))
    assert (await provider.send(call)).warnings == ["route_ignored"]
    assert fake.last == chat().document.value


@pytest.mark.parametrize(("store", "passes"), [(True, False), (False, True), (None, True)])
async def test_a_conversation_is_stored_only_where_the_operator_allows_it(
    fake: FakeOpenAI, provider: OpenAIProvider, store: bool | None, passes: bool
) -> None:
    reply = await provider.send(chat(store=store))
    assert ("store" in fake.last, list(reply.warnings)) == (passes, [] if passes else ["store_ignored"])
    allowing = OpenAIProvider(fake.base_url, members=["store", "route"])
    assert (await allowing.send(chat(store=store, route="x", models=[]))).warnings == ["models_ignored"]
    assert fake.last == chat(store=store, route="x").document.value
    await allowing.aclose()


async def test_a_retry_elsewhere_still_has_them(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    call = chat(route="x")
    await provider.send(call)
    assert call.document.value["route"] == "x"


async def test_usage_is_asked_for_beside_what_is_taken_out(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    reply = await provider.send(written(chat(stream=True, route="x", model="real")))
    assert reply.stream is not None
    await read(reply.stream)
    assert (fake.last["stream_options"], fake.last["model"]) == ({"include_usage": True}, "alias")
    assert "route" not in fake.last


@pytest.mark.parametrize("length", [100, 100_000])
async def test_what_is_told_has_bounds(fake: FakeOpenAI, provider: OpenAIProvider, length: int) -> None:
    odd: dict[str, Any] = {f"é\r\nname {number} {'x' * length}": number for number in range(2 * MAX_WARNINGS)}
    reply = await provider.send(chat(**odd))
    assert fake.last == chat().document.value
    assert len(reply.warnings) <= MAX_WARNINGS
    assert all(len(word) < 64 and word.isascii() and word.isprintable() for word in reply.warnings)

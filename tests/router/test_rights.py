"""What the hinge does with what stands in the context: who is calling, and whom it must ask for admission."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.asgi_client import Answer, Exchange, body_messages, http_scope
from xrouter_asgi.context import CostEstimate, Principal, RequestContext
from xrouter_asgi.errors import RateLimitExceeded
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.scripted import ScriptedProvider, chat

CHAT, EMBEDDINGS, MODELS = "/v1/chat/completions", "/v1/embeddings", "/v1/models"


async def ask(
    path: str, value: object = None, *, context: RequestContext, provider: ScriptedProvider | None = None
) -> Answer:
    """POST the value, or GET without one, under a context that somebody outside has made."""
    provider = provider or ScriptedProvider()
    router = LLMRouter({"scripted": provider, "other": provider})
    scope = http_scope("GET" if value is None else "POST", path)
    scope["xrouter"] = context
    return await Exchange(router, scope, script=body_messages(json.dumps(value).encode())).run()


def calling(**rights: Any) -> RequestContext:
    return RequestContext(principal=Principal("key_1", **rights))


async def test_a_key_without_restrictions_may_ask_for_everything() -> None:
    assert (await ask(CHAT, chat(), context=calling())).status == 200
    assert (await ask(EMBEDDINGS, {"model": "scripted", "input": "x"}, context=calling())).status == 200
    assert len((await ask(MODELS, context=calling())).json["data"]) == 2
    assert (await ask(MODELS + "/other", context=calling())).status == 200


@pytest.mark.parametrize(
    ("scope", "path", "value"),
    [("models", CHAT, chat()), ("chat", EMBEDDINGS, {}), ("chat", MODELS, None), ("chat", MODELS + "/other", None)],
)
async def test_a_key_for_another_endpoint_is_refused(scope: str, path: str, value: object) -> None:
    provider = ScriptedProvider()
    answer = await ask(path, value, context=calling(scopes=frozenset({scope})), provider=provider)
    assert answer.status == 403
    assert answer.error["code"] == "insufficient_scope"
    assert provider.calls == []


@pytest.mark.parametrize("path", ["/health", "/ready", "/openapi.json"])
async def test_what_is_no_endpoint_of_a_model_needs_no_scope(path: str) -> None:
    assert (await ask(path, context=calling(scopes=frozenset({"chat"})))).status == 200


async def test_a_key_may_use_its_own_models_only() -> None:
    provider = ScriptedProvider()
    context = calling(models=("oth*",))
    assert (await ask(CHAT, chat("other"), context=context, provider=provider)).status == 200
    answer = await ask(CHAT, chat("scripted"), context=context, provider=provider)
    assert answer.status == 403
    assert answer.error["param"] == "model"
    assert [call.model for call in provider.calls] == ["other"]


async def test_a_key_does_not_learn_which_models_exist_beside_its_own() -> None:
    context = calling(models=("other",))
    served, unknown = [(await ask(CHAT, chat(name), context=context)).error for name in ("scripted", "nowhere")]
    assert served["code"] == unknown["code"]
    assert served["message"].replace("scripted", "nowhere") == unknown["message"]
    served, unknown = [(await ask(f"{MODELS}/{name}", context=context)).error for name in ("scripted", "nowhere")]
    assert served["message"].replace("scripted", "nowhere") == unknown["message"]


async def test_a_key_is_shown_its_own_models_only() -> None:
    listed = await ask(MODELS, context=calling(models=("other",)))
    assert [model["id"] for model in listed.json["data"]] == ["other"]


@pytest.mark.parametrize(
    ("path", "value", "completion_tokens", "choices"),
    [
        (CHAT, chat(), None, 1),
        (CHAT, chat(max_tokens=7), 7, 1),
        (CHAT, chat(max_completion_tokens=5, max_tokens=7, n=3), 21, 3),
        (EMBEDDINGS, {"model": "scripted", "input": "some text"}, 0, 1),
    ],
)
async def test_a_limiter_is_asked_with_what_the_request_may_cost(
    path: str, value: dict[str, Any], completion_tokens: int | None, choices: int
) -> None:
    asked: list[CostEstimate] = []

    async def reserve_tokens(demand: CostEstimate) -> None:
        asked.append(demand)

    assert (await ask(path, value, context=RequestContext(reserve_tokens=reserve_tokens))).status == 200
    assert asked == [CostEstimate("scripted", len(json.dumps(value)) // 2, completion_tokens, choices)]


async def test_what_a_limiter_refuses_reaches_no_provider() -> None:
    async def refuse(demand: CostEstimate) -> None:
        raise RateLimitExceeded("Limit of 60 per 1 minute reached.", retry_after=12)

    provider = ScriptedProvider()
    answer = await ask(CHAT, chat(), context=RequestContext(reserve_tokens=refuse), provider=provider)
    assert answer.status == 429
    assert answer.header("retry-after") == "12"
    assert provider.calls == []

from __future__ import annotations

from typing import Any

import pytest

from tests.asgi_client import Answer, post
from xrouter_asgi import GigaChatProvider, LLMRouter
from xrouter_asgi.policies import resilient
from xrouter_asgi.providers.own_key import BringYourOwnKey
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.gigachat.faults import ScriptedAnswer as Fault
from xrouter_asgi.testing.scripted import ScriptedProvider

TOOL = {"name": "look", "input_schema": {"type": "object"}}
TURNS = [
    {"role": "user", "content": [{"type": "text", "text": "one two"}, {"type": "text", "text": "three"}]},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "x y"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "four"}]},
]


async def count(router: LLMRouter, **members: Any) -> Answer:
    value = {"model": "m", "messages": TURNS, **members}
    return await post(router, "/v1/messages/count_tokens", value)


async def test_tokens_are_estimated_where_the_upstream_cannot_count_them() -> None:
    answer = await count(LLMRouter({"m": ScriptedProvider()}), messages=[{"role": "user", "content": "x" * 400}])
    assert answer.status == 200
    assert answer.json == {"input_tokens": 108}
    assert answer.header("x-xrouter-warnings") == "tokens_estimated"
    assert answer.header("request-id") == answer.header("x-request-id")


async def test_gigachat_counts_the_texts_of_a_conversation() -> None:
    async with FakeGigaChat() as fake:
        provider = GigaChatProvider(fake.credentials, base_url=fake.base_url)
        router = LLMRouter({"m": resilient(provider), "own": BringYourOwnKey(lambda key: provider, inner=provider)})
        answer = await count(router, system="Be brief.")
        own = await count(router, model="own", system="Be brief.")
        with_tools = await count(router, system="Be brief.", tools=[TOOL])
        await router.aclose()
    assert answer.json == own.json == {"input_tokens": 8}
    assert answer.header("x-xrouter-warnings") is None
    assert fake.bodies("/tokens/count")[0]["input"] == ["Be brief.", "one two", "three", '{"at":"x y"}', "four"]
    assert with_tools.json["input_tokens"] > 20


async def test_a_count_that_fails_is_replaced_by_an_estimate() -> None:
    async with FakeGigaChat() as fake:
        router = LLMRouter({"m": GigaChatProvider(fake.credentials, base_url=fake.base_url)})
        fake.script("/tokens/count", Fault(500))
        answer = await count(router)
        await router.aclose()
    assert answer.status == 200
    assert answer.header("x-xrouter-warnings") == "tokens_estimated"


@pytest.mark.parametrize(("members", "status"), [({"model": "other"}, 404), ({"messages": []}, 400)])
async def test_what_cannot_be_counted_is_refused_in_anthropic_s_envelope(members: dict[str, Any], status: int) -> None:
    answer = await count(LLMRouter({"m": ScriptedProvider()}), **members)
    assert answer.status == status
    assert answer.json["type"] == "error"

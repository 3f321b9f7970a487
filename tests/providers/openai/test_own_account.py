"""Clients of Responses who bring their own credential: what their own account keeps may be named, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.serving import uvicorn_here
from xrouter_asgi import BringYourOwnKey, LLMRouter, OpenAIProvider, Target
from xrouter_asgi.policies import Guard
from xrouter_asgi.providers.base import Provider
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.testing.openai import FakeOpenAI, refuse, whole

from .recorded_responses import COMPLETED, OUTPUT, RESPONSE

ASKED: dict[str, Any] = {"model": "gpt", "input": "Hello there"}
FILE = {"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[httpx.AsyncClient]:
    router = LLMRouter({"gpt": Target(provider, model="gpt-5.5")})
    async with uvicorn_here(router) as url, httpx.AsyncClient(base_url=f"{url}/v1", trust_env=False) as client:
        yield client
    await router.aclose()


def own_keys(fake: FakeOpenAI, *, responses: bool = True) -> BringYourOwnKey:
    shared = OpenAIProvider(fake.base_url, api_key="shared", responses=responses)
    return BringYourOwnKey(lambda key: OpenAIProvider(fake.base_url, api_key=key, responses=responses), inner=shared)


async def ask(client: httpx.AsyncClient, credential: str | None = "own", **members: Any) -> httpx.Response:
    headers = {} if credential is None else {"x-provider-key": credential}
    return await client.post("/responses", json={**ASKED, **members}, headers=headers)


NAMED = [
    {"previous_response_id": "resp_theirs"},
    {"input": [{"type": "item_reference", "id": "msg_theirs"}]},
    {"conversation": "conv_1"},
    {"conversation": {"id": "conv_1"}, "input": []},
    {"prompt": {"id": "pmpt_1", "variables": {"city": "Omsk"}}},
    {"input": [FILE]},
    {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file_1", "detail": "low"}]}]},
    {"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "file_id": "f"}]}]},
    {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://x"}], "tool_choice": {"type": "mcp"}},
]
KEPT = [
    {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
    {"tools": [{"type": "code_interpreter", "container": "cntr_1"}]},
    {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user", "content": "Hi"}]},
    {"input": [{"type": "web_search_call", "id": "ws_1", "status": "completed"}, {"role": "user", "content": "Hi"}]},
    {"input": [{"role": "assistant", "content": "Yes.", "id": "msg_1"}, {"role": "user", "content": "Hi"}]},
    {"store": True},
    {"store": False},
    {},
]


def shown(members: dict[str, Any]) -> str:
    return json.dumps(members)[:60]


@pytest.mark.parametrize("members", [*NAMED, *KEPT], ids=shown)
async def test_what_the_callers_own_account_keeps_may_be_named(fake: FakeOpenAI, members: dict[str, Any]) -> None:
    async with serving(own_keys(fake)) as client:
        fake.next(whole(COMPLETED))
        answer = await ask(client, **members)
    assert (answer.status_code, answer.json()) == (200, COMPLETED)
    assert fake.last == {**ASKED, **members, "model": "gpt-5.5"}
    assert fake.requests[0].headers["authorization"] == "Bearer own"


@pytest.mark.parametrize("members", NAMED, ids=shown)
async def test_the_shared_account_is_never_sent_it(fake: FakeOpenAI, members: dict[str, Any]) -> None:
    async with serving(own_keys(fake)) as client:
        assert (await ask(client, None, **members)).status_code == 400
        assert (await ask(client, "", **members)).status_code == 400
    shared = OpenAIProvider(fake.base_url, api_key="shared", responses=True)
    async with serving(shared) as client:  # which takes no credential of callers
        assert (await ask(client, "own", **members)).status_code == 400
    assert fake.requests == []


async def test_what_is_kept_here_is_resolved_for_the_own_account_too(fake: FakeOpenAI) -> None:
    async with serving(own_keys(fake)) as client:
        fake.next(*[whole(COMPLETED)] * 2)
        await ask(client)
        await ask(client, input="and?", previous_response_id=RESPONSE["id"])
    assert "previous_response_id" not in fake.last
    first, thought, search, *_, last = fake.last["input"]
    assert first["content"] == [{"type": "input_text", "text": "Hello there"}]
    assert (thought["encrypted_content"], search) == (OUTPUT[0]["encrypted_content"], OUTPUT[1])
    assert last["content"] == "and?"


async def test_an_answer_to_what_only_the_upstream_knows_is_not_kept_here(fake: FakeOpenAI) -> None:
    """Else the next request would be sent without what came before."""
    async with serving(own_keys(fake)) as client:
        fake.next(*[whole(COMPLETED)] * 2)
        await ask(client, previous_response_id="resp_theirs")
        assert (await client.get(f"/responses/{RESPONSE['id']}", headers={"x-provider-key": "own"})).status_code == 404
        await ask(client, input="and?", previous_response_id=RESPONSE["id"])
    assert fake.last == {"model": "gpt-5.5", "input": "and?", "previous_response_id": RESPONSE["id"]}


async def test_callers_without_keys_here_are_told_apart_by_their_credentials(fake: FakeOpenAI) -> None:
    async with serving(own_keys(fake)) as client:
        fake.next(*[whole(COMPLETED)] * 3)
        await ask(client, "ann")
        path = f"/responses/{RESPONSE['id']}"
        found = [
            (await client.get(path, headers={"x-provider-key": key} if key else {})).status_code
            for key in ("ann", "bob", None)
        ]
        await ask(client, "bob", input="and?", previous_response_id=RESPONSE["id"])
        assert fake.last["previous_response_id"] == RESPONSE["id"]  # bob's own account knows no such response
        await ask(client, "ann", input="and?", previous_response_id=RESPONSE["id"])
        assert "previous_response_id" not in fake.last
    assert found == [200, 404, 404]


async def test_members_that_could_steer_the_upstream_stay_here(fake: FakeOpenAI) -> None:
    async with serving(own_keys(fake)) as client:
        fake.next(whole(COMPLETED))
        answer = await ask(client, conversation="conv_1", api_base="http://evil")
    assert fake.last == {**ASKED, "model": "gpt-5.5", "conversation": "conv_1"}
    assert answer.headers["x-xrouter-warnings"] == "api_base_ignored"


async def test_reasoning_that_this_gateway_sealed_does_not_go_up(fake: FakeOpenAI) -> None:
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xr1.eJwLzs9NBQAEPQGD"}
    async with serving(own_keys(fake)) as client:
        fake.next(whole(COMPLETED))
        await ask(client, input=[sealed, FILE])
    assert fake.last["input"] == [FILE]


async def test_it_is_refused_where_it_would_have_to_be_translated(fake: FakeOpenAI) -> None:
    async with serving(own_keys(fake, responses=False)) as client:
        answer = await ask(client, conversation="conv_1")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "conversation")
    async with serving(BringYourOwnKey(lambda key: EchoProvider())) as client:
        assert (await ask(client, input=[FILE])).json()["error"]["param"] == "input[0].content[0].file_id"
    assert fake.requests == []


async def test_something_that_the_account_lacks_is_no_sign_that_it_has_no_responses(fake: FakeOpenAI) -> None:
    async with serving(own_keys(fake)) as client:
        fake.next(refuse(404, "Conversation with id 'conv_1' not found."), whole(COMPLETED))
        answer = await ask(client, conversation="conv_1")
        assert "conv_1" in answer.json()["error"]["message"]
        await ask(client)
    assert [each.path for each in fake.requests] == ["/v1/responses"] * 2


async def test_a_guard_sees_all_that_goes_up_and_replaces_nothing_of_it(fake: FakeOpenAI) -> None:
    seen: list[str] = []

    def check(passages: Any) -> list[str]:
        seen.extend(passage.text for passage in passages)
        return [passage.text.replace("Omsk", "X") for passage in passages]

    async def asked(passages: Any) -> list[str]:
        return check(passages)

    async with serving(Guard(own_keys(fake), check=asked)) as client:
        answer = await ask(client, prompt={"id": "pmpt_1", "variables": {"city": "Omsk"}})
    assert "Omsk" in seen
    assert (answer.status_code, answer.json()["error"]["param"], fake.requests) == (400, "prompt", [])

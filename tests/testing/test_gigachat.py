"""The fake refuses what GigaChat refuses, in GigaChat's words: else the tests that use it would prove nothing."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from xrouter_asgi.providers.http import Upstream, UpstreamAnswer
from xrouter_asgi.testing.gigachat import FakeGigaChat

CALL = {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": {"a": 1}}}
RESULT = {"role": "function", "name": "f", "content": "{}"}
USER = {"role": "user", "content": "Hello"}
FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {}}}
SYNTAX = "Your request contains invalid JSON syntax."


@pytest.fixture
async def fake() -> AsyncIterator[FakeGigaChat]:
    async with FakeGigaChat() as fake:
        yield fake


@pytest.fixture
async def api(fake: FakeGigaChat) -> AsyncIterator[Upstream]:
    upstream = Upstream(fake.base_url)
    yield upstream
    await upstream.aclose()


async def token(fake: FakeGigaChat, **changes: Any) -> tuple[int, dict[str, Any]]:
    """Ask for a token; `changes` replace headers and `content`."""
    content = changes.pop("content", b"scope=GIGACHAT_API_PERS")
    headers = {
        "Authorization": f"Basic {fake.key}",
        "RqUID": str(uuid.uuid4()),
        "Content-Type": "application/x-www-form-urlencoded",
        **changes,
    }
    oauth = Upstream(fake.auth_url, headers=headers)
    answer = await oauth.fetch("POST", "", content=content)
    await oauth.aclose()
    return answer.status, json.loads(answer.body)


async def chat(fake: FakeGigaChat, api: Upstream, body: Any) -> UpstreamAnswer:
    _, issued = await token(fake)
    bearer = (b"Authorization", f"Bearer {issued['access_token']}".encode())
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await api.fetch("POST", "/chat/completions", headers=[bearer], content=content)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"RqUID": "no-uuid"}, 400, None),
        ({"RqUID": str(uuid.uuid1())}, 400, None),
        ({"Authorization": "Basic !"}, 400, 4),
        ({"Authorization": "Basic eDp5"}, 401, 6),
        ({"content": b'{"scope":"GIGACHAT_API_PERS"}'}, 400, 5),
        ({"Content-Type": "application/json"}, 400, 5),
        ({"content": b"scope=ALL"}, 400, 1),
        ({"content": b"scope=GIGACHAT_API_CORP"}, 400, 7),
    ],
)
async def test_a_wrong_token_request_is_refused(
    fake: FakeGigaChat, changes: dict[str, Any], status: int, code: int | None
) -> None:
    got, body = await token(fake, **changes)
    assert (got, body.get("code")) == (status, code)


async def test_more_than_ten_token_requests_in_a_second_are_refused(fake: FakeGigaChat) -> None:
    statuses = [(await token(fake))[0] for _ in range(11)]
    assert statuses == [200] * 10 + [429]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, SYNTAX),
        ([], 400, SYNTAX),
        ({"messages": []}, 400, SYNTAX),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}, 400, SYNTAX),
        ({"messages": [{"role": "tool", "content": "Hi"}]}, 400, SYNTAX),
        ({"messages": [USER, {**CALL, "function_call": {"name": "f", "arguments": "{}"}}, RESULT]}, 400, SYNTAX),
        ({"messages": [USER], "temperature": 0}, 400, SYNTAX),
        ({"messages": [USER], "max_tokens": 0}, 400, SYNTAX),
        ({"messages": [USER], "max_tokens": "5"}, 400, SYNTAX),
        ({"messages": [USER], "function_call": "required"}, 400, SYNTAX),
        ({"messages": [USER], "repetition_penalty": 0}, 422, "repetition_penalty must be in range"),
        ({"messages": [USER], "model": "GigaChat"}, 404, "No such model"),
        ({"messages": [USER, {"role": "system", "content": "Hi"}]}, 422, "system message must be the first message"),
        ({"messages": [USER, CALL]}, 422, "every assistant function call must have a result in history"),
        ({"messages": [USER, RESULT]}, 422, "must have an assistant function call in history"),
        ({"messages": [USER, CALL, {**RESULT, "content": "no JSON"}]}, 422, "invalid function result json string `no"),
        ({"messages": [USER, CALL, {"role": "function", "content": "{}"}]}, 422, "without a name"),
        ({"messages": [{**USER, "attachments": ["a", "b"]}]}, 422, "one image per message"),
        ({"messages": [{**USER, "attachments": ["a"]}] * 11}, 422, "too many attachments"),
        ({"messages": [{**USER, "attachments": ["a"]}]}, 404, "File 'a' not found"),
        ({"messages": [USER], "functions": [{**FUNCTION, "name": "1f"}]}, 422, "Invalid function names"),
        ({"messages": [USER], "functions": [{"name": "f"}]}, 400, SYNTAX),
        (
            {
                "messages": [USER],
                "functions": [
                    {"name": "f", "parameters": {"type": "object", "properties": {"data": {"type": "object"}}}}
                ],
            },
            422,
            "Field 'properties.data.properties' is missing",
        ),
        (
            {
                "messages": [USER],
                "functions": [{"name": "f", "parameters": {"type": "array", "items": {"type": "object"}}}],
            },
            422,
            "Field 'items.properties' is missing",
        ),
        ({"messages": [USER], "functions": [FUNCTION], "function_call": {"name": "g"}}, 422, "Unknown tool g"),
        ({"messages": [USER], "response_format": {"type": "json_object"}}, 400, 'Unknown type "json_object"'),
        ({"messages": [USER], "response_format": {"type": "json_schema", "schema": {}}}, 400, "Empty schema"),
        ({"messages": [USER], "response_format": "text"}, 400, SYNTAX),
    ],
)
async def test_a_chat_that_breaks_a_rule_is_refused_in_gigachats_words(
    fake: FakeGigaChat, api: Upstream, body: Any, status: int, message: str
) -> None:
    fake.plain_history = True
    if isinstance(body, dict):
        body = {"model": "GigaChat-2", **body}
    answer = await chat(fake, api, body)
    said = json.loads(answer.body)
    assert answer.status == said["status"] == status
    assert message in said["message"]


async def test_a_chat_without_a_valid_token_is_refused(fake: FakeGigaChat, api: Upstream) -> None:
    answer = await api.fetch("POST", "/chat/completions", headers=[(b"Authorization", b"Bearer no")], content=b"{}")
    assert answer.status == 401


async def test_a_second_chat_at_once_is_refused(fake: FakeGigaChat, api: Upstream) -> None:
    fake.gate.clear()
    body = {"model": "GigaChat-2", "messages": [USER]}
    first = asyncio.ensure_future(chat(fake, api, body))
    await fake.arrived("/chat/completions")
    second = await chat(fake, api, body)
    fake.gate.set()
    assert (second.status, (await first).status) == (429, 200)
    assert fake.peak == 2

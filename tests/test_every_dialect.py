"""Whatever a client speaks: keys, limits, metrics, access log, explanations and fallback are the same for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.serving import uvicorn_here
from xrouter_asgi.keys import CachedKeys, Issuer, KeySpec, MemoryKeyStore
from xrouter_asgi.limits import MemoryLimits
from xrouter_asgi.middleware import APIKeyMiddleware, RateLimitMiddleware, RequestEventsMiddleware
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.stack import stack
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.providers.openai import OpenAIOptions, OpenAIProvider
from xrouter_asgi.providers.target import Target
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.telemetry import AccessLog
from xrouter_asgi.testing.openai import FakeOpenAI, refuse

WORDS = "Good morning to you"


@dataclass(frozen=True)
class Speech:
    """How one kind of client asks for `WORDS` to be repeated, and what of the answer says them."""

    name: str
    path: str
    members: dict[str, Any]
    refusal: str  # the `type` of an error for a wrong key

    def body(self, **more: Any) -> dict[str, Any]:
        return {"model": "m", **self.members, **more}


USER = [{"role": "user", "content": WORDS}]
SPEECHES = (
    Speech("chat", "/v1/chat/completions", {"messages": USER}, "invalid_request_error"),
    Speech("responses", "/v1/responses", {"input": WORDS}, "invalid_request_error"),
    Speech("messages", "/v1/messages", {"messages": USER, "max_tokens": 50}, "authentication_error"),
    Speech("completions", "/v1/completions", {"prompt": WORDS, "max_tokens": 50}, "invalid_request_error"),
)
ANTHROPIC = {"anthropic-version": "2023-06-01"}


class Stand:
    """A gateway whose first target is a fake upstream and whose second one echoes."""

    def __init__(self, upstream: FakeOpenAI) -> None:
        self.upstream = upstream
        self.lines: list[dict[str, Any]] = []
        self.keys = MemoryKeyStore()
        options = OpenAIOptions(completions=False)
        first = Target(OpenAIProvider(upstream.base_url, name="first", options=options), model="chat")
        second = Target(EchoProvider(name="second"), model="echo")
        model = stack([Candidate(first, "first/chat"), Candidate(second, "second/echo")])
        self.router = LLMRouter({"m": model}, explain=True)
        limited = RateLimitMiddleware(self.router, limit=(), store=MemoryLimits())
        guarded = APIKeyMiddleware(limited, store=CachedKeys(self.keys))
        self.app = RequestEventsMiddleware(
            guarded, observers=[AccessLog(lambda line: self.lines.append(json.loads(line)))]
        )

    async def key(self, *limits: str) -> dict[str, str]:
        """The headers of a client with a new key."""
        issued = await Issuer(self.keys, by="test").create(KeySpec(limits=limits))
        return {"authorization": f"Bearer {issued.secret}"}


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with FakeOpenAI() as upstream:
        stand = Stand(upstream)
        yield stand
        await stand.router.aclose()


@pytest.fixture(params=SPEECHES, ids=lambda speech: speech.name)
def speech(request: pytest.FixtureRequest) -> Speech:
    assert isinstance(request.param, Speech)
    return request.param


async def asked(stand: Stand, speech: Speech, headers: dict[str, str], **more: Any) -> httpx.Response:
    async with uvicorn_here(stand.app) as url, httpx.AsyncClient(trust_env=False) as client:
        return await client.post(url + speech.path, json=speech.body(**more), headers={**ANTHROPIC, **headers})


@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_target_answers_and_the_log_tells_it(stand: Stand, speech: Speech, stream: bool) -> None:
    stand.upstream.next(refuse(402, "No money.", code="insufficient_quota"))
    answer = await asked(stand, speech, {**await stand.key(), "x-xrouter-explain": "1"}, stream=stream)
    assert answer.status_code == 200
    assert "morning" in answer.text
    assert answer.headers["x-xrouter-provider"] == "second"
    assert json.loads(answer.headers["x-xrouter-explain"])["attempts"]
    (line,) = stand.lines
    assert (line["endpoint"], line["model"], line["provider"], line["complete"]) == (speech.name, "m", "second", True)
    assert line["completion_tokens"] == 4


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_count_against_the_limit_of_the_key(stand: Stand, speech: Speech, stream: bool) -> None:
    answer = await asked(stand, speech, await stand.key("5000 tokens/minute"), stream=stream)
    assert answer.status_code == 200
    assert int(answer.headers["x-ratelimit-limit-tokens"]) == 5000
    assert stand.lines[0]["completion_tokens"] == 4


async def test_a_used_up_limit_is_told_in_the_words_of_the_client(stand: Stand, speech: Speech) -> None:
    key = await stand.key("1/hour")
    async with uvicorn_here(stand.app) as url, httpx.AsyncClient(trust_env=False) as client:
        headers = {**ANTHROPIC, **key} if speech.name == "messages" else key
        answers = [await client.post(url + speech.path, json=speech.body(), headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    told = answers[1].json()
    assert ("request_id" in told) == (speech.name == "messages")
    assert "Limit of 1 per 1 hour" in told["error"]["message"]
    assert int(answers[1].headers["retry-after"]) > 0


async def test_a_wrong_key_is_told_in_the_words_of_the_client(stand: Stand, speech: Speech) -> None:
    async with uvicorn_here(stand.app) as url, httpx.AsyncClient(trust_env=False) as client:
        headers = {"x-api-key": "wrong", **(ANTHROPIC if speech.name == "messages" else {})}
        answer = await client.post(url + speech.path, json=speech.body(), headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == speech.refusal
    assert stand.lines[0]["status"] == 401


async def test_a_model_that_the_key_may_not_use_is_refused_before_anybody_is_asked(
    stand: Stand, speech: Speech
) -> None:
    issued = await Issuer(stand.keys, by="test").create(KeySpec(models=("other",)))
    answer = await asked(stand, speech, {"authorization": f"Bearer {issued.secret}"})
    assert answer.status_code == 403
    assert stand.upstream.requests == []

"""Anthropic's own SDK through a router: as if it spoke to the upstream itself, which gets its own words."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any, ClassVar

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import ContentBlock, Message

from tests.serving import uvicorn_here
from xrouter_asgi import LLMRouter, Target, resilient
from xrouter_asgi.context import RequestContext, Usage
from xrouter_asgi.events import RequestEnded
from xrouter_asgi.middleware import RequestEventsMiddleware
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.stack import stack
from xrouter_asgi.providers import AnthropicProvider
from xrouter_asgi.providers.gigachat import AuthorizationKey, GigaChatProvider
from xrouter_asgi.testing.anthropic import FakeAnthropic
from xrouter_asgi.testing.anthropic.answers import sse
from xrouter_asgi.testing.anthropic.faults import error, refuse, told
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.http import FakeExchange
from xrouter_asgi.testing.openai import SSE, whole

from ..native import NativeContract
from ..samples import kinds_of, sample
from . import recorded
from .conftest import KEY

HELLO: dict[str, Any] = {"model": "claude", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello there"}]}
LOOK = {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
EPHEMERAL = {"type": "ephemeral"}


class Gateway:
    """A gateway in front of a fake, and the requests that it answered."""

    def __init__(self, sdk: AsyncAnthropic, direct: AsyncAnthropic, ended: list[RequestContext]) -> None:
        self.sdk = sdk
        self.direct = direct
        self.ended = ended


@asynccontextmanager
async def gateway(fake: FakeAnthropic, *others: Candidate) -> AsyncIterator[Gateway]:
    provider = AnthropicProvider(KEY, base_url=fake.base_url)
    model = stack([Candidate(Target(provider, model="claude-opus-4-8"), "claude/claude-opus-4-8"), *others])
    ended: list[RequestContext] = []

    def watch(event: object) -> None:
        if isinstance(event, RequestEnded):
            ended.append(event.context)

    router = LLMRouter({"claude": model})
    root = fake.base_url.removesuffix("/v1")
    async with (
        uvicorn_here(RequestEventsMiddleware(router, observers=[watch])) as url,
        AsyncAnthropic(api_key="k", base_url=url, max_retries=0) as sdk,
        AsyncAnthropic(api_key=KEY, base_url=root, max_retries=0) as direct,
    ):
        yield Gateway(sdk, direct, ended)
    await router.aclose()


async def events_of(sdk: AsyncAnthropic, **members: Any) -> list[dict[str, Any]]:
    """The events as the SDK hands them on."""
    async with await sdk.messages.create(**HELLO, stream=True, **members) as stream:
        return [event.to_dict() async for event in stream]


async def final(sdk: AsyncAnthropic, **members: Any) -> dict[str, Any]:
    """The message that the SDK puts together."""
    async with sdk.messages.stream(**{**HELLO, **members}) as stream:
        message: dict[str, Any] = (await stream.get_final_message()).to_dict()
    return message


class TestNative(NativeContract):
    asked = HELLO
    events = recorded.EVENTS
    samples: ClassVar = [
        [recorded.BEGUN, recorded.started(0, sample(kind)), recorded.stopped(0), *recorded.ENDED]
        for kind in kinds_of(ContentBlock)
    ]
    answer: ClassVar = {
        **recorded.BEGUN["message"],
        "content": [{"type": "thinking", "thinking": "Hm.", "signature": "EqQB=="}, {"type": "text", "text": "Да"}],
        "stop_reason": "end_turn",
        "container": None,
        "usage": recorded.BEGUN["message"]["usage"] | recorded.ENDED[0]["usage"],
    }
    usage = Usage(2060, 503, cached_tokens=1800, cache_write_tokens=248, cache_write_1h_tokens=100)
    sse = staticmethod(sse)
    resource = attrgetter("messages")

    @pytest.fixture
    async def it(self, fake: FakeAnthropic) -> AsyncIterator[Gateway]:
        async with gateway(fake) as it:
            yield it


async def test_the_message_that_the_sdk_puts_together_is_the_same(fake: FakeAnthropic) -> None:
    async with gateway(fake) as it:
        fake.next(*[told(*recorded.EVENTS)] * 2)
        assert await final(it.sdk) == await final(it.direct)


async def test_what_the_client_wrote_goes_up_byte_for_byte_but_for_the_model(fake: FakeAnthropic) -> None:
    written = (
        b'{ "max_tokens":100,"model" : "claude", "system":[{"type":"text","text":"Be kind.","cache_control":'
        b'{"type":"ephemeral","ttl":"1h"}}],\n "thinking":{"type":"adaptive"},"metadata":{"user_id":"u-1"},'
        b'"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]},'
        b'"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":['
        b'{"type":"thinking","thinking":"Let me see.","signature":"3d34f6d2d7fcd8ab"},'
        b'{"type":"text","text":"\\u0414\\u0430"}]},{"content":"and?","role":"user"}]}'
    )
    fake.next(whole({**recorded.BEGUN["message"], "stop_reason": "end_turn"}))
    betas = "context-management-2025-06-27,prompt-caching-scope-2026-01-05"
    headers = {"anthropic-version": "2026-10-21", "anthropic-beta": betas, "content-type": "application/json"}
    async with gateway(fake) as it:
        answer = await it.sdk._client.post("/v1/messages?beta=true", content=written, headers=headers)
    assert answer.status_code == 200
    (asked,) = fake.requests
    assert asked.body == written.replace(b'"claude"', b'"claude-opus-4-8"')
    assert asked.headers["anthropic-beta"] == betas
    assert asked.headers["anthropic-version"] == "2026-10-21"
    assert asked.headers["x-api-key"] == KEY


async def test_a_member_that_could_steer_the_upstream_stays_here(fake: FakeAnthropic) -> None:
    async with gateway(fake) as it:
        extra = {"api_base": "http://evil", "container": "container_01", "service_tier": "auto"}
        told = await it.sdk.messages.with_raw_response.create(**HELLO, extra_body=extra)
    assert fake.last.keys() == {"model", "max_tokens", "messages", "service_tier"}
    assert set(told.headers["x-xrouter-warnings"].split(", ")) == {"api_base_ignored", "container_ignored"}


async def test_a_file_that_the_upstream_keeps_cannot_be_named(fake: FakeAnthropic) -> None:
    kept = {"type": "file", "file_id": "file_01"}
    blocks: list[Any] = [
        {"type": "container_upload", "file_id": "file_01"},
        {"type": "document", "source": kept},
        {"type": "image", "source": kept},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": kept}]},
    ]
    async with gateway(fake) as it:
        for block in blocks:
            with pytest.raises(anthropic.BadRequestError):
                await it.sdk.messages.create(**{**HELLO, "messages": [{"role": "user", "content": [block]}]})
    assert fake.requests == []


async def test_tokens_are_counted_in_the_clients_own_words(fake: FakeAnthropic) -> None:
    system: list[Any] = [{"type": "text", "text": "Be kind.", "cache_control": EPHEMERAL}]
    async with gateway(fake) as it:
        extra = {"max_tokens": 5}
        counted = await it.sdk.messages.count_tokens(
            model="claude", messages=HELLO["messages"], system=system, extra_body=extra
        )
    assert counted.input_tokens == 3
    assert fake.last == {"model": "claude-opus-4-8", "messages": HELLO["messages"], "system": system}


async def test_an_error_before_the_first_event_keeps_its_status(fake: FakeAnthropic) -> None:
    async with gateway(fake) as it:
        fake.next(refuse(400, "invalid_request_error", "prompt is too long: 9 > 8"))
        with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
            await final(it.sdk)
        fake.next(*[told(recorded.BEGUN, error("overloaded_error", "Overloaded"))] * 3)
        with pytest.raises(anthropic.InternalServerError) as caught:
            await final(it.sdk)
    assert caught.value.status_code == 529


async def test_a_stream_that_breaks_ends_with_an_error_event(fake: FakeAnthropic) -> None:
    async with gateway(fake) as it:
        for script in (
            told(*recorded.EVENTS[:6], error("api_error", "Oh.")),
            told(*recorded.EVENTS[:6]),
            told(*recorded.EVENTS[:6], {"type": "content_block_delta", "index": 9, "delta": {}}),
        ):
            fake.next(script)
            with pytest.raises(anthropic.APIStatusError):
                await final(it.sdk)


async def test_a_message_without_its_last_event_is_completed(fake: FakeAnthropic) -> None:
    fake.next(told(*recorded.EVENTS[:-1]))
    async with gateway(fake) as it:
        assert (await events_of(it.sdk))[-1] == {"type": "message_stop"}


async def test_events_without_names_get_them(fake: FakeAnthropic) -> None:
    """Anthropic's SDK passes over an event without its name."""
    nameless = [b"data: " + json.dumps(event).encode() + b"\r\n\r\n" for event in recorded.EVENTS]

    async def script(exchange: FakeExchange) -> None:
        await exchange.start(200, SSE)
        for event in nameless:
            await exchange.write(event)
        await exchange.end()

    async with gateway(fake) as it:
        fake.next(script, told(*recorded.EVENTS))
        assert await events_of(it.sdk) == await events_of(it.direct)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_falls_back_to_gigachat_and_returns(fake: FakeAnthropic, stream: bool) -> None:
    """Signed thinking goes back to Claude as it was; what GigaChat thought, and our marks on it, do not."""
    async with FakeGigaChat() as gigachat:
        key = AuthorizationKey(gigachat.key, url=gigachat.auth_url)
        other = GigaChatProvider(base_url=gigachat.base_url, credentials=key)
        second = Candidate(Target(other, model="GigaChat-2-Max"), "gigachat/GigaChat-2-Max")
        async with gateway(fake, second) as it:
            members: dict[str, Any] = {
                "tools": [{**LOOK, "cache_control": EPHEMERAL}],
                "thinking": {"type": "enabled", "budget_tokens": 1024},
                "max_tokens": 4096,
            }
            turns: list[Any] = [{"role": "user", "content": 'call look {"at": "sky"}'}]

            async def ask() -> dict[str, Any]:
                if stream:
                    return await final(it.sdk, **{**members, "messages": turns})
                message: Message = await it.sdk.messages.create(**{**HELLO, **members, "messages": turns})
                return message.to_dict()

            claude = await ask()
            assert [block["type"] for block in claude["content"]] == ["thinking", "tool_use"]
            turns += [{"role": "assistant", "content": claude["content"]}, result_of(claude, "red")]
            turns[-1]["content"].append({"type": "text", "text": 'call look {"at": "sea"}'})
            fake.next(*[refuse(500, "api_error", "Oh.")] * 5)
            giga = await ask()
            assert [block["type"] for block in giga["content"]] == ["tool_use"]
            turns += [{"role": "assistant", "content": giga["content"]}, result_of(giga, "blue")]
            fake._scripts.clear()
            back = await ask()
    assert [context.provider for context in it.ended] == ["anthropic", "gigachat", "anthropic"]
    assert back["content"][-1]["text"] == "blue"
    assert fake.last["messages"] == turns
    assert "thinking" not in fake.last  # Claude does not think on after calls that another model made
    assert fake.last["tools"][0]["cache_control"] == EPHEMERAL


def result_of(message: dict[str, Any], text: str) -> dict[str, Any]:
    (call,) = [block for block in message["content"] if block["type"] == "tool_use"]
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": text}]}


async def test_thinking_of_other_models_does_not_go_up(fake: FakeAnthropic) -> None:
    said = [
        {"type": "thinking", "thinking": "Hm.", "signature": "xr1"},
        {"type": "text", "text": "Yes.", "cache_control": EPHEMERAL},
    ]
    only = [{"type": "thinking", "thinking": "Hm.", "signature": ""}]
    turns: list[Any] = [
        {"role": "user", "content": "A?"},
        {"role": "assistant", "content": said},
        {"role": "assistant", "content": only},
        {"role": "user", "content": "B?"},
    ]
    async with gateway(fake) as it:
        await it.sdk.messages.create(**{**HELLO, "messages": turns})
    assert fake.last["messages"] == [turns[0], {"role": "assistant", "content": said[1:]}, turns[3]]


async def test_a_lone_provider_is_asked_the_same(fake: FakeAnthropic) -> None:
    provider = AnthropicProvider(KEY, base_url=fake.base_url)
    router = LLMRouter({"claude": resilient(Target(provider, model="claude-opus-4-8"))})
    async with uvicorn_here(router) as url, AsyncAnthropic(api_key="k", base_url=url) as sdk:
        fake.next(told(*recorded.EVENTS))
        assert (await events_of(sdk))[0] == recorded.BEGUN
    await router.aclose()

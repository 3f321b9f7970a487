"""Texts that come in parts, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xrouter_asgi.errors import UpstreamError
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.testing.openai import FakeOpenAI, stream, whole
from xrouter_asgi.testing.openai_answers import chunk, completion

from .calls import chat, read, stream_of

THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Two and "}, {"type": "text", "text": "two."}]}
PICTURE = {"type": "image_url", "image_url": {"url": "data:,x"}}
CASES = [
    pytest.param([{"type": "text", "text": "Fo"}, {"type": "text", "text": "ur"}], "Four", None, id="texts"),
    pytest.param([THOUGHT, {"type": "text", "text": "Four"}], "Four", "Two and two.", id="thought and text"),
    pytest.param([THOUGHT], None, "Two and two.", id="thought alone"),
    pytest.param([{"type": "thinking", "thinking": "Hm."}], None, "Hm.", id="thought as text"),
    pytest.param([], "", None, id="no part"),
    pytest.param(
        [PICTURE, {"type": "text", "text": "a"}], [PICTURE, {"type": "text", "text": "a"}], None, id="picture"
    ),
]


@pytest.mark.parametrize(("content", "text", "thought"), CASES)
async def test_a_whole_answer_says_its_text_as_a_text(
    fake: FakeOpenAI, provider: OpenAIProvider, content: Any, text: Any, thought: str | None
) -> None:
    answer = completion({"model": "m", "messages": []})
    answer["choices"][0]["message"]["content"] = content
    fake.next(whole(answer))
    message = (await provider.send(chat())).body.value["choices"][0]["message"]  # type: ignore[union-attr]
    assert (message["content"], message.get("reasoning_content")) == (text, thought)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("content", "text", "thought"), CASES)
async def test_a_streamed_answer_says_its_text_as_a_text(
    fake: FakeOpenAI, provider: OpenAIProvider, content: Any, text: Any, thought: str | None, first: bool
) -> None:
    before = [] if first else [chunk({"role": "assistant", "content": ""})]
    fake.next(stream(*before, chunk({"content": content}), chunk({}, "stop")))
    chunks = await read(await stream_of(provider))
    deltas = [each.value["choices"][0]["delta"] for each in chunks]
    delta = deltas[len(before)]
    assert (delta["content"], delta.get("reasoning_content")) == (text, thought)


@pytest.mark.parametrize("content", [4, True, {"text": "a"}])
async def test_a_text_that_is_none_breaks_a_stream(fake: FakeOpenAI, provider: OpenAIProvider, content: object) -> None:
    fake.next(stream(chunk({"role": "assistant", "content": "a"}), chunk({"content": content}), chunk({}, "stop")))
    with pytest.raises(UpstreamError) as caught:
        await read(await stream_of(provider))
    assert caught.value.code == "bad_event"


async def test_a_choice_ends_once(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(stream(chunk({"content": "a"}), chunk({}, "stop"), chunk({}, "stop")))
    chunks = await read(await stream_of(provider))
    assert [each.value["choices"][0]["finish_reason"] for each in chunks] == [None, "stop", None]


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
async def test_blank_arguments_become_an_object(fake: FakeOpenAI, provider: OpenAIProvider, blank: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": blank}}
    answer = completion({"model": "m", "messages": []})
    answer["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    fake.next(whole(answer), stream(chunk({"tool_calls": [{**call, "index": 0}]}), chunk({}, "tool_calls")))
    told = (await provider.send(chat())).body.value["choices"][0]["message"]["tool_calls"]  # type: ignore[union-attr]
    assert json.loads(told[0]["function"]["arguments"]) == {}
    chunks = await read(await stream_of(provider))
    fragments = [f for each in chunks for f in each.value["choices"][0]["delta"].get("tool_calls", ())]
    assert json.loads("".join(f["function"].get("arguments", "") for f in fragments)) == {}

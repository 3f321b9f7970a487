"""When an answer is whole: by its `finish_reason`, and else by how its end is written, streamed and whole alike."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from xrouter_asgi.errors import UpstreamError
from xrouter_asgi.policies import Candidate, Fallback, Hedge, HedgeBudget, Prebuffer
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.testing.openai import DONE, FakeOpenAI, chunked, event, held, raw, stream, whole
from xrouter_asgi.testing.openai_answers import chunk, chunk_choice, completion
from xrouter_asgi.wire import ChatCompletion

from .calls import chat, read, stream_of, text_of

HI = chunk({"role": "assistant", "content": "Hi"})
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USAGE = {**HI, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
TOLD = [{}, {"finish_reason": None}, {"finish_reason": ""}]


def ends(chunks: list[Any]) -> list[tuple[int, str]]:
    choices = [choice for each in chunks for choice in each.value["choices"]]
    return [(choice["index"], choice["finish_reason"]) for choice in choices if choice.get("finish_reason")]


def untold(delta: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    value = chunk(delta)
    del value["choices"][0]["finish_reason"]
    value["choices"][0] |= told
    return value


DELTAS = [
    ({"role": "assistant", "content": "Hi"}, "stop"),
    ({"role": "assistant", "content": ""}, "stop"),
    ({"role": "assistant", "refusal": "No."}, "stop"),
    ({"role": "assistant", "tool_calls": [CALL]}, "tool_calls"),
    ({"role": "assistant", "content": "Hi", "tool_calls": [CALL]}, "tool_calls"),
    ({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, "function_call"),
]


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize(("delta", "reason"), DELTAS)
async def test_an_answer_without_a_finish_reason_gets_the_same_one_however_it_comes(
    fake: FakeOpenAI, provider: OpenAIProvider, delta: dict[str, Any], reason: str, told: dict[str, Any]
) -> None:
    message = {"content": None, **delta}
    body = completion({"model": "m", "messages": []}) | {"choices": [{"index": 0, "message": message, **told}]}
    events = event(untold(delta, told)) + DONE
    answers: tuple[object, object] = (body, events)
    for answer in answers:
        fake.next(whole(answer))
        reply = await provider.send(chat())
        assert isinstance(reply.body, ChatCompletion)
        assert reply.body.value["choices"][0]["finish_reason"] == reason
    for script in (whole(body), raw(chunked(events))):
        fake.next(script)
        assert ends(await read(await stream_of(provider))) == [(0, reason)]


@pytest.mark.parametrize("end", [b"", b"data: [DON", b"data: [DONE"])
async def test_a_stream_with_neither_is_broken_even_if_its_body_is_whole(
    fake: FakeOpenAI, provider: OpenAIProvider, end: bytes
) -> None:
    fake.next(raw(chunked(event(HI) + end)))
    answer = await stream_of(provider)
    with pytest.raises(UpstreamError) as caught:
        await read(answer)
    assert caught.value.code == "stream_broken"
    fake.next(whole(event(HI) + end))
    with pytest.raises(UpstreamError) as caught:
        await provider.send(chat())
    assert caught.value.code == "stream_broken"


@pytest.mark.parametrize(
    "end", [b"data: [DONE]", b"data:[DONE]\n\n", b"data: data: [DONE]\n\n", b"data: [DONE]\r\n\r\n"]
)
async def test_done_may_be_the_last_line_or_written_otherwise(
    fake: FakeOpenAI, provider: OpenAIProvider, end: bytes
) -> None:
    fake.next(raw(chunked(event(HI) + end)))
    assert ends(await read(await stream_of(provider))) == [(0, "stop")]


async def test_each_choice_that_has_none_gets_its_own(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    said = [
        chunk({"role": "assistant", "content": "a"}, index=1),
        chunk({"role": "assistant", "tool_calls": [CALL]}, index=2),
        chunk({"role": "assistant", "content": "b"}, index=0),
        chunk({}, "length", index=1),
    ]
    fake.next(stream(*said, USAGE))
    assert ends(await read(await stream_of(provider, chat(stream=True, n=3)))) == [
        (1, "length"),
        (0, "stop"),
        (2, "tool_calls"),
    ]
    fake.next(whole(b"".join(map(event, said)) + DONE))
    reply = await provider.send(chat(n=3))
    assert isinstance(reply.body, ChatCompletion)
    assert [choice["finish_reason"] for choice in reply.body.value["choices"]] == ["stop", "length", "tool_calls"]


async def test_choices_of_one_event_are_told_apart(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    both = {**HI, "choices": [chunk_choice(0, {"content": "a"}, "stop"), chunk_choice(1, {"content": "b"})]}
    fake.next(stream(both))
    assert ends(await read(await stream_of(provider, chat(stream=True, n=2)))) == [(0, "stop"), (1, "stop")]


async def test_an_end_that_was_told_is_not_told_again(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(stream(HI, chunk({}, "length"), USAGE))
    passed = await read(await stream_of(provider))
    assert ends(passed) == [(0, "length")]
    assert len(passed) == 3


async def test_what_is_made_up_has_the_head_of_the_other_events(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(stream(HI))
    first, last = await read(await stream_of(provider))
    names = ("id", "object", "created", "model")
    assert [last.value[name] for name in names] == [first.value[name] for name in names]


async def test_usage_counts_whether_it_comes_before_the_end_or_not(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(stream(HI, USAGE))
    answer = await stream_of(provider)
    assert ends(await read(answer)) == [(0, "stop")]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 2


async def test_an_error_before_done_is_no_end(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(stream(HI, {"error": {"message": "Oh."}}))
    answer = await stream_of(provider)
    with pytest.raises(UpstreamError):
        await read(answer)


@pytest.mark.parametrize("way", ["held", "raced", "second"])
async def test_it_is_so_behind_policies(fake: FakeOpenAI, provider: OpenAIProvider, way: str) -> None:
    broken = raw(chunked(event(HI)))
    ended = stream(chunk({"role": "assistant", "content": "Yes"}))
    policy: Any = Prebuffer(provider, tokens=9)
    if way == "raced":
        policy = Hedge(provider, second=provider, budget=HedgeBudget(share=1.0))
        for _ in range(20):  # it learns how long an answer takes
            await read((await policy.send(chat(stream=True))).body)
        fake.next(held(asyncio.Event(), broken))
    elif way == "second":
        fake.next(broken)
        policy = Fallback([Candidate(Prebuffer(provider, tokens=9), "first"), Candidate(provider, "second")])
    fake.next(ended)
    reply = await policy.send(chat(stream=True))
    passed = await asyncio.wait_for(read(reply.body), 5)
    assert text_of(passed) == "Yes"
    assert ends(passed) == [(0, "stop")]

"""Usage is read wherever an upstream tells it, and never believed against the text that came."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from xrouter_asgi.context import Usage
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.testing.openai import FakeOpenAI, event, stream, whole
from xrouter_asgi.testing.openai_answers import chunk, completion
from xrouter_asgi.wire import ChatCompletion

from .calls import chat, read, stream_of

COUNTS = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
TOLD: list[dict[str, Any]] = [
    COUNTS,
    {"input_tokens": 12, "output_tokens": 7},
    {"prompt_tokens": 12.0, "completion_tokens": 7.0, "total_tokens": 19.0},
    {"prompt_tokens": "12", "completion_tokens": "7", "total_tokens": "19"},
    {"prompt_tokens": 12, "total_tokens": 19},
    {"completion_tokens": 7, "total_tokens": 19},
    {"prompt_tokens": 12, "completion_tokens": None, "total_tokens": 19},
    {"prompt_tokens": None, "completion_tokens": None, "input_tokens": 12, "output_tokens": 7},
]
TEXT = chunk({"role": "assistant", "content": "Hello, world!"})
END = chunk({}, "stop")


def places(told: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The ends of streams that tell their usage somewhere."""
    in_choice = {**END, "choices": [{**END["choices"][0], "usage": told}]}
    in_word = {**TEXT, "choices": [{**TEXT["choices"][0], "usage": told}]}
    alone = {**END, "choices": [], "usage": told}
    return [
        [END, alone],
        [{**END, "usage": told}],
        [{**END, "usage": told}, {**END, "choices": []}],
        [END, alone, {**END, "choices": [], "usage": None}],
        [in_choice],
        [{**in_choice, "usage": None}],
        [in_word, END],
        [{**END, "x_groq": {"id": "r", "usage": told}}],
        [END, {**END, "choices": [], "x_groq": {"usage": told}}],
    ]


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("place", range(len(places({}))))
async def test_a_stream_tells_its_usage(
    fake: FakeOpenAI, provider: OpenAIProvider, told: dict[str, Any], place: int
) -> None:
    fake.next(stream(TEXT, *places(told)[place]))
    answer = await stream_of(provider)
    chunks = await read(answer)
    assert answer.usage == Usage(12, 7)
    (shown,) = (chunk.value["usage"] for chunk in chunks if chunk.value.get("usage"))
    assert shown == {**told, **COUNTS}
    assert all(json.loads(chunk.data) == chunk.value for chunk in chunks)


@pytest.mark.parametrize("bad", [5, "x", [], True])
async def test_details_that_are_no_object_are_null(fake: FakeOpenAI, provider: OpenAIProvider, bad: Any) -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": bad}
    fake.next(stream(TEXT, {**END, "usage": {**COUNTS, **details}}))
    *_, last = await read(await stream_of(provider))
    assert last.value["usage"] == {**COUNTS, **details, "completion_tokens_details": None}


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("place", ["usage", "choice", "x_groq"])
async def test_a_whole_answer_tells_its_usage(
    fake: FakeOpenAI, provider: OpenAIProvider, told: dict[str, Any], place: str
) -> None:
    value = completion({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    del value["usage"]
    match place:
        case "usage":
            value["usage"] = told
        case "choice":
            value["choices"][0]["usage"] = told
        case _:
            value["x_groq"] = {"usage": told}
    fake.next(whole(value), whole(value))
    reply = await provider.send(chat())
    assert isinstance(reply.body, ChatCompletion)
    assert reply.body.usage == Usage(12, 7)
    assert reply.body.value["usage"] == {**told, **COUNTS}
    assert (reply.body.data == json.dumps(value).encode()) == (place == "usage" and told is COUNTS)
    answer = await stream_of(provider)
    await read(answer)
    assert answer.usage == Usage(12, 7)


ZEROS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize(
    ("text", "told", "believed"),
    [
        ("a", ZEROS, False),
        ("a", {**COUNTS, "completion_tokens": 0}, False),
        ("a", {"prompt_tokens": 5}, False),
        ("a" * 129, {"prompt_tokens": 5, "completion_tokens": 1}, False),
        ("b" * 128, {"prompt_tokens": 5, "completion_tokens": 1}, True),
        ("", ZEROS, True),
        ("a", {"prompt_tokens": -1, "completion_tokens": 5}, False),
        ("a", {"prompt_tokens": 1e300, "completion_tokens": 5}, False),
        ("a", {"prompt_tokens": 1.5, "completion_tokens": 5}, False),
        ("a", {"prompt_tokens": "9" * 5000, "completion_tokens": 5}, False),
        ("a", {"prompt_tokens": [5], "completion_tokens": True}, False),
        ("a", "many", False),
    ],
)
@pytest.mark.parametrize("where", ["content", "reasoning_content", "refusal", "tool_calls"])
async def test_usage_that_contradicts_the_text_is_not_believed(
    fake: FakeOpenAI, provider: OpenAIProvider, text: str, told: Any, believed: bool, where: str
) -> None:
    called = [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": text}}]
    said = {"role": "assistant", "content": None, where: called if where == "tool_calls" else text}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    fake.next(stream(chunk(said), {**END, "usage": told}), whole({"choices": [choice], "usage": told}))
    answer = await stream_of(provider)
    await read(answer)
    # A call says at least `{}`, even with a text that is empty.
    assert (answer.usage is not None) == (believed and not (where == "tool_calls" and not text))
    reply = await provider.send(chat())
    assert isinstance(reply.body, ChatCompletion)
    assert reply.body.usage == answer.usage


@pytest.mark.parametrize("first", [True, False])
async def test_of_several_counts_the_one_that_fits_the_text_is_believed(
    fake: FakeOpenAI, provider: OpenAIProvider, first: bool
) -> None:
    counts = [COUNTS, ZEROS] if first else [ZEROS, COUNTS]
    fake.next(stream(TEXT, END, *({**END, "choices": [], "usage": told} for told in counts)))
    answer = await stream_of(provider)
    await read(answer)
    assert answer.usage == Usage(12, 7)
    fake.next(stream(TEXT, {**END, "usage": counts[0], "x_groq": {"usage": counts[1]}}))
    answer = await stream_of(provider)
    await read(answer)
    assert answer.usage == Usage(12, 7)


async def test_an_early_count_is_not_believed_for_what_came_after_it(
    fake: FakeOpenAI, provider: OpenAIProvider
) -> None:
    early = {"prompt_tokens": 12, "completion_tokens": 1}
    go_on = asyncio.Event()
    rest = event(chunk({"content": "more " * 100})) + event(END)
    fake.next(stream({**TEXT, "usage": early}, hold=go_on, end=rest))
    answer = await stream_of(provider)
    await anext(answer)
    assert answer.usage == Usage(12, 1)
    go_on.set()
    await read(answer)
    assert answer.usage is None

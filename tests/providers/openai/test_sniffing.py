"""The body says what an answer is; its label only helps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xrouter_asgi.errors import UpstreamError, XRouterError
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.providers.openai.sniffing import kind_of
from xrouter_asgi.testing.openai import DONE, FakeOpenAI, chunked, event, identity, raw, stream, whole
from xrouter_asgi.testing.openai_answers import chunk, chunks, completion
from xrouter_asgi.wire import ChatCompletion

from .calls import TOOL, chat, read, stream_of, text_of

LABELS = ["application/json", "application/x-ndjson", "text/plain", "text/event-stream", "text/html", None]
ASKED: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "Hello, my world!"}]},
    {"messages": [{"role": "user", "content": 'call sum {"a": 1}'}], "tools": [TOOL]},
    {"messages": [{"role": "user", "content": "hi you"}], "n": 3},
]


def labelled(label: str | None) -> dict[str, str]:
    return {} if label is None else {"content-type": label}


def asking(number: int, **more: Any) -> dict[str, Any]:
    return {"model": "m", **ASKED[number], **more}


def events_of(request: dict[str, Any]) -> bytes:
    told = chunks({**request, "stream_options": {"include_usage": True}})
    return b"".join(map(event, told)) + DONE


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("number", range(len(ASKED)))
async def test_events_for_a_whole_request_are_one_completion(
    fake: FakeOpenAI, provider: OpenAIProvider, label: str | None, number: int
) -> None:
    request = asking(number)
    fake.next(whole(b": hello\n\n" + events_of(request), headers=labelled(label)))
    reply = await provider.send(chat(**ASKED[number]))
    assert isinstance(reply.body, ChatCompletion)
    assert json.loads(reply.body.data) == completion(request)
    assert len(fake.requests) == 1


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("label", LABELS)
async def test_a_stream_is_a_stream_whatever_it_is_called(
    fake: FakeOpenAI, provider: OpenAIProvider, label: str | None, size: int
) -> None:
    for before in (b"", b"\n\n", b"\xef\xbb\xbf", b": ping\n\n", b"event: message\n"):
        fake.next(raw(chunked(before + events_of(asking(0)), headers=labelled(label)), size=size))
        answer = await stream_of(provider)
        assert text_of(await read(answer)) == "Hello, my world!"
        assert answer.usage is not None


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("after", [b"", b"\n", b"\n\ndata: [DONE]\n\n"])
@pytest.mark.parametrize("before", [b"", b"\n  "])
async def test_a_completion_is_a_completion_whatever_it_is_called(
    fake: FakeOpenAI, provider: OpenAIProvider, label: str | None, size: int, after: bytes, before: bytes
) -> None:
    value = completion(asking(0))
    body = before + json.dumps(value).encode() + after
    fake.next(*[raw(identity(body, headers=labelled(label), length=len(body)), size=size)] * 2)
    reply = await provider.send(chat())
    assert isinstance(reply.body, ChatCompletion)
    assert json.loads(reply.body.data) == value
    answer = await stream_of(provider)
    assert text_of(await read(answer)) == "Hello, my world!"
    assert answer.usage is not None


@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize("finish", [True, False])
async def test_a_completion_may_be_the_one_event(
    fake: FakeOpenAI, provider: OpenAIProvider, number: int, finish: bool
) -> None:
    value = completion(asking(number))
    if not finish:
        value["choices"][0]["finish_reason"] = None
    fake.next(stream(value), stream(value, end=b""))
    reply = await provider.send(chat(**ASKED[number]))
    assert isinstance(reply.body, ChatCompletion)
    assert reply.body.value == completion(asking(number))
    answer = await stream_of(provider)
    passed = await read(answer)
    assert {chunk.value["object"] for chunk in passed} == {"chat.completion.chunk"}
    assert text_of(passed) == ("Hello, my world!" if number == 0 else "")
    assert answer.usage is not None


async def test_a_whole_message_behind_its_pieces_is_not_said_again(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    last = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}]}
    fake.next(stream(chunk({"content": "a"}), chunk({"content": "b"}), last))
    assert text_of(await read(await stream_of(provider))) == "ab"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (event(chunk({"content": "a"})), "stream_broken"),
        (event({"error": {"message": "m", "type": "tokens"}}), "rate_limit_exceeded"),
        (event(chunk({"content": "a"})) + b"data: {\n\n", "bad_event"),
        (event({"choices": []}) + DONE, "empty_answer"),
        (DONE, "empty_answer"),
        (b": ping\n\n", "empty_answer"),
    ],
)
async def test_events_that_are_no_answer_are_none(
    fake: FakeOpenAI, provider: OpenAIProvider, body: bytes, code: str
) -> None:
    fake.next(whole(body))
    with pytest.raises(UpstreamError) as caught:
        await provider.send(chat())
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("body", "said"), [(b"<p>Hi</p>", "a web page"), (b"{", "JSON"), (b"hello", "neither JSON nor events")]
)
async def test_the_log_says_what_came(fake: FakeOpenAI, provider: OpenAIProvider, body: bytes, said: str) -> None:
    fake.next(whole(body))
    with pytest.raises(XRouterError) as caught:
        await provider.send(chat())
    assert said in (caught.value.detail or "")


def test_what_cannot_be_told_yet_is_waited_for() -> None:
    assert [kind_of(start, whole=False) for start in (b"", b" ", b"d", b"\n\ndata", b"eve")] == [None] * 5
    assert [kind_of(start, whole=False) for start in (b" {", b"[", b"data:", b":")] == ["json"] * 2 + ["events"] * 2
    assert [kind_of(b"hello", label=label) for label in ("application/json", "")] == ["json", "events"]
    assert kind_of(b" " * 1000 + b"{", whole=False) == "json"


async def test_a_byte_order_mark_before_an_answer_is_not_passed_on(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    body = json.dumps(completion({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})).encode()
    fake.next(*[whole(b"\xef\xbb\xbf" + body)] * 2)
    reply = await provider.send(chat())
    assert isinstance(reply.body, ChatCompletion)
    assert json.loads(reply.body.data) == json.loads(body)
    assert text_of(await read(await stream_of(provider))) == "Hi"


@pytest.mark.parametrize("coding", ["utf-8", "UTF-8", "none", "identity", ""])
async def test_a_coding_that_is_none_is_no_compression(fake: FakeOpenAI, provider: OpenAIProvider, coding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": coding}
    fake.next(whole(completion({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}), headers=headers))
    assert isinstance((await provider.send(chat())).body, ChatCompletion)

from __future__ import annotations

import json
from typing import Any

import pytest

from xrouter_asgi.errors import UpstreamError
from xrouter_asgi.providers.http import ErrorReader, Redaction
from xrouter_asgi.providers.openai.chunks import ChunkReader
from xrouter_asgi.testing.openai import DONE, event
from xrouter_asgi.testing.openai_answers import chunk
from xrouter_asgi.wire import ChatChunk

HEAD = b'"id":"c","object":"chat.completion.chunk","created":1,"model":"m"'
USAGE = {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}
OPENING = chunk({"role": "assistant", "content": ""})


def reader(*, choices: int = 1, hide_usage: bool = False) -> ChunkReader:
    return ChunkReader(choices=choices, hide_usage=hide_usage, model="m", errors=ErrorReader(Redaction()))


def read_one(value: object, **options: Any) -> ChatChunk:
    """What comes of an event in the middle of an answer."""
    chunks = reader(**options)
    _, passed = [*chunks.feed(event(OPENING) + event(value)), *chunks.close()]
    assert chunks.failure is None
    return passed


def bare(**members: Any) -> dict[str, Any]:
    """An event without a choice."""
    return {**chunk({}), "choices": [], **members}


def payload(value: object) -> bytes:
    return event(value).removeprefix(b"data: ").strip()


def is_mended(value: object, chunk: ChatChunk) -> bool:
    """Whether the bytes are others; if so they are those of the chunk's value."""
    assert json.loads(chunk.data) == chunk.value
    return chunk.data != payload(value)


@pytest.mark.parametrize(
    "value",
    [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "x", "reasoning_content": "y", "tool_calls": None}),
        chunk({"content": None, "tool_calls": []}),
        chunk({}, "stop", usage=None),
        chunk({}, "something else", usage=USAGE),
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        bare(),
        bare(prompt_filter_results=[{"prompt_index": 0}]),
        bare(usage=USAGE, error=None),
        bare(message="x", code=1),
    ],
)
def test_a_good_event_is_passed_on_as_it_came(value: dict[str, Any]) -> None:
    assert not is_mended(value, read_one(value))


@pytest.mark.parametrize("value", [{"usage": {"prompt_tokens": 1}}, {"choices": None, "id": "x"}, {}])
def test_missing_choices_are_none(value: dict[str, Any]) -> None:
    passed = read_one(value)
    assert passed.value["choices"] == []
    assert is_mended(value, passed)


def test_an_empty_finish_reason_is_none() -> None:
    value = chunk({"content": "x"}, "")
    passed = read_one(value)
    assert passed.value["choices"][0]["finish_reason"] is None
    assert is_mended(value, passed)


@pytest.mark.parametrize("index", [1, 7, None, "0"])
def test_an_only_choice_has_index_0(index: Any) -> None:
    value = chunk({"content": "x"}, index=index)
    passed = read_one(value)
    assert passed.value["choices"][0]["index"] == 0
    assert is_mended(value, passed)


@pytest.mark.parametrize("extra", [{}, {"delta": None}])
def test_a_choice_without_a_delta_gets_an_empty_one(extra: dict[str, Any]) -> None:
    value = {"choices": [{"index": 0, "finish_reason": None, "content_filter_results": {}, **extra}]}
    passed = read_one(value)
    assert passed.value["choices"][0]["delta"] == {}
    assert is_mended(value, passed)


@pytest.mark.parametrize(
    "value",
    [
        [],
        None,
        "text",
        1,
        {"choices": {}},
        {"choices": "text"},
        {"choices": [1]},
        {"choices": [None]},
        chunk("text"),
        chunk([]),
        chunk({}, 1),  # type: ignore[arg-type]  # that is the fault
        chunk({}, ["stop"]),  # type: ignore[arg-type]  # that is the fault
        chunk({"tool_calls": {"0": {}}}),
        chunk({"tool_calls": ["text"]}),
        chunk({"tool_calls": [{"function": "text"}]}),
        chunk({"tool_calls": [{"custom": ["text"]}]}),
    ],
)
def test_an_event_of_another_shape_is_bad(value: object) -> None:
    chunks = reader()
    assert chunks.feed(event(chunk({})) + event(value) + event(chunk({}))) != []
    assert isinstance(chunks.failure, UpstreamError)
    assert (chunks.failure.code, chunks.failure.retryable) == ("bad_event", False)


@pytest.mark.parametrize("data", [b"{", b'{"a": NaN}', b'"\xff"', b"[" * 300 + b"]" * 300, b"<html>", b"[DONE"])
def test_an_event_that_is_not_json_is_bad(data: bytes) -> None:
    chunks = reader()
    assert len(chunks.feed(event(chunk({})) + b"data: " + data + b"\n\n")) == 1
    assert isinstance(chunks.failure, UpstreamError)
    assert chunks.failure.code == "bad_event"


@pytest.mark.parametrize("index", [-1, 2, None, "0"])
def test_a_choice_that_was_not_asked_for_is_bad(index: Any) -> None:
    chunks = reader(choices=2)
    chunks.feed(event(chunk({}, index=index)))
    assert isinstance(chunks.failure, UpstreamError)
    assert chunks.failure.code == "bad_event"


def test_choice_0_comes_first() -> None:
    chunks = reader(choices=2)
    first = chunk({"role": "assistant", "content": "b"}, index=1, usage=None)
    second = chunk({"content": "a"}, index=0)
    opening, *rest = chunks.feed(event(first) + event(second))
    assert opening.value["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    ]
    assert {name: opening.value.get(name) for name in ("id", "created", "model")} == {
        name: first[name] for name in ("id", "created", "model")
    }
    assert "usage" not in opening.value
    assert [chunk.data for chunk in rest] == [payload(first), payload(second)]


def test_nothing_is_put_before_choice_0() -> None:
    chunks = reader(choices=2)
    assert len(chunks.feed(event(chunk({}, index=0)) + event(chunk({}, index=1)))) == 2


class TestHidingUsage:
    def test_null_goes_and_the_rest_keeps_its_bytes(self) -> None:
        for text in (
            b'{%b,"choices":[],"usage":null}' % HEAD,
            b'{%b,"choices" : [] , "usage" : null, "x":1.50}' % HEAD,
            b'{"usage":null,"choices":[],%b}' % HEAD,
            b'{"x":", \\"usage\\": null","choices":[],%b,\n"usage":null}' % HEAD,
        ):
            chunks = reader(hide_usage=True)
            chunks.feed(event(OPENING))
            (passed,) = [*chunks.feed(b"data: " + text.replace(b"\n", b"\ndata: ") + b"\n\n"), *chunks.close()]
            assert "usage" not in passed.value
            assert json.loads(passed.data) == passed.value
            assert b"1.50" in passed.data or b"1.50" not in text

    def test_one_of_two_is_found(self) -> None:
        choice = {"index": 0, "delta": {}, "usage": None, "finish_reason": None}
        value = {**chunk({}), "choices": [choice], "usage": None}
        passed = read_one(value, hide_usage=True)
        assert json.loads(passed.data) == {**chunk({}), "choices": [choice]}

    def test_a_mended_event_loses_it_too(self) -> None:
        passed = read_one({"usage": None}, hide_usage=True)
        assert json.loads(passed.data) == passed.value == bare()

    def test_real_usage_stays(self) -> None:
        value = chunk({}, usage=USAGE)
        assert not is_mended(value, read_one(value, hide_usage=True))


def test_done_ends_it() -> None:
    chunks = reader()
    assert len(chunks.feed(event(chunk({}, "stop")) + DONE + event(chunk({})) + b"data: {\n\n")) == 1
    assert chunks.done
    assert chunks.failure is None


def test_an_error_ends_it() -> None:
    chunks = reader()
    chunks.feed(event({"error": {"message": "No.", "code": 400}}) + event(chunk({})))
    assert chunks.failure is not None
    assert (chunks.failure.status, chunks.failure.message) == (400, "No.")


def test_what_the_end_completes_is_read() -> None:
    chunks = reader()
    assert chunks.feed(event(chunk({})).strip()) == []
    assert len(chunks.close()) == 1
    assert chunks.close() == []


def test_what_the_end_cuts_off_is_dropped() -> None:
    chunks = reader()
    chunks.feed(b'data: {"choices": [')
    assert chunks.close() == []
    assert chunks.failure is None

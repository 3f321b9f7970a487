from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from xrouter_asgi.dialects.messages.writer import MessagesWriter
from xrouter_asgi.errors import UpstreamError, UpstreamQuotaExceeded
from xrouter_asgi.testing.scripted import USAGE, chunk, usage_chunk
from xrouter_asgi.wire import ChatChunk
from xrouter_asgi.wire.documents import TextMember

from .reading import events_of, message_of


def writer() -> MessagesWriter:
    return MessagesWriter("m", prompt_tokens=lambda: 7)


def written(*chunks: ChatChunk) -> bytes:
    """The whole stream for these chunks."""
    one = writer()
    return one.begin() + one.feed(chunks) + one.end()


def delta(finish: str | None = None, **members: Any) -> ChatChunk:
    choice = {"index": 0, "delta": members, "finish_reason": finish}
    return ChatChunk({"object": "chat.completion.chunk", "choices": [choice]})


def call(index: int = 0, *, id: str | None = None, name: str | None = None, arguments: str = "") -> ChatChunk:
    """A fragment of a call."""
    function = {"arguments": arguments, **({} if name is None else {"name": name})}
    fragment = {"index": index, "function": function, **({} if id is None else {"id": id, "type": "function"})}
    return delta(tool_calls=[fragment])


def spliced(text: str, member: TextMember = "content") -> ChatChunk:
    """A chunk that nobody has decoded, and nobody can decode."""
    return ChatChunk(None, b"never read", text=text, member=member)


def kinds(stream: bytes) -> list[str]:
    return [event["type"] for event in events_of(stream)]


def content(*chunks: ChatChunk) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = message_of(written(*chunks))["content"]
    return blocks


def test_a_text_is_one_block_between_the_ends_of_a_message() -> None:
    stream = written(chunk("he"), spliced("llo"), delta("stop"), usage_chunk())
    assert kinds(stream) == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert message_of(stream) == {
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 2,
        },
    }


def test_the_beginning_tells_an_estimate_of_the_input() -> None:
    [start] = events_of(writer().begin())
    assert start["message"]["usage"] == {
        "input_tokens": 7,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 0,
    }


def test_usage_that_nobody_told_is_estimated() -> None:
    usage = message_of(written(chunk("x" * 40), delta("stop")))["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (7, 11)


def test_tokens_of_a_cache_are_told_apart() -> None:
    details = {"cached_tokens": 1, "cache_write_tokens": 1}
    usage = {**USAGE, "prompt_tokens_details": details}
    assert message_of(written(chunk("a", finish="stop", usage=usage)))["usage"] == {
        "input_tokens": 1,
        "cache_creation_input_tokens": 1,
        "cache_read_input_tokens": 1,
        "output_tokens": 2,
    }


@pytest.mark.parametrize("member", ["reasoning_content", "reasoning"])
def test_thinking_is_a_block_that_ends_with_its_signature(member: str) -> None:
    stream = written(delta(**{member: "Hm"}), spliced(".", "reasoning_content"), spliced("Yes."), delta("stop"))
    assert message_of(stream)["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "xr1"},
        {"type": "text", "text": "Yes."},
    ]
    kinds_of_deltas = [event["delta"]["type"] for event in events_of(stream) if "delta" in event and "index" in event]
    assert kinds_of_deltas == ["thinking_delta", "thinking_delta", "signature_delta", "text_delta"]


def test_thinking_may_come_again() -> None:
    blocks = content(spliced("a", "reasoning_content"), spliced("b"), spliced("c", "reasoning_content"), delta("stop"))
    assert [block["type"] for block in blocks] == ["thinking", "text", "thinking"]


def test_the_first_call_streams_while_it_comes() -> None:
    one = writer()
    one.begin()
    assert kinds(one.feed([spliced("Look.")])) == ["content_block_start", "content_block_delta"]
    assert kinds(one.feed([call(id="c1", name="look")])) == ["content_block_stop", "content_block_start"]
    assert kinds(one.feed([call(arguments='{"at":')])) == ["content_block_delta"]
    assert kinds(one.feed([call(arguments="1}")])) == ["content_block_delta"]
    assert kinds(one.end()) == ["content_block_stop", "message_delta", "message_stop"]


def test_fragments_of_parallel_calls_may_come_in_turns() -> None:
    stream = written(
        call(0, id="c1", name="look"),
        call(1, id="c2", name="hear", arguments='{"b'),
        call(0, arguments='{"a":1}'),
        call(1, arguments='":2}'),
        delta("tool_calls"),
    )
    message = message_of(stream)
    assert message["content"] == [
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"a": 1}},
        {"type": "tool_use", "id": "c2", "name": "hear", "input": {"b": 2}},
    ]
    assert message["stop_reason"] == "tool_use"


def test_text_after_a_call_follows_it() -> None:
    chunks = [
        call(id="c1", name="look"),
        spliced("So"),
        call(arguments='{"a":1}'),
        chunk(" there"),
        spliced("Hm.", "reasoning_content"),
        delta("tool_calls"),
    ]
    assert content(*chunks) == [
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"a": 1}},
        {"type": "text", "text": "So there"},
        {"type": "thinking", "thinking": "Hm.", "signature": "xr1"},
    ]


def test_a_call_begins_once_its_name_is_known() -> None:
    chunks = [call(id="c1", arguments='{"a"'), call(name="look"), call(arguments=":1}"), delta("tool_calls")]
    assert content(*chunks) == [{"type": "tool_use", "id": "c1", "name": "look", "input": {"a": 1}}]


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("", {}),
        (" \n", {}),
        (" {} ", {}),
        ("[1]", {"value": [1]}),
        ('"text"', {"value": "text"}),
        ("no json", {"value": "no json"}),
        ("\ud800", {"value": "\ud800"}),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_the_input_of_a_call_is_always_an_object(arguments: str, value: object, place: int) -> None:
    before = [call(9, id="c9", name="before")] * place
    blocks = content(*before, call(id="c1", name="look", arguments=arguments), delta("tool_calls"))
    assert blocks[place]["input"] == value


def test_a_call_without_an_id_gets_one() -> None:
    [block] = content(call(name="look"), delta("tool_calls"))
    assert block["id"].startswith("toolu_")


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("content_filter", "refusal"),
        ("something_new", "end_turn"),
    ],
)
def test_why_an_answer_ended_is_told_in_anthropic_s_words(finish: str, reason: str) -> None:
    assert message_of(written(chunk("a", finish=finish)))["stop_reason"] == reason


def test_an_answer_with_calls_stopped_to_use_tools_whatever_the_upstream_says() -> None:
    assert message_of(written(call(id="c1", name="look"), delta("stop")))["stop_reason"] == "tool_use"


@pytest.mark.parametrize("refusal", [delta(refusal="No."), spliced("No.", "refusal")])
def test_a_refusal_is_a_text_of_its_own_and_the_reason(refusal: ChatChunk) -> None:
    message = message_of(written(spliced("Well. "), refusal, delta("stop")))
    assert message["content"] == [{"type": "text", "text": "Well. "}, {"type": "text", "text": "No."}]
    assert message["stop_reason"] == "refusal"


def test_an_answer_that_says_nothing_has_no_block() -> None:
    assert content(chunk(""), spliced(""), delta("stop")) == []


def test_other_choices_and_chunks_without_any_say_nothing() -> None:
    other = ChatChunk({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "length"}]})
    message = message_of(written(other, ChatChunk({"choices": []}), chunk("a", finish="stop")))
    assert message["content"] == [{"type": "text", "text": "a"}]
    assert message["stop_reason"] == "end_turn"


def test_half_a_surrogate_pair_does_not_break_the_stream() -> None:
    assert content(chunk("\ud800"), chunk("a"), delta("stop")) == [{"type": "text", "text": "\ud800a"}]


@pytest.mark.parametrize("before", [[], [chunk("a"), call(id="c1", name="look")]])
def test_an_error_is_the_last_event(before: Sequence[ChatChunk]) -> None:
    one = writer()
    if before:
        one.begin()
        one.feed(before)
    assert events_of(one.fail(UpstreamError("The upstream broke."), "req_1")) == [
        {"type": "error", "error": {"type": "api_error", "message": "The upstream broke."}, "request_id": "req_1"}
    ]
    [event] = events_of(one.fail(UpstreamQuotaExceeded("No money."), "req_1"))
    assert event["error"]["type"] == "billing_error"


def test_silence_is_a_ping() -> None:
    assert events_of(MessagesWriter.keep_alive) == [{"type": "ping"}]

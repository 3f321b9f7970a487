"""Events of a streamed message, as chunks of chat."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrouter_asgi.errors import UpstreamError, UpstreamOverloaded
from xrouter_asgi.providers.anthropic.answer import chunks_of, completion
from xrouter_asgi.providers.anthropic.events import MessageEvents
from xrouter_asgi.providers.anthropic.names import Aliases
from xrouter_asgi.providers.anthropic.stream import MessageDecoder
from xrouter_asgi.providers.http import ErrorReader, Redaction
from xrouter_asgi.testing.anthropic.answers import events, message, sse
from xrouter_asgi.testing.anthropic.faults import error
from xrouter_asgi.testing.anthropic.rules import sign
from xrouter_asgi.wire import ChatChunk

ERRORS = ErrorReader(Redaction())
START = {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 3, "output_tokens": 1}}}
STOP = {"type": "message_stop"}


def reader(*names: str) -> MessageEvents:
    return MessageEvents(model="alias", errors=ERRORS, names=Aliases(names))


def begun(block: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int = 0, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": members}


def stopped(index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ended(reason: str | None, **usage: int) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


def text_block(*texts: str) -> list[dict[str, Any]]:
    pieces = [delta(type="text_delta", text=text) for text in texts]
    return [begun({"type": "text", "text": ""}), *pieces, stopped()]


def fed(*said: dict[str, Any], read: MessageEvents | None = None) -> list[ChatChunk]:
    read = read or reader()
    return [chunk for event in said for chunk in read.feed(json.dumps(event).encode())]


def deltas(chunks: Iterable[ChatChunk]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks for choice in chunk.value["choices"]]


def finishes(chunks: Iterable[ChatChunk]) -> list[str]:
    choices = [choice for chunk in chunks for choice in chunk.value["choices"]]
    return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


def test_text_is_spliced_and_told_if_it_needs_no_escape() -> None:
    chunks = fed(START, *text_block("Да", 'say "x"', "", "\ud83d"), ended("end_turn", output_tokens=9), STOP)
    assert deltas(chunks)[1:4] == [{"content": "Да"}, {"content": 'say "x"'}, {"content": "\ud83d"}]
    assert [chunk.text for chunk in chunks[1:4]] == ["Да", None, None]
    assert all(json.loads(chunk.data) == chunk.value for chunk in chunks)
    assert {chunk.value["id"] for chunk in chunks} == {"chatcmpl-1"}
    assert {chunk.value["model"] for chunk in chunks} == {"alias"}
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (3, 9)


def test_nothing_is_told_before_a_block_begins() -> None:
    assert fed(START, {"type": "ping"}, {"type": "what_is_new"}) == []
    assert deltas(fed(START, begun({"type": "text", "text": "A"}))) == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "A"},
    ]


def test_calls_have_numbers_of_their_own_and_arguments_in_any_case() -> None:
    named = Aliases(["a.b"])
    alias = named.to_upstream("a.b")
    use = {"type": "tool_use", "id": "toolu_1", "name": alias, "input": {}}
    chunks = fed(
        START,
        *text_block("I look."),
        begun(use, 1),
        delta(1, type="input_json_delta", partial_json=""),
        delta(1, type="input_json_delta", partial_json='{"x"'),
        delta(1, type="input_json_delta", partial_json=":1}"),
        stopped(1),
        begun({**use, "id": "toolu_2"}, 2),
        stopped(2),
        begun({**use, "id": "toolu_3", "input": {"y": 2}}, 3),
        stopped(3),
        ended("tool_use"),
        STOP,
        read=reader("a.b"),
    )
    fragments = [each for told in deltas(chunks) for each in told.get("tool_calls", ())]
    assert [each["id"] for each in fragments if "id" in each] == ["toolu_1", "toolu_2", "toolu_3"]
    assert {each["function"]["name"] for each in fragments if "id" in each} == {"a.b"}
    arguments = ["", "", ""]
    for each in fragments:
        arguments[each["index"]] += each["function"]["arguments"]
    assert arguments == ['{"x":1}', "{}", '{"y":2}']
    assert finishes(chunks) == ["tool_calls"]


def test_a_call_alone_has_no_content() -> None:
    (role, _) = deltas(fed(START, begun({"type": "tool_use", "id": "t", "name": "f", "input": {}})))
    assert role["content"] is None


def test_thinking_is_told_as_it_comes_and_signed_at_its_end() -> None:
    chunks = fed(
        START,
        begun({"type": "thinking", "thinking": "", "signature": ""}),
        delta(type="thinking_delta", thinking="Let "),
        delta(type="thinking_delta", thinking="me."),
        delta(type="signature_delta", signature="s"),
        stopped(),
        begun({"type": "redacted_thinking", "data": "x"}, 1),
        stopped(1),
    )
    assert deltas(chunks)[1:] == [
        {"reasoning_content": "Let "},
        {"reasoning_content": "me."},
        {"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "Let me.", "signature": "s"}]},
        {"thinking_blocks": [{"index": 1, "type": "redacted_thinking", "data": "x"}]},
    ]


def test_blocks_that_chat_has_no_word_for_do_not_show() -> None:
    block = begun({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})
    more = [delta(type="input_json_delta", partial_json="{}"), delta(type="citations_delta", citation={}), stopped()]
    assert len(fed(START, block, *more, stopped(7))) == 1


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("what_is_new", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
def test_every_reason_to_stop_has_a_finish(reason: str, finish: str) -> None:
    chunks = fed(START, *text_block("A"), ended(None), ended(reason), ended(reason), STOP)
    assert finishes(chunks) == [finish]
    whole = {"content": [{"type": "text", "text": "A"}], "stop_reason": reason}
    done = completion(whole, model="m", names=Aliases(), errors=ERRORS)
    assert done.value["choices"][0]["finish_reason"] == finish


def test_the_end_is_an_end_though_it_does_not_say_why() -> None:
    read = reader()
    chunks = fed(STOP, read=read)
    assert (finishes(chunks), read.finished, read.done) == (["stop"], True, True)
    assert chunks[0].value["id"].startswith("chatcmpl-")


def test_the_last_count_holds_and_without_any_there_is_no_usage() -> None:
    usage = {
        "input_tokens": 3,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60},
        "output_tokens": 1,
    }
    start = {"type": "message_start", "message": {"id": "msg_1", "usage": usage}}
    told = fed(start, ended("end_turn", output_tokens=7, input_tokens=4))[-1].value["usage"]
    assert told == {
        "prompt_tokens": 124,
        "completion_tokens": 7,
        "total_tokens": 131,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 100, "cache_write_1h_tokens": 60},
    }
    silent = {"type": "message_start", "message": {}}
    assert all("usage" not in chunk.value for chunk in fed(silent, *text_block("A"), ended("end_turn"), STOP))


def test_an_error_event_is_an_error() -> None:
    for said in (error("overloaded_error", "Overloaded"), {"error": {"type": "overloaded_error", "message": "Oh"}}):
        with pytest.raises(UpstreamOverloaded):
            fed(START, *text_block("A"), said)


@pytest.mark.parametrize(
    "event",
    [
        [],
        delta(5, type="text_delta", text="x"),
        {"type": "content_block_delta", "index": 0},
        {"type": "content_block_start", "index": 0, "content_block": 1},
        begun({"type": "tool_use", "id": 1}),
        begun({"type": "text", "text": 1}),
        {"type": "message_start"},
        {"type": "message_delta"},
    ],
)
def test_an_event_of_another_shape_is_the_upstreams_fault(event: Any) -> None:
    with pytest.raises(UpstreamError) as caught:
        fed(START, event)
    assert caught.value.code == "bad_event"


def test_arguments_that_are_no_text_are_the_upstreams_fault() -> None:
    with pytest.raises(UpstreamError):
        fed(
            START,
            begun({"type": "tool_use", "id": "t", "name": "f", "input": {}}),
            delta(type="input_json_delta", partial_json=1),
        )


SAID: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "Hm, hm.", "signature": sign("Hm, hm.")},
    {"type": "redacted_thinking", "data": "x"},
    {"type": "text", "text": "Да, 'I' look.\n"},
    {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": ["sky", 1]}},
    {"type": "tool_use", "id": "toolu_2", "name": "hear", "input": {}},
]


def joined(chunks: Iterable[ChatChunk]) -> dict[str, Any]:
    """The answer that a client makes of a stream."""
    message: dict[str, Any] = {}
    value: dict[str, Any] = {}
    for chunk in chunks:
        value |= {"usage": chunk.value["usage"]} if "usage" in chunk.value else {}
        for choice in chunk.value["choices"]:
            value["finish_reason"] = choice["finish_reason"]
            for name, part in choice["delta"].items():
                if name == "tool_calls":
                    for each in part:
                        calls = message.setdefault(name, {})
                        call = calls.setdefault(each["index"], ["", "", ""])
                        call[0] += each.get("id", "")
                        call[1] += each["function"].get("name", "")
                        call[2] += each["function"]["arguments"]
                elif name == "thinking_blocks":
                    message.setdefault(name, []).extend(part)
                elif isinstance(part, str) and name != "role":
                    message[name] = message.get(name, "") + part
    for call in message.get("tool_calls", {}).values():
        call[2] = json.loads(call[2])
    return {**value, **message, "content": message.get("content") or ""}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(SAID), max_size=5), st.integers(1, 80))
def test_a_stream_says_what_a_whole_answer_says_in_any_pieces(content: list[dict[str, Any]], size: int) -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    whole = {**message(request), "content": content}
    data = b"".join(map(sse, events(whole)))
    decoder = MessageDecoder(reader())
    chunks = [chunk for at in range(0, len(data), size) for chunk in decoder.feed(data[at : at + size])]
    chunks += decoder.close()
    assert (decoder.failure, decoder.done, decoder.finished) == (None, True, True)
    answer = completion(json.loads(json.dumps(whole)), model="m", names=Aliases(), errors=ERRORS)
    assert joined(chunks) == joined(chunks_of(answer))


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
def test_a_stream_that_breaks_never_looks_whole(cut: int) -> None:
    data = [*map(sse, [START, *text_block("A", "B"), ended("end_turn", output_tokens=2), STOP])]
    decoder = MessageDecoder(reader())
    piece = b"".join(data[:cut]) + data[cut][:-9]
    chunks = decoder.feed(piece) + decoder.close()
    assert (finishes(chunks), decoder.finished) == ([], False)


def test_what_follows_the_end_is_not_read_and_a_failure_stays() -> None:
    decoder = MessageDecoder(reader())
    assert decoder.silent
    assert decoder.feed(sse(START) + sse(STOP) + b"data: {\n\n")
    assert (decoder.failure, decoder.silent) == (None, False)
    broken = MessageDecoder(reader())
    assert broken.feed(b"data: {\n\n") == []
    assert broken.failure is not None
    large = MessageDecoder(reader())
    assert large.feed(b"x" * (33 << 20)) == []
    assert large.failure is not None
    assert large.failure.code == "too_large"

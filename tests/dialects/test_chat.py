from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.context import CostEstimate
from xrouter_asgi.dialects.chat import CHAT, ChatWriter, ParsedChat
from xrouter_asgi.errors import UpstreamRateLimited
from xrouter_asgi.testing.scripted import USAGE, chat, chunk, completion, usage_chunk
from xrouter_asgi.wire import ChatChunk
from xrouter_asgi.wire.sse import EventReader, encode_event

from .contract import DialectContract

ANSWER = [chunk("a"), ChatChunk(None, b'{"choices":[]}', text="b"), chunk("c", usage=USAGE), chunk(finish="stop")]


def parsed(**members: Any) -> ParsedChat:
    value = chat(**members)
    return ParsedChat.read(value, json.dumps(value).encode(), ())


def written(*batches: Sequence[ChatChunk], include_usage: bool = False) -> list[Any]:
    """The payloads of the event stream for these batches: JSON, or the text `[DONE]`."""
    writer = ChatWriter(include_usage=include_usage)
    return payloads(b"".join([writer.feed(batch) for batch in batches]) + writer.end())


def payloads(stream: bytes) -> list[Any]:
    return [event.decode() if event == b"[DONE]" else json.loads(event) for event in EventReader().feed(stream)]


class TestChat(DialectContract):
    dialect = CHAT
    answer = completion()


def test_the_provider_gets_the_bytes_of_the_client() -> None:
    body = b'{ "messages":[{"role":"user","content":"hi"}], "model":"m" }'
    assert ParsedChat.read(json.loads(body), body, ()).document.data is body


def test_the_client_gets_the_bytes_of_the_provider() -> None:
    assert parsed().whole(completion("ответ")) == completion("ответ").data


@pytest.mark.parametrize(
    ("members", "bound", "choices"),
    [
        ({}, None, 1),
        ({"max_tokens": 7}, 7, 1),
        ({"max_completion_tokens": 9, "max_tokens": 7}, 9, 1),
        ({"max_completion_tokens": 1, "max_tokens": 8000}, 8000, 1),
        ({"max_tokens": 7, "n": 3}, 21, 3),
        ({"n": 3}, None, 3),
    ],
)
def test_the_client_bounds_the_output_of_all_choices(members: dict[str, int], bound: int | None, choices: int) -> None:
    request = parsed(**members)
    assert request.estimate() == CostEstimate("scripted", len(request.document.data) // 2, bound, choices)


# Streams


def test_a_chunk_is_an_event_of_its_own_bytes() -> None:
    untouched = ChatChunk(None, b'{ "choices" : [] }', text="b")
    writer = ChatWriter(include_usage=True)
    assert writer.feed([untouched, chunk("a")]) == encode_event(untouched.data) + encode_event(chunk("a").data)


def test_a_stream_ends_with_done() -> None:
    assert written([chunk("a", finish="stop")])[-1] == "[DONE]"


def test_the_usage_chunk_is_held_back_unless_asked_for() -> None:
    writer = ChatWriter(include_usage=False)
    assert writer.feed([usage_chunk()]) == b""
    assert written([chunk("a", finish="stop")], [usage_chunk()]) == [chunk("a", finish="stop").value, "[DONE]"]


def test_the_usage_chunk_comes_last_when_asked_for() -> None:
    events = written([usage_chunk(), chunk("a")], [chunk(finish="stop")], include_usage=True)
    assert events == [chunk("a").value, chunk(finish="stop").value, usage_chunk().value, "[DONE]"]


def test_usage_beside_a_choice_is_moved_into_a_chunk_of_its_own() -> None:
    with_usage = chunk("a", finish="stop", usage=USAGE)
    events = written([with_usage], include_usage=True)
    assert events == [{**with_usage.value, "usage": None}, {**with_usage.value, "choices": []}, "[DONE]"]


def test_usage_beside_a_choice_is_not_shown_to_who_did_not_ask() -> None:
    assert written([chunk("a", finish="stop", usage=USAGE)]) == [chunk("a", finish="stop").value, "[DONE]"]


def test_of_several_usages_the_last_is_shown_once() -> None:
    early = chunk("a", usage={**USAGE, "completion_tokens": 1})
    events = written([early], [chunk(finish="stop")], [usage_chunk(), usage_chunk()], include_usage=True)
    assert [event["usage"] for event in events[:-1] if event.get("usage")] == [USAGE]


def test_a_usage_chunk_without_choices_gets_the_empty_list_that_clients_need() -> None:
    bare = ChatChunk({"id": "1", "object": "chat.completion.chunk", "usage": USAGE})
    events = written([chunk("a", finish="stop")], [bare], include_usage=True)
    assert events[1] == {**bare.value, "choices": []}


def test_a_usage_that_never_came_is_not_invented() -> None:
    last = chunk("a", finish="stop", usage=None)
    assert written([last], include_usage=True) == [last.value, "[DONE]"]


def test_a_chunk_without_choices_or_usage_is_passed_on() -> None:
    """Some upstreams say there what a filter found in the prompt."""
    filtered = ChatChunk({"id": "1", "choices": [], "prompt_filter_results": []})
    assert written([filtered], [chunk("a", finish="stop")])[0] == filtered.value


def test_a_lone_surrogate_in_a_chunk_does_not_break_the_stream() -> None:
    odd = ChatChunk({"choices": [{"index": 0, "delta": {"content": "\ud800"}, "finish_reason": "stop"}]})
    assert written([odd])[0] == odd.value


@pytest.mark.parametrize("before", [[], [chunk("a"), usage_chunk()]])
def test_an_error_is_one_event_without_done(before: list[ChatChunk]) -> None:
    writer = ChatWriter(include_usage=True)
    writer.feed(before)
    assert payloads(writer.fail(UpstreamRateLimited("Slow down."), "req_1")) == [
        {"error": {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
    ]


def test_to_keep_a_stream_alive_is_no_event() -> None:
    assert ChatWriter.keep_alive.endswith(b"\n\n")
    assert payloads(ChatWriter.keep_alive) == []


@given(cuts=st.lists(st.integers(0, len(ANSWER))), include_usage=st.booleans())
def test_how_an_answer_is_cut_into_batches_changes_no_byte(cuts: list[int], include_usage: bool) -> None:
    whole, cut = ChatWriter(include_usage=include_usage), ChatWriter(include_usage=include_usage)
    places = [0, *sorted(cuts), len(ANSWER)]
    batches = [ANSWER[start:end] for start, end in pairwise(places)]
    assert b"".join(cut.feed(batch) for batch in batches) + cut.end() == whole.feed(ANSWER) + whole.end()

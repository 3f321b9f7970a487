"""The rows of the table for streams; and a stream says what a whole answer says."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.errors import RequestRejected, UpstreamError, UpstreamRateLimited, XRouterError

from ..translating import (
    STATE,
    STATE_ID,
    answered,
    chat,
    completed,
    deltas,
    event,
    finish_of,
    joined,
    opened,
    said,
    streamed,
    tool,
    translated,
)

ROLE = {"role": "assistant", "content": "", "refusal": None}
CALL = {"name": "f", "arguments": {"a": 1}}
USAGE = {"prompt_tokens": 17, "completion_tokens": 3, "total_tokens": 20, "precached_prompt_tokens": 2}


def chunks_of(*events: Any, **members: Any) -> list[dict[str, Any]]:
    return streamed(translated(chat(said("user"), stream=True, **members)), events)


def with_usage(*events: Any, **members: Any) -> list[dict[str, Any]]:
    return chunks_of(*events, stream_options={"include_usage": True}, **members)


def test_the_role_comes_first_and_the_finish_alone_and_last() -> None:
    chunks = chunks_of(event("He", role="assistant"), event("y"), event("", finish="stop"))
    assert deltas(chunks) == [ROLE, {"content": "He"}, {"content": "y"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]


def test_every_chunk_has_the_same_head() -> None:
    later = {**event("y", finish="stop"), "created": 5, "model": "GigaChat:9"}
    heads = [
        {key: value for key, value in chunk.items() if key != "choices"} for chunk in chunks_of(event("He"), later)
    ]
    assert heads[0] == {
        "id": "chatcmpl-r1",
        "object": "chat.completion.chunk",
        "created": 1768996176,
        "model": "GigaChat-2",
        "system_fingerprint": heads[0]["system_fingerprint"],
    }
    assert all(head == heads[0] for head in heads)


def test_usage_comes_last_if_it_is_asked_for() -> None:
    chunks = with_usage(event("Hey"), event("", finish="stop", usage=USAGE))
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None, None, None]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 22


def test_usage_that_nobody_asked_for_comes_alone_so_that_the_router_can_count_and_drop_it() -> None:
    *chunks, last = chunks_of(event("Hey", finish="stop", usage=USAGE))
    assert all("usage" not in chunk for chunk in chunks)
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 22)


def test_usage_on_every_event_is_told_once_as_the_last_says() -> None:
    more = {**USAGE, "completion_tokens": 9}
    chunks = with_usage(event("He", usage=USAGE), event("y", usage=more), event("", finish="stop"))
    assert [chunk["usage"] for chunk in chunks if chunk["usage"]] == [chunks[-1]["usage"]]
    assert chunks[-1]["usage"]["completion_tokens"] == 9


@pytest.mark.parametrize("last", [{"choices": [], "usage": USAGE}, {"usage": USAGE}, {"choices": None, "usage": USAGE}])
def test_usage_may_come_after_the_finish(last: Any) -> None:
    assert with_usage(event("Hey", finish="stop"), last)[-1]["usage"]["prompt_tokens"] == 19


def test_usage_that_never_came_is_not_made_up() -> None:
    assert with_usage(event("Hey", finish="stop"))[-1]["usage"] is None


def test_a_call_comes_as_its_name_and_then_its_arguments() -> None:
    chunks = chunks_of(
        event("", role="assistant", function_call=CALL, functions_state_id=STATE),
        event("", finish="function_call"),
        tools=[tool("f")],
    )
    named = {"index": 0, "id": STATE_ID, "type": "function", "function": {"name": "f", "arguments": ""}}
    assert deltas(chunks) == [
        {**ROLE, "content": None},
        {"tool_calls": [named]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]},
        {},
    ]
    assert finish_of(chunks) == "tool_calls"


def test_a_state_may_come_after_its_call() -> None:
    chunks = chunks_of(event(function_call=CALL), event("", finish="stop", functions_state_id=STATE), tools=[tool("f")])
    assert deltas(chunks)[1]["tool_calls"][0]["id"] == STATE_ID
    assert finish_of(chunks) == "tool_calls"


@pytest.mark.parametrize(
    ("pieces", "arguments"),
    [
        ([CALL, CALL], '{"a":1}'),
        ([{"name": "f", "arguments": {"a": 1}}, {"arguments": {"b": 2}}], '{"a":1,"b":2}'),
        ([{"name": "f", "arguments": {"a": 1}}, {"name": "f", "arguments": None}], '{"a":1}'),
        ([{"name": "f", "arguments": '{"a":'}, {"name": "f", "arguments": "1}"}], '{"a":1}'),
        ([{"name": "f", "arguments": '{"a":1}'}, {"name": "f", "arguments": '{"a":2}'}], '{"a":2}'),
        ([{"name": "f"}, {"name": "f", "arguments": {"a": 1}}], '{"a":1}'),
        ([{"name": "f"}], "{}"),
    ],
)
def test_a_call_in_pieces_is_told_once(pieces: list[Any], arguments: str) -> None:
    events = [event(function_call=piece) for piece in pieces]
    calls = [
        delta["tool_calls"][0]
        for delta in deltas(chunks_of(*events, event("", finish="function_call"), tools=[tool("f")]))
        if "tool_calls" in delta
    ]
    assert len(calls) == 2
    assert calls[1]["function"]["arguments"] == arguments


def test_a_client_of_functions_gets_a_function_call() -> None:
    chunks = chunks_of(event("So.", function_call=CALL, finish="function_call"), functions=[{"name": "f"}])
    assert deltas(chunks) == [
        ROLE,
        {"content": "So."},
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": '{"a":1}'}},
        {},
    ]
    assert finish_of(chunks) == "function_call"


def test_progress_of_a_builtin_makes_no_chunk() -> None:
    translation = opened(translated(chat(stream=True)), request_id="r")
    assert translation.feed(event("15 s", role="function_in_progress", name="text2image")) == []
    assert [chunk.value["choices"][0]["delta"] for chunk in translation.feed(event("Done."))] == [
        ROLE,
        {"content": "Done."},
    ]


def test_reasoning_comes_as_it_is_known() -> None:
    chunks = chunks_of(
        event(reasoning_content="a"), event("<think>b"), event("c</think>Yes."), event("", finish="stop")
    )
    assert deltas(chunks)[1:] == [
        {"reasoning_content": "a"},
        {"reasoning_content": "b"},
        {"reasoning_content": "c"},
        {"content": "Yes."},
        {},
    ]


def test_reasoning_that_is_cut_off_is_still_told() -> None:
    chunks = chunks_of(event("<think>b</th"), event("", finish="length"))
    assert (joined(chunks, "reasoning_content"), joined(chunks), finish_of(chunks)) == ("b</th", "", "length")


def test_a_stop_sequence_finishes_the_answer_at_once() -> None:
    stream = opened(translated(chat(stream=True, stop=["END"])), request_id="r")
    stream.feed(event("one E"))
    assert not stream.stopped
    chunks = stream.feed(event("ND two"))
    assert stream.stopped
    assert [chunk.value["choices"][0]["finish_reason"] for chunk in chunks] == ["stop"]
    assert stream.feed(event("three")) == []
    assert stream.close() == []


def test_after_a_stop_sequence_only_usage_is_read() -> None:
    events = [event("oneEND"), event("two"), {"status": 500, "message": "Odd"}, event("", finish="stop", usage=USAGE)]
    chunks = with_usage(*events, stop="END")
    assert (joined(chunks), finish_of(chunks), chunks[-1]["usage"]["total_tokens"]) == ("one", "stop", 22)


def test_a_call_after_a_stop_sequence_was_not_made() -> None:
    chunks = chunks_of(event("oneEND", function_call=CALL, finish="function_call"), stop="END", tools=[tool("f")])
    assert deltas(chunks) == [ROLE, {"content": "one"}, {}]


@pytest.mark.parametrize("empty", [{"choices": []}, {"choices": [{"index": 0}]}, {"choices": [{"delta": None}]}, {}])
def test_an_event_that_says_nothing_makes_no_chunk(empty: Any) -> None:
    assert opened(translated(chat(stream=True)), request_id="r").feed(empty) == []


def test_a_whole_answer_as_an_event_is_translated() -> None:
    assert joined(chunks_of(answered("Hey"))) == "Hey"


def test_what_comes_after_the_finish_is_dropped() -> None:
    chunks = chunks_of(event("Hey", finish="stop"), event("more"), event("", finish="length"))
    assert (joined(chunks), finish_of(chunks)) == ("Hey", "stop")


def test_a_stream_that_merely_stops_is_broken() -> None:
    stream = opened(translated(chat(stream=True)), request_id="r")
    stream.feed(event("Hey"))
    with pytest.raises(UpstreamError) as broken:
        stream.close()
    assert broken.value.code == "stream_broken"


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"status_code": 500, "message": "Odd"}, UpstreamError, 502),
        ({"status": 429, "message": "Too many requests"}, UpstreamRateLimited, 429),
        ({"code": 422, "message": "Invalid params: x"}, RequestRejected, 400),
        ({"error": {"status": 500, "message": "Odd"}}, UpstreamError, 502),
        ({"error": "Odd", "choices": []}, UpstreamError, 502),
        ({"code": 7, "message": "Odd"}, UpstreamError, 502),
    ],
)
def test_an_error_in_the_stream_is_raised(error: Any, kind: type[Exception], status: int) -> None:
    stream = opened(translated(chat(stream=True)), request_id="r")
    stream.feed(event("He"))
    with pytest.raises(kind, match="GigaChat: ") as failed:
        stream.feed(error)
    assert getattr(failed.value, "status", None) == status


@pytest.mark.parametrize(
    "broken", [{"choices": 1}, {"choices": [1]}, {"choices": {"a": 1}}, {"choices": [{"delta": 1}]}]
)
def test_an_event_of_another_shape_is_bad(broken: Any) -> None:
    with pytest.raises(UpstreamError) as failed:
        opened(translated(chat(stream=True)), request_id="r").feed(broken)
    assert failed.value.code == "bad_event"


def test_a_failed_call_before_any_text_is_raised_before_any_chunk() -> None:
    with pytest.raises(UpstreamError, match="failed to call a function"):
        opened(translated(chat(stream=True)), request_id="r").feed(event("", finish="error"))


def test_a_failed_call_after_text_ends_the_text() -> None:
    assert finish_of(chunks_of(event("Sorry."), event("", finish="error"))) == "stop"


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "</", "STOP", "ST", "OP", "a", " ", "\n", "ж"]), max_size=9),
    st.sampled_from([None, "STOP", ["STOP", "a"], ["OP", "STOP"]]),
)
def test_a_stream_says_what_the_whole_answer_says(pieces: list[str], stop: Any) -> None:
    translation = translated(chat(stream=True, stop=stop))
    chunks = streamed(translation, [*(event(piece) for piece in pieces), event("", finish="stop")])
    whole = completed(translation, answered("".join(pieces)), request_id="r").value["choices"][0]
    assert joined(chunks) == whole["message"]["content"]
    assert joined(chunks, "reasoning_content") == whole["message"].get("reasoning_content", "")
    assert finish_of(chunks) == whole["finish_reason"]


scalars = (
    st.none() | st.booleans() | st.integers(-1, 600) | st.sampled_from(["", "stop", "error", "f", "assistant", "{"])
)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["delta", "message", "content", "role", "function_call", "name", "arguments"]),
            inner,
            max_size=3,
        )
        | st.fixed_dictionaries({"delta": inner, "message": inner, "finish_reason": inner})
    ),
    max_leaves=8,
)
answers = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("choices", "usage", "created", "model", "error", "status", "message"), documents)
) | st.builds(lambda choice: {"choices": [choice]}, documents)


@given(st.lists(answers, max_size=3), answers)
def test_whatever_gigachat_sends_is_an_answer_or_an_error_of_the_family(events: list[Any], answer: Any) -> None:
    translation = translated(chat(stream=True, tools=[tool("f", {"properties": {"n": {"type": "integer"}}})]))
    for read in (lambda: streamed(translation, events), lambda: completed(translation, answer, request_id="r").data):
        with contextlib.suppress(XRouterError):
            read()

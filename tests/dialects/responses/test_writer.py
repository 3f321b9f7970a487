"""The events of a streamed response, and the items that they tell of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xrouter_asgi.dialects.responses.answer import MAX_ANSWER
from xrouter_asgi.errors import CircuitOpen, InvalidRequest, UpstreamError, UpstreamRateLimited
from xrouter_asgi.testing.scripted import USAGE, usage_chunk
from xrouter_asgi.wire import ChatChunk

from .translated import answered, call, completed, delta, events, read, streamed


def spliced(text: str, member: Any = "content") -> ChatChunk:
    """A chunk of which nothing was decoded but its text; nobody may look at the rest."""
    return ChatChunk(None, b"not JSON", text=text, member=member)


def kinds(told: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in told]


TEXT = ["output_item.added", "content_part.added", "output_text.delta", "output_text.delta", "output_text.done"]


def test_a_text_is_told_in_openai_s_order() -> None:
    told = streamed([delta(role="assistant", content=""), delta(content="a"), delta(content="b")], [delta("stop")])
    item = ["content_part.done", "output_item.done"]
    assert kinds(told) == ["created", "in_progress", *TEXT, *item, "completed"]
    assert [event["sequence_number"] for event in told] == list(range(10))
    assert [event["delta"] for event in told[4:6]] == ["a", "b"]
    final = told[-1]["response"]
    assert final["output"] == [told[-2]["item"]]
    assert final["output"][0]["content"] == [{"type": "output_text", "text": "ab", "annotations": [], "logprobs": []}]
    assert (final["status"], final["error"], final["usage"]) == ("completed", None, None)
    assert final["completed_at"] >= final["created_at"]


def test_a_text_that_was_not_decoded_is_spliced_into_its_event() -> None:
    decoded = streamed([delta(content="a"), delta(content="при"), delta("stop")])
    spliced_ = streamed([delta(content="a"), spliced("при"), delta("stop")])
    assert without_ids(spliced_) == without_ids(decoded)


def without_ids(told: list[dict[str, Any]]) -> Any:
    text = json.dumps(told)
    stem = told[0]["response"]["id"].removeprefix("resp_")
    return json.loads(text.replace(stem, "…").replace(str(told[0]["response"]["created_at"]), "0"))


def test_thoughts_come_before_the_text_in_an_item_of_their_own() -> None:
    told = streamed(
        [delta(reasoning_content="t"), spliced("h", "reasoning_content"), delta(content="a"), delta("stop")]
    )
    assert kinds(told)[2:9] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    thought, said = told[-1]["response"]["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "th"}]
    assert thought["encrypted_content"] is None
    assert said["content"][0]["text"] == "a"


def test_a_refusal_is_a_message_of_its_own() -> None:
    told = streamed([delta(content="a"), delta(refusal="no"), spliced("!", "refusal"), delta("stop")])
    assert kinds(told)[8:13] == [
        "output_item.added",
        "content_part.added",
        "refusal.delta",
        "refusal.delta",
        "refusal.done",
    ]
    assert told[-1]["response"]["output"][1]["content"] == [{"type": "refusal", "refusal": "no!"}]


def test_parallel_calls_stay_open_until_the_end() -> None:
    told = streamed(
        [
            delta(content="a", tool_calls=[call(0, id="c0", name="f")]),
            delta(tool_calls=[call(1, id="c1", name="g", arguments="{")]),
            delta(tool_calls=[call(0, '{"a"'), call(1, "}")]),
            delta(tool_calls=[call(0, ":1}")]),
            delta("tool_calls"),
        ]
    )
    assert [event["output_index"] for event in told if event["type"].endswith("arguments.delta")] == [2, 1, 2, 1]
    done = [event for event in told if event["type"].endswith("arguments.done")]
    assert [(event["name"], event["arguments"]) for event in done] == [("f", '{"a":1}'), ("g", "{}")]
    assert [item["type"] for item in told[-1]["response"]["output"]] == ["message", "function_call", "function_call"]
    assert [item["call_id"] for item in told[-1]["response"]["output"][1:]] == ["c0", "c1"]


def test_a_call_begins_with_the_fragment_that_names_it() -> None:
    fragments = [call(id="c", arguments='{"a":'), call(name="f"), call(arguments="1}")]
    told = streamed([*(delta(tool_calls=[fragment]) for fragment in fragments), delta("tool_calls")])
    assert [event["delta"] for event in told if event["type"].endswith(".delta")] == ['{"a":', "1}"]
    [item] = told[-1]["response"]["output"]
    assert (item["name"], item["arguments"]) == ("f", '{"a":1}')


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_is_incomplete(finish: str, reason: str) -> None:
    told = streamed([delta(content="a", tool_calls=[call(id="c", name="f", arguments="{")]), delta(finish)])
    assert told[-1]["type"] == "response.incomplete"
    final = told[-1]["response"]
    assert (final["status"], final["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert [item["status"] for item in final["output"]] == ["completed", "incomplete"]
    assert final["output"][1]["arguments"] == "{"


def test_an_answer_that_says_nothing_is_an_empty_message() -> None:
    final = streamed([delta("stop")])[-1]["response"]
    assert final["output"][0]["content"][0]["text"] == ""
    assert final["output"] == [{**answered({})["output"][0], "id": final["output"][0]["id"]}]


def test_the_usage_has_every_detail() -> None:
    told = {
        **USAGE,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert streamed([delta("stop")], [ChatChunk({"choices": [], "usage": told})])[-1]["response"]["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 5,
    }
    assert streamed([delta("stop")], [usage_chunk()])[-1]["response"]["usage"]["total_tokens"] == 5
    assert answered({"content": "a"}, usage=USAGE)["usage"]["output_tokens"] == 2


def test_a_count_that_is_too_small_is_told_as_it_came_in_streams_and_whole_answers_alike() -> None:
    long, told = "x" * 300, {**USAGE, "completion_tokens": 1}
    whole = answered({"content": long}, usage=told)["usage"]
    assert whole["output_tokens"] == 1
    chunks = [delta(content=long), delta("stop"), ChatChunk({"choices": [], "usage": told})]
    assert streamed(chunks)[-1]["response"]["usage"] == whole


def test_probabilities_are_told_where_they_are_asked_for() -> None:
    entry = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
    chunk = delta(content="a")
    chunk.value["choices"][0]["logprobs"] = {"content": [entry]}
    told = streamed([chunk, spliced_with(chunk), delta("stop")], top_logprobs=1)
    deltas = [event["logprobs"] for event in told if event["type"].endswith("text.delta")]
    assert deltas == [[entry], [entry]]
    assert told[-1]["response"]["output"][0]["content"][0]["logprobs"] == [entry, entry]


def spliced_with(chunk: ChatChunk) -> ChatChunk:
    return ChatChunk(None, chunk.data, text="a")


def test_citations_are_flat() -> None:
    cited = {"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "A"}}
    message = answered({"content": "a", "annotations": [cited]})["output"][0]
    assert message["content"][0]["annotations"] == [{"type": "url_citation", "url": "https://a.example", "title": "A"}]


def test_the_request_is_echoed() -> None:
    asked: dict[str, Any] = {
        "instructions": "i",
        "tools": [{"type": "web_search"}],
        "temperature": 0.5,
        "reasoning": {"effort": "low"},
        "metadata": {"a": "b"},
        "user": None,
    }
    response = answered({"content": "a"}, request=asked)
    assert {name: response[name] for name in asked} == {**asked, "reasoning": {"effort": "low", "summary": None}}
    assert (response["model"], response["tool_choice"], response["top_p"]) == ("m", "auto", 1.0)
    assert response["id"].startswith("resp_")
    assert len(response["id"]) == 53


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UpstreamRateLimited("Slow down."), "rate_limit_exceeded"),
        (InvalidRequest("Too long.", code="context_length_exceeded"), "context_length_exceeded"),
        (UpstreamError("No.", code="insufficient_quota"), "insufficient_quota"),
        (CircuitOpen("No."), "server_error"),
    ],
)
def test_a_failure_is_told_with_what_was_said(error: Any, code: str) -> None:
    parsed = read(stream=True)
    writer = parsed.writer()
    assert writer is not None
    told = events(writer.begin() + writer.feed([delta(content="a")]) + writer.fail(error, "req_1"))
    assert kinds(told)[-1] == "failed"
    failed = told[-1]["response"]
    assert (failed["status"], failed["error"]) == ("failed", {"code": code, "message": error.message})
    assert failed["output"][0]["status"] == "incomplete"
    assert failed["output"][0]["content"][0]["text"] == "a"
    assert parsed.conversation.kept == ()


def test_a_failure_before_the_first_event_tells_of_the_response_that_failed() -> None:
    writer = read(stream=True).writer()
    assert writer is not None
    told = events(writer.fail(CircuitOpen("No."), "req_1"))
    assert kinds(told) == ["created", "failed"]
    assert told[0]["response"]["id"] == told[1]["response"]["id"]


def test_an_answer_without_end_is_the_upstream_s_fault() -> None:
    writer = read(stream=True).writer()
    assert writer is not None
    writer.feed([delta(content="x" * MAX_ANSWER)])
    with pytest.raises(UpstreamError) as caught:
        writer.feed([spliced("x")])
    assert caught.value.code == "too_large"


def test_an_answer_without_a_choice_is_the_upstream_s_fault() -> None:
    with pytest.raises(UpstreamError) as caught:
        read().whole(type(completed({}))({"choices": []}))
    assert caught.value.code == "empty_answer"


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_are_sealed_where_the_client_wants_it_and_come_back(stream: bool) -> None:
    include = {"include": ["reasoning.encrypted_content"]}
    if stream:
        response = streamed([delta(reasoning_content="let me think"), delta(content="a"), delta("stop")], **include)[
            -1
        ]["response"]
    else:
        response = answered({"reasoning": "let me think", "content": "a"}, request=include)
    sealed = response["output"][0]["encrypted_content"]
    assert sealed.startswith("xr1.")
    played = read(input=[{"role": "user", "content": "hi"}, *response["output"]]).document.value["messages"]
    assert played[1] == {"role": "assistant", "content": "a", "reasoning_content": "let me think"}


def test_content_in_parts_is_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "odd"}, {"type": "text", "text": "b"}]
    assert answered({"content": parts})["output"][0]["content"][0]["text"] == "ab"

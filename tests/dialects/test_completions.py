from __future__ import annotations

import json
from typing import Any

import pytest

from xrouter_asgi.context import CostEstimate
from xrouter_asgi.dialects.completions import COMPLETIONS, CompletionWriter, ParsedCompletion
from xrouter_asgi.errors import InvalidRequest, UnsupportedOperation, UpstreamRateLimited
from xrouter_asgi.testing.scripted import USAGE, chunk, completion, usage_chunk
from xrouter_asgi.wire import ChatChunk, ChatCompletion
from xrouter_asgi.wire.sse import EventReader

from .contract import DialectContract


def parsed(**members: Any) -> ParsedCompletion:
    value = {"model": "m", "prompt": "Once", **members}
    return ParsedCompletion.read(value, json.dumps(value).encode(), ())


def written(*chunks: ChatChunk, include_usage: bool = False) -> list[Any]:
    writer = CompletionWriter(include_usage=include_usage)
    stream = writer.begin() + b"".join(writer.feed([each]) for each in chunks) + writer.end()
    return [event.decode() if event == b"[DONE]" else json.loads(event) for event in EventReader().feed(stream)]


class TestCompletions(DialectContract):
    dialect = COMPLETIONS
    answer = completion()


def test_the_prompt_is_what_the_user_says() -> None:
    value = parsed(temperature=0, stop=["."], seed=1).document.value
    assert value["messages"] == [{"role": "user", "content": "Once"}]
    assert (value["temperature"], value["stop"], value["seed"]) == (0, ["."], 1)
    assert "prompt" not in value


@pytest.mark.parametrize(("members", "bound"), [({}, 16), ({"max_tokens": 5}, 5), ({"max_tokens": None}, 16)])
def test_the_output_is_bound_by_16_tokens_unless_the_client_says_otherwise(members: dict[str, Any], bound: int) -> None:
    assert parsed(**members).document.value["max_tokens"] == bound


def test_the_estimate_counts_every_choice_of_every_prompt() -> None:
    asked = parsed(prompt=["a", "b"], n=3, max_tokens=10)
    assert asked.estimate() == CostEstimate("m", len(asked.original.document.data) // 2, 60, 6)
    assert asked.request.n == 6


def test_the_estimate_counts_answers_that_are_made_and_not_returned() -> None:
    assert parsed(best_of=5, n=2, max_tokens=10).estimate().completion_tokens == 50


def test_more_choices_than_a_chat_may_have_are_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed(prompt=["a"] * 50, n=3)
    assert (caught.value.param, caught.value.code) == ("n", "integer_above_max_value")


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"suffix": None},
        {"suffix": ""},
        {"echo": False},
        {"best_of": 1},
        {"logprobs": None},
        {"prompt": ["one"]},
        {"n": 2},
    ],
)
def test_what_chat_can_say_is_translated(members: dict[str, Any]) -> None:
    assert parsed(**members).original.untranslatable is None


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"suffix": "end"}, "suffix"),
        ({"echo": True}, "echo"),
        ({"best_of": 2}, "best_of"),
        ({"logprobs": 0}, "logprobs"),
        ({"prompt": ["one", "two"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1], [2]]}, "prompt"),
    ],
)
def test_what_chat_cannot_say_names_the_parameter(members: dict[str, Any], param: str) -> None:
    error = parsed(**members).original.untranslatable
    assert isinstance(error, UnsupportedOperation)
    assert (error.param, error.falls_back) == (param, True)
    assert "/v1/chat/completions" in error.message


@pytest.mark.parametrize(
    ("members", "param"),
    [({"prompt": 1}, "prompt"), ({"prompt": []}, "prompt"), ({"prompt": ["a", 1]}, "prompt[1]"), ({"n": 0}, "n")],
)
def test_a_wrong_member_is_named_as_the_client_wrote_it(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed(**members)
    assert caught.value.param == param


def test_a_whole_answer_holds_texts() -> None:
    answer = json.loads(parsed().whole(completion("there was")))
    assert answer["object"] == "text_completion"
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"], choice["logprobs"]) == ("there was", "stop", None)
    assert "message" not in choice


def test_other_members_of_a_choice_are_kept() -> None:
    choice = {"index": 0, "message": {"content": "a"}, "logprobs": {"tokens": ["a"]}, "finish_reason": "stop", "x": 1}
    answer = ChatCompletion({"id": "1", "created": 1, "model": "m", "choices": [choice]})
    (told,) = json.loads(parsed().whole(answer))["choices"]
    assert told == {"index": 0, "text": "a", "logprobs": {"tokens": ["a"]}, "finish_reason": "stop", "x": 1}


def test_a_stream_tells_texts_and_ends_and_nothing_else() -> None:
    thought = ChatChunk(None, b"{}", text="hm", member="reasoning_content")
    passed_on = ChatChunk(None, b"{}", text="there")
    role = ChatChunk(chunk("").replace(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}]).value)
    *events, done = written(role, thought, chunk("Once "), passed_on, chunk(finish="stop"), usage_chunk())
    assert done == "[DONE]"
    assert {event["object"] for event in events} == {"text_completion"}
    assert [(event["choices"][0]["text"], event["choices"][0]["finish_reason"]) for event in events] == [
        ("Once ", None),
        ("there", None),
        ("", "stop"),
    ]
    assert len({(event["id"], event["created"], event["model"]) for event in events}) == 1


def test_the_usage_comes_once_and_only_if_it_was_asked_for() -> None:
    chunks = (chunk("a", usage=USAGE), chunk(finish="stop"), usage_chunk())
    *events, last, done = written(*chunks, include_usage=True)
    assert (last["choices"], last["usage"], done) == ([], USAGE, "[DONE]")
    assert not any("usage" in event for event in events)
    assert not any("usage" in event for event in written(*chunks)[:-1])


def test_a_failure_is_an_event_without_done() -> None:
    event = CompletionWriter(include_usage=False).fail(UpstreamRateLimited("Slow down."), "req_1")
    assert event.startswith(b'data: {"error":{"message":"Slow down."')
    assert b"[DONE]" not in event

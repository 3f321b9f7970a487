"""The rows of the table for whole answers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from xrouter_asgi.errors import UpstreamError, UpstreamRateLimited, XRouterError

from .translating import STATE, STATE_ID, answered, called, chat, result, said, tool, translated


def choice(answer: Any, **members: Any) -> dict[str, Any]:
    completion = translated(chat(said("user"), **members)).complete(answer, request_id="r-1")
    (found,) = completion.value["choices"]
    return dict(found)


def message(answer: Any, **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = choice(answer, **members)["message"]
    return found


def test_the_head_says_what_openai_says() -> None:
    value = translated(chat()).complete(answered(), request_id="8da54264-2463").value
    assert value["id"] == "chatcmpl-8da542642463"
    assert value["object"] == "chat.completion"
    assert value["created"] == 1768996171
    assert value["model"] == "GigaChat-2"
    assert re.fullmatch("fp_[0-9a-f]{10}", value["system_fingerprint"])


def test_the_fingerprint_is_that_of_the_build() -> None:
    def fingerprint(build: str) -> Any:
        answer = {**answered(), "model": build}
        return translated(chat()).complete(answer, request_id="r").value["system_fingerprint"]

    assert fingerprint("GigaChat:1") == fingerprint("GigaChat:1") != fingerprint("GigaChat:2")


def test_a_missing_head_is_filled() -> None:
    answer = {"choices": answered()["choices"]}
    value = translated(chat()).complete(answer, request_id="r").value
    assert isinstance(value["created"], int)
    assert "system_fingerprint" not in value
    assert "usage" not in value


def test_text_is_passed_on() -> None:
    assert choice(answered("Да.")) == {
        "index": 0,
        "message": {"role": "assistant", "content": "Да.", "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }


@pytest.mark.parametrize("content", [None, ""])
def test_no_text_is_an_empty_text(content: str | None) -> None:
    assert message(answered(content))["content"] == ""


def test_moderation_keeps_its_text() -> None:
    found = choice(answered("Не люблю менять тему.", finish="blacklist"))
    assert (found["message"]["content"], found["finish_reason"]) == ("Не люблю менять тему.", "content_filter")


def test_a_call_is_one_tool_call_and_empty_text_is_null() -> None:
    call = {"name": "get_x", "arguments": {"город": "Москва", "n": "5"}}
    parameters = {"type": "object", "properties": {"n": {"type": "integer"}}}
    answer = answered("", finish="function_call", function_call=call, functions_state_id=STATE)
    found = choice(answer, tools=[tool("get-x", parameters)])
    assert found["finish_reason"] == "tool_calls"
    assert found["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {
                "id": STATE_ID,
                "type": "function",
                "function": {"name": "get-x", "arguments": '{"город":"Москва","n":5}'},
            }
        ],
    }


def test_text_beside_a_call_is_kept() -> None:
    answer = answered("Смотрю.", finish="function_call", function_call={"name": "f", "arguments": {}})
    assert message(answer, tools=[tool()])["content"] == "Смотрю."


def test_a_state_that_returns_does_not_repeat_the_id() -> None:
    request = chat(said("user"), called((STATE_ID, "f", "{}")), result(STATE_ID), tools=[tool("f")])
    answer = answered("", finish="function_call", function_call={"name": "f"}, functions_state_id=STATE)
    found = translated(request).complete(answer, request_id="r").value["choices"][0]["message"]["tool_calls"][0]
    assert re.fullmatch("call_[0-9a-f]{24}", found["id"])


@pytest.mark.parametrize(("arguments", "text"), [(None, "{}"), ('{"a": 1}', '{"a":1}'), ('{"a":', '{"a":')])
def test_arguments_are_text_whatever_they_were(arguments: Any, text: str) -> None:
    answer = answered("", finish="function_call", function_call={"name": "f", "arguments": arguments})
    assert message(answer, tools=[tool()])["tool_calls"][0]["function"]["arguments"] == text


def test_a_client_of_functions_gets_a_function_call() -> None:
    answer = answered("", finish="function_call", function_call={"name": "f", "arguments": {"a": 1}})
    found = choice(answer, functions=[{"name": "f"}])
    assert found["finish_reason"] == "function_call"
    assert found["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert "tool_calls" not in found["message"]


def test_reasoning_has_a_field_of_its_own() -> None:
    found = message(answered("<think>b</think>\nYes.", reasoning_content="a "))
    assert found == {"role": "assistant", "content": "Yes.", "refusal": None, "reasoning_content": "a b"}


def test_text_ends_before_a_stop_sequence() -> None:
    found = choice(answered("one END two", finish="length"), stop=["END"])
    assert (found["message"]["content"], found["finish_reason"]) == ("one ", "stop")


def test_a_call_after_a_stop_sequence_was_not_made() -> None:
    answer = answered("one END", finish="function_call", function_call={"name": "f", "arguments": {}})
    found = choice(answer, stop="END", tools=[tool()])
    assert (found["finish_reason"], "tool_calls" in found["message"]) == ("stop", False)


def test_a_stop_sequence_does_not_end_reasoning() -> None:
    found = message(answered("<think>END</think>Yes."), stop="END")
    assert (found["content"], found["reasoning_content"]) == ("Yes.", "END")


def test_progress_of_a_builtin_is_no_answer() -> None:
    answer = answered("Done.")
    progress = {"message": {"role": "function_in_progress", "content": "15 s"}, "index": 0}
    answer["choices"].insert(0, progress)
    assert message(answer)["content"] == "Done."


def test_a_failed_call_with_text_is_the_text() -> None:
    found = choice(answered("Sorry.", finish="error", function_call={"name": "f", "arguments": "{"}), tools=[tool()])
    assert (found["message"]["content"], found["finish_reason"]) == ("Sorry.", "stop")


def test_a_failed_call_without_text_is_an_upstream_error() -> None:
    with pytest.raises(UpstreamError) as failed:
        choice(answered("", finish="error"))
    assert (failed.value.status, failed.value.code) == (502, "upstream_error")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({}, "empty_answer"),
        ({"choices": []}, "empty_answer"),
        ({"choices": None, "usage": {}}, "empty_answer"),
        ({"choices": {"a": 1}}, "empty_answer"),
        ({"choices": [{"message": {"role": "function_in_progress"}}]}, "empty_answer"),
        ({"choices": [1]}, "bad_body"),
        ({"choices": [{"message": "x"}]}, "bad_body"),
        ({"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}, "bad_body"),
    ],
)
def test_what_is_no_answer_is_an_upstream_error(answer: Any, code: str) -> None:
    with pytest.raises(UpstreamError) as failed:
        choice(answer)
    assert (failed.value.status, failed.value.code) == (502, code)


def test_an_error_with_status_200_is_that_error() -> None:
    with pytest.raises(UpstreamRateLimited):
        choice({"status": 429, "message": "Too many requests"})
    with pytest.raises(XRouterError, match="GigaChat: Odd"):
        choice({"error": {"code": 500, "message": "Odd"}})


def test_a_guessed_end_is_told_beside_the_requests_warnings() -> None:
    translation = translated(chat(seed=1))
    assert translation.warnings_with(answered()) == ("seed_ignored",)
    assert translation.warnings_with(answered(finish="surprise")) == ("seed_ignored", "finish_reason_unknown")

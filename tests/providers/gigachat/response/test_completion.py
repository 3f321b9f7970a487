"""The rows of the table for whole answers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from xrouter_asgi.errors import UpstreamError, UpstreamRateLimited, XRouterError
from xrouter_asgi.providers.gigachat.response.completion import (
    answer_warning,
    finish_reason,
    gross_usage,
    is_usable,
)

from ..translating import STATE, STATE_ID, answered, called, chat, completed, result, said, tool, translated


def choice(answer: Any, **members: Any) -> dict[str, Any]:
    completion = completed(translated(chat(said("user"), **members)), answer, request_id="r-1")
    (found,) = completion.value["choices"]
    return dict(found)


def message(answer: Any, **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = choice(answer, **members)["message"]
    return found


def test_the_head_says_what_openai_says() -> None:
    value = completed(translated(chat()), answered(), request_id="8da54264-2463").value
    assert value["id"] == "chatcmpl-8da542642463"
    assert value["object"] == "chat.completion"
    assert value["created"] == 1768996171
    assert value["model"] == "GigaChat-2"
    assert re.fullmatch("fp_[0-9a-f]{10}", value["system_fingerprint"])


def test_the_fingerprint_is_that_of_the_build() -> None:
    def fingerprint(build: str) -> Any:
        answer = {**answered(), "model": build}
        return completed(translated(chat()), answer, request_id="r").value["system_fingerprint"]

    assert fingerprint("GigaChat:1") == fingerprint("GigaChat:1") != fingerprint("GigaChat:2")


def test_a_missing_head_is_filled() -> None:
    answer = {"choices": answered()["choices"]}
    value = completed(translated(chat()), answer, request_id="r").value
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
    found = completed(translated(request), answer, request_id="r").value["choices"][0]["message"]["tool_calls"][0]
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
    assert translation.warnings == ("seed_ignored",)
    assert answer_warning(answered(finish="surprise"), translation.asked) == ("finish_reason_unknown",)


@pytest.mark.parametrize(
    ("said", "called", "reason"),
    [
        ("stop", False, "stop"),
        ("stop", True, "tool_calls"),
        ("function_call", True, "tool_calls"),
        ("function_call", False, "stop"),
        ("length", False, "length"),
        ("length", True, "length"),
        ("blacklist", False, "content_filter"),
        ("request_blacklist", False, "content_filter"),
        ("response_blacklist", False, "content_filter"),
        ("request_filter", False, "content_filter"),
        ("error", True, "tool_calls"),
        ("error", False, "stop"),
        ("function_call_error", False, "stop"),
        ("request_whitelist", False, "stop"),
        ("surprise", False, "stop"),
        ("surprise", True, "tool_calls"),
        ({"no": "word"}, False, "stop"),
        (None, False, "stop"),
        (None, True, "tool_calls"),
    ],
)
def test_reasons_are_said_in_openais_words(said: object, called: bool, reason: str) -> None:
    assert finish_reason(said, called=called, has_text=True) == reason


def test_the_deprecated_word_is_used_for_functions() -> None:
    assert finish_reason("function_call", called=True, has_text=False, as_function=True) == "function_call"


@pytest.mark.parametrize("said", ["error", "function_call_error", "function_call"])
def test_a_failed_call_without_text_is_an_error(said: str) -> None:
    with pytest.raises(UpstreamError, match="failed to call a function"):
        finish_reason(said, called=False, has_text=False)


def test_an_empty_answer_that_stopped_is_an_answer() -> None:
    assert finish_reason("stop", called=False, has_text=False) == "stop"


@pytest.mark.parametrize(
    ("said", "call", "words"),
    [
        ("stop", None, ()),
        ("blacklist", None, ()),
        ("error", {"name": "f", "arguments": {}}, ()),
        ("error", None, ("finish_reason_error",)),
        ("surprise", None, ("finish_reason_unknown",)),
        ([], None, ("finish_reason_unknown",)),
        (None, None, ("finish_reason_unknown",)),
    ],
)
def test_a_reason_that_was_guessed_is_told(said: Any, call: object, words: tuple[str, ...]) -> None:
    asked = translated(chat()).asked
    assert answer_warning(answered(finish=said, function_call=call), asked) == words


@pytest.mark.parametrize(
    ("call", "said", "usable"),
    [
        ({"name": "f", "arguments": {}}, "function_call", True),
        ({"name": "f", "arguments": '{"a":'}, "length", True),
        ({"name": "f"}, "stop", True),
        ({"name": "f", "arguments": {}}, "error", True),
        ({"name": "f", "arguments": '{"a":'}, "error", False),
        ({"name": "", "arguments": {}}, "function_call", False),
        ({"name": 5}, "function_call", False),
        ({}, "function_call", False),
        (None, "function_call", False),
    ],
)
def test_a_call_needs_a_name_and_must_not_have_failed(call: object, said: str, usable: bool) -> None:
    assert is_usable(call, said) is usable


def gross(prompt: int, completion: int, cached: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (
            {"prompt_tokens": 17, "completion_tokens": 3, "total_tokens": 20, "precached_prompt_tokens": 2},
            gross(19, 3, 2),
        ),
        ({"prompt_tokens": 138, "completion_tokens": 21, "total_tokens": 159, "system_tokens": 0}, gross(138, 21, 0)),
        ({"prompt_tokens": 0}, gross(0, 0, 0)),
        ({"prompt_tokens": 5, "completion_tokens": None, "precached_prompt_tokens": "2"}, gross(5, 0, 0)),
    ],
)
def test_cached_tokens_are_added_to_the_prompt_and_the_total(net: Any, expected: Any) -> None:
    assert gross_usage(net) == expected


@pytest.mark.parametrize(
    "usage", [None, [], {}, {"prompt_tokens": None}, {"prompt_tokens": True}, {"prompt_tokens": -1}]
)
def test_what_was_not_counted_is_not_made_up(usage: Any) -> None:
    assert gross_usage(usage) is None

"""The rows of the table for messages, each in the form GigaChat takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..translating import STATE, STATE_ID, called, chat, messages, refusal, result, said, translated

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}
TEXT = {"type": "text", "text": "Look"}


def test_leading_system_and_developer_messages_become_one() -> None:
    request = chat(said("system", "One."), said("developer", "Two."), said("user"))
    assert messages(request) == [said("system", "One.\n\nTwo."), said("user")]


def test_a_late_system_message_joins_the_first() -> None:
    request = chat(said("system", "One."), said("user"), said("developer", "Two."), said("user", "Ho"))
    assert messages(request) == [said("system", "One.\n\nTwo."), said("user"), said("user", "Ho")]


def test_a_late_system_message_may_become_the_users() -> None:
    request = chat(said("system", "One."), said("user"), said("system", "Two."))
    assert messages(request, late_system="user") == [
        said("system", "One."),
        said("user"),
        said("user", "[system] Two."),
    ]


def test_a_leading_system_message_stays_one_even_if_late_ones_become_the_users() -> None:
    request = chat(said("system", "One."), said("system", "Two."), said("user"))
    assert messages(request, late_system="user") == [said("system", "One.\n\nTwo."), said("user")]


def test_system_parts_are_joined() -> None:
    request = chat(said("system", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), said("user"))
    assert messages(request)[0] == said("system", "a\nb")


def test_text_parts_are_joined_by_line_ends() -> None:
    assert messages(chat(said("user", [TEXT, {"type": "text", "text": "here"}]))) == [said("user", "Look\nhere")]


def test_an_empty_user_message_becomes_a_space() -> None:
    assert messages(chat(said("user", ""))) == [said("user", " ")]


def test_names_of_users_are_left_out() -> None:
    assert messages(chat(said("user", "Hi", name="ann"))) == [said("user", "Hi")]


def test_an_attachment_goes_with_its_text() -> None:
    assert messages(chat(said("user", [TEXT, PICTURE]))) == [said("user", "Look", attachments=["file-0"])]


def test_each_attachment_has_a_message_and_the_text_is_in_the_last() -> None:
    assert messages(chat(said("user", [PICTURE, TEXT, PICTURE, PICTURE]))) == [
        said("user", "See the attachment.", attachments=["file-0"]),
        said("user", "See the attachment.", attachments=["file-1"]),
        said("user", "Look", attachments=["file-2"]),
    ]


def test_an_attachment_without_text_gets_the_chosen_one() -> None:
    request = chat(said("user", [PICTURE]))
    assert messages(request, attachment_text="Вот.") == [said("user", "Вот.", attachments=["file-0"])]


def test_an_upload_of_the_client_is_named_by_its_own_id() -> None:
    request = chat(said("user", [{"type": "file", "file": {"file_id": STATE.upper()}}]))
    assert messages(request)[0]["attachments"] == [STATE]


def test_an_assistants_text_and_parts_are_passed_on() -> None:
    request = chat(
        said("user"),
        said("assistant", "a"),
        said("assistant", [{"type": "text", "text": "b"}, {"type": "refusal", "refusal": "c"}]),
        said("user"),
    )
    assert messages(request)[1:3] == [said("assistant", "a"), said("assistant", "b\nc")]


@pytest.mark.parametrize("content", [None, "", []])
def test_an_assistant_who_said_nothing_said_an_empty_text(content: Any) -> None:
    request = chat(said("user"), said("assistant", content), said("user"))
    assert messages(request)[1] == said("assistant", "")


def test_an_assistants_refusal_is_its_text() -> None:
    request = chat(said("user"), said("assistant", None, refusal="I cannot."), said("user"))
    assert messages(request)[1] == said("assistant", "I cannot.")


def test_reasoning_and_other_members_of_an_assistant_message_are_dropped() -> None:
    past = said("assistant", "a", reasoning_content="hm", annotations=[], audio=None, refusal=None)
    assert messages(chat(said("user"), past, said("user")))[1] == said("assistant", "a")


@pytest.mark.parametrize(("option", "content"), [("empty", {"content": ""}), ("null", {"content": None}), ("omit", {})])
def test_the_content_of_a_bare_call_is_a_choice(option: str, content: dict[str, Any]) -> None:
    request = chat(said("user"), called(("1", "f", "{}")), result("1"))
    call = {"role": "assistant", **content, "function_call": {"name": "f", "arguments": {}}}
    assert messages(request, empty_content=option)[1] == call


def test_the_text_beside_a_call_is_kept_whatever_the_choice() -> None:
    request = chat(said("user"), called(("1", "f", "{}"), text="So."), result("1"))
    assert messages(request, empty_content="omit")[1]["content"] == "So."


@pytest.mark.parametrize(
    ("arguments", "sent", "warned"),
    [
        ('{"a":1}', {"a": 1}, False),
        ("", {}, False),
        ("null", {}, False),
        ("[1]", {"value": [1]}, True),
        ("5", {"value": 5}, True),
        ('{"a":', {"value": '{"a":'}, True),
        ('{"a":NaN}', {"value": '{"a":NaN}'}, True),
    ],
)
def test_arguments_become_an_object(arguments: str, sent: Any, warned: bool) -> None:
    translation = translated(chat(said("user"), called(("1", "f", arguments)), result("1")))
    assert translation.body["messages"][1]["function_call"]["arguments"] == sent
    assert ("tool_arguments_wrapped" in translation.warnings) is warned


def test_several_calls_become_pairs_and_the_text_is_in_the_first() -> None:
    request = chat(
        said("user"), called(("1", "f", "{}"), ("2", "g", "{}"), text="So."), result("1", "{}"), result("2", "{}")
    )
    assert messages(request)[1:] == [
        {"role": "assistant", "content": "So.", "function_call": {"name": "f", "arguments": {}}},
        {"role": "function", "name": "f", "content": "{}"},
        {"role": "assistant", "content": "", "function_call": {"name": "g", "arguments": {}}},
        {"role": "function", "name": "g", "content": "{}"},
    ]


def test_results_are_put_behind_their_calls_whatever_stands_between() -> None:
    request = chat(
        called(("1", "f", "{}"), ("2", "g", "{}")), result("2", '{"r":2}'), said("user", "Wait"), result("1", '{"r":1}')
    )
    assert [item.get("content") for item in messages(request)] == ["", '{"r":1}', "", '{"r":2}', "Wait"]


@pytest.mark.parametrize(
    ("content", "document"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ("[1, 2]", '{"result":[1, 2]}'),
        ("5", '{"result":5}'),
        ('"text"', '{"result":"text"}'),
        ("null", "{}"),
        ("plain", '{"result":"plain"}'),
        ("", '{"result":""}'),
        ('{"a":1}\n{"b":2}', '{"result":"{\\"a\\":1}\\n{\\"b\\":2}"}'),
        ([{"type": "text", "text": '{"a":'}, {"type": "text", "text": "1}"}], '{"a":\n1}'),
    ],
)
def test_a_result_becomes_one_json_object(content: Any, document: str) -> None:
    sent = messages(chat(called(("1", "f", "{}")), result("1", content)))[1]["content"]
    assert sent == document
    assert isinstance(json.loads(sent), dict)


def test_an_image_in_a_result_is_shown_by_the_user_after_all_pairs() -> None:
    request = chat(
        called(("1", "f", "{}"), ("2", "g", "{}")),
        result("1", [TEXT, PICTURE]),
        result("2", "{}"),
        said("user", "Well?"),
    )
    sent = messages(request)
    assert [item["role"] for item in sent] == ["assistant", "function", "assistant", "function", "user", "user"]
    assert sent[1]["content"] == '{"result":"Look"}'
    assert sent[4] == said("user", "See the attachment.", attachments=["file-0"])


def test_a_result_without_a_call_is_said_by_the_user() -> None:
    translation = translated(chat(said("user"), result("9", "42")))
    assert translation.body["messages"] == [said("user"), said("user", "[tool result] 42")]
    assert translation.warnings == ("tool_call_missing",)


def test_a_second_result_of_one_call_is_said_by_the_user() -> None:
    sent = messages(chat(called(("1", "f", "{}")), result("1", "{}"), result("1", "again")))
    assert [item["role"] for item in sent] == ["assistant", "function", "user"]


def test_a_call_without_a_result_gets_a_synthetic_one() -> None:
    translation = translated(chat(said("user"), called(("1", "f", "{}")), said("user", "Stop")))
    sent = translation.body["messages"]
    assert sent[2] == {"role": "function", "name": "f", "content": '{"error":"no result"}'}
    assert sent[3] == said("user", "Stop")
    assert translation.warnings == ("tool_result_missing",)


def test_a_past_call_of_the_deprecated_kind_is_translated_with_its_result() -> None:
    call = said("assistant", None, function_call={"name": "f", "arguments": '{"a":1}'})
    past = {"role": "function", "name": "f", "content": None}
    assert messages(chat(said("user"), call, past))[1:] == [
        {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": {"a": 1}}},
        {"role": "function", "name": "f", "content": "{}"},
    ]


def test_a_state_travels_back_beside_its_call() -> None:
    request = chat(called((STATE_ID, "f", "{}"), ("call_2", "g", "{}")), result(STATE_ID), result("call_2"))
    sent = messages(request)
    assert sent[0]["functions_state_id"] == STATE
    assert "functions_state_id" not in sent[2]


@pytest.mark.parametrize("arguments", [{"replay_state": False}, {"plain_calls": True}])
def test_a_state_can_be_left_out(arguments: dict[str, Any]) -> None:
    translation = translated(chat(called((STATE_ID, "f", "{}")), result(STATE_ID)), **arguments)
    assert "functions_state_id" not in translation.body["messages"][0]


def test_calls_and_results_can_be_said_as_text() -> None:
    request = chat(said("user"), called(("1", "f", '{"a":1}'), ("2", "g", "{}"), text="So."), result("1", "one"))
    assert messages(request, plain_calls=True)[1:] == [
        said("assistant", 'So.\n[tool call] f {"a":1}'),
        said("user", '[tool result] f: {"result":"one"}'),
        said("assistant", "[tool call] g {}"),
        said("user", '[tool result] g: {"error":"no result"}'),
    ]


def test_an_assistant_message_at_the_end_is_sent_with_a_warning() -> None:
    translation = translated(chat(said("user"), said("assistant", "Once upon")))
    assert translation.body["messages"][-1] == said("assistant", "Once upon")
    assert translation.warnings == ("prefill_unsupported",)


@pytest.mark.parametrize(
    ("conversation", "param"),
    [
        ([said("user"), said("assistant", "Once")], "messages[1]"),
        ([said("user"), result("9")], "messages[1]"),
        ([called(("1", "f", "{}"))], "messages[0].tool_calls[0]"),
        ([called(("1", "f", "[]")), result("1")], "messages[0].tool_calls[0]"),
    ],
)
def test_strictness_refuses_what_would_be_mended(conversation: list[Any], param: str) -> None:
    assert refusal(chat(*conversation), strict=True) == (param, "unsupported_parameter")


def test_a_past_call_that_is_no_functions_is_refused() -> None:
    past = said("assistant", None, tool_calls=[{"id": "1", "type": "custom", "custom": {"name": "c", "input": "i"}}])
    assert refusal(chat(past)) == ("messages[0].tool_calls[0].type", "unsupported_value")

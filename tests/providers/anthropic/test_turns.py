"""Messages of chat as turns: roles that alternate, results behind their calls, texts that are not blank."""

from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.errors import InvalidRequest, UnsupportedOperation
from xrouter_asgi.providers.anthropic import AnthropicOptions
from xrouter_asgi.providers.anthropic.translate import translate
from xrouter_asgi.testing.anthropic.rules import sign
from xrouter_asgi.wire import ChatRequest

from .translating import LOOK, USER, call, calling, result, sent, translated

FILLED = {"role": "user", "content": "(no text)"}
PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQ="


def turns(*messages: dict[str, Any], **members: Any) -> Any:
    return sent(*messages, **members)["messages"]


def said(*content: dict[str, Any]) -> Any:
    (turn,) = turns({"role": "user", "content": [*content]})
    return turn["content"]


def test_instructions_in_front_stand_apart() -> None:
    body = sent({"role": "system", "content": "Be kind."}, {"role": "developer", "content": "Be short."}, USER)
    assert body["system"] == "Be kind.\n\nBe short."
    assert body["messages"] == [USER]


def test_later_instructions_are_words_of_the_user() -> None:
    late = {"role": "system", "content": [{"type": "text", "text": "Be calm."}, {"type": "text", "text": "Now."}]}
    (turn,) = turns(USER, late)
    assert [block["text"] for block in turn["content"]] == ["Hi", "[system] Be calm.", "Now."]


def test_later_instructions_keep_their_role_where_the_model_takes_it() -> None:
    request = ChatRequest.of(
        {"model": "m", "messages": [USER, *({"role": "system", "content": text} for text in ("Now.", " "))]}
    )
    done = translate(request, model="m", options=AnthropicOptions(late_system="system"))
    assert done.body["messages"] == [USER, {"role": "system", "content": "Now."}]


def test_turns_of_one_role_become_one() -> None:
    answer = {"role": "assistant", "content": "Yes?"}
    first, second, third = turns(
        USER, USER, answer, {**answer, "content": [{"type": "refusal", "refusal": "No."}]}, USER
    )
    text = {"type": "text", "text": "Hi"}
    assert first == {"role": "user", "content": [text, text]}
    assert [block["text"] for block in second["content"]] == ["Yes?", "No."]
    assert third == USER


def test_a_conversation_that_nobody_begins_is_begun() -> None:
    done = translated({"role": "assistant", "content": "Well  "})
    assert done.body["messages"] == [FILLED, {"role": "assistant", "content": "Well"}]
    assert done.warnings == ["empty_message_filled"]
    assert translated({"role": "system", "content": "Be."}).body["messages"] == [FILLED]


def test_a_blank_message_of_the_user_is_filled_and_one_of_the_assistant_left_out() -> None:
    blank = {"role": "user", "content": " \n"}
    done = translated(USER, {"role": "assistant", "content": ""}, {"role": "assistant", "content": "A"}, blank)
    assert done.body["messages"] == [USER, {"role": "assistant", "content": "A"}, FILLED]
    assert done.warnings == ["empty_message_filled"]


def test_results_stand_right_behind_their_calls_in_the_order_of_the_calls() -> None:
    pictures = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "https://a.example/b"}}]
    later = result("b", pictures)
    body = sent(USER, calling(call("a"), call("b")), later, result("a"), USER, tools=[LOOK])
    image = {"type": "image", "source": {"type": "url", "url": "https://a.example/b"}}
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": each, "name": "look", "input": {}} for each in ("a", "b")],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "Seen."},
                {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "See"}, image]},
                {"type": "text", "text": "Hi"},
            ],
        },
    ]


def test_a_result_that_says_nothing_has_no_content() -> None:
    body = sent(USER, calling(call("a")), result("a", ""), tools=[LOOK])
    assert body["messages"][-1]["content"] == [{"type": "tool_result", "tool_use_id": "a"}]


def test_what_the_user_said_before_the_result_comes_behind_it() -> None:
    first, _, last = sent(USER, calling(call("a")), USER, result("a"), tools=[LOOK])["messages"]
    assert first == USER
    assert [block["type"] for block in last["content"]] == ["tool_result", "text"]


def test_a_result_that_comes_after_another_answer_goes_back_to_its_call() -> None:
    answer = {"role": "assistant", "content": "Hm."}
    messages = sent(USER, calling(call("a")), USER, answer, result("a"), tools=[LOOK])["messages"]
    assert [turn["role"] for turn in messages] == ["user", "assistant", "user", "assistant"]
    assert messages[2]["content"][0]["content"] == "Seen."


@pytest.mark.parametrize("more", [[], [{"role": "assistant", "content": "Hm."}], [USER]])
def test_a_call_without_a_result_gets_one_that_says_so(more: list[dict[str, Any]]) -> None:
    done = translated(USER, calling(call("a")), *more, tools=[LOOK])
    missing = {"type": "tool_result", "tool_use_id": "a", "content": "No result.", "is_error": True}
    assert done.body["messages"][2]["content"][0] == missing
    assert done.warnings == ["tool_result_missing"]


def test_a_result_without_a_call_is_said_by_the_user() -> None:
    picture = {"type": "image_url", "image_url": {"url": PNG}}
    done = translated(USER, result("x", [{"type": "text", "text": "Seen."}, picture]))
    (turn,) = done.body["messages"]
    assert [block.get("text") for block in turn["content"]] == ["Hi", "[tool result] Seen.", None]
    assert done.warnings == ["tool_call_missing"]


def test_ids_that_do_not_fit_are_hashed_in_calls_and_results_alike() -> None:
    messages = sent(USER, calling(call("call:1"), call("b")), result("b"), result("call:1"), tools=[LOOK])["messages"]
    uses, results = messages[1]["content"], messages[2]["content"]
    assert uses[0]["id"] == results[0]["tool_use_id"] == "toolu_0af6315558b41599b4a0fbfa"
    assert uses[1]["id"] == results[1]["tool_use_id"] == "b"


def test_ids_that_come_again_in_every_turn_are_told_apart_and_stay_the_same() -> None:
    step = [calling(call("0")), result("0")]
    two, three = (sent(USER, *step * count, tools=[LOOK])["messages"] for count in (2, 3))
    ids = [block["id"] for turn in three for block in turn["content"] if turn["role"] == "assistant"]
    assert len(set(ids)) == 3
    assert three[: len(two)] == two


def test_arguments_that_are_no_object_are_wrapped() -> None:
    calls = [
        call("a", arguments=""),
        call("b", arguments='{"x":1}'),
        call("c", arguments="[1]"),
        call("d", arguments="x"),
    ]
    done = translated(USER, calling(*calls), *(result(each) for each in "abcd"), tools=[LOOK])
    inputs = [block["input"] for block in done.body["messages"][1]["content"]]
    assert inputs == [{}, {"x": 1}, {"value": [1]}, {"value": "x"}]
    assert done.warnings == ["tool_arguments_wrapped"]


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://a.example/b.png", {"type": "url", "url": "https://a.example/b.png"}),
        (f"data:image/webp;base64,{PNG}", {"type": "base64", "media_type": "image/webp", "data": PNG}),
        (PNG, {"type": "base64", "media_type": "image/png", "data": PNG}),
    ],
)
def test_pictures_are_passed_on(url: str, source: dict[str, str]) -> None:
    assert said({"type": "image_url", "image_url": {"url": url, "detail": "high"}}) == [
        {"type": "image", "source": source}
    ]


@pytest.mark.parametrize(
    ("data", "source"),
    [
        (f"data:application/pdf;base64,{PDF}", {"type": "base64", "media_type": "application/pdf", "data": PDF}),
        (PDF, {"type": "base64", "media_type": "application/pdf", "data": PDF}),
        ("https://a.example/b.pdf", {"type": "url", "url": "https://a.example/b.pdf"}),
        (
            "data:text/markdown;charset=utf-8;base64,0JTQsA==",
            {"type": "text", "media_type": "text/plain", "data": "Да"},
        ),
    ],
)
def test_documents_are_passed_on(data: str, source: dict[str, str]) -> None:
    part = {"type": "file", "file": {"file_data": data, "filename": "b.pdf"}}
    assert said(part) == [{"type": "document", "source": source, "title": "b.pdf"}]
    assert said({"type": "file", "file": {"file_data": data}}) == [{"type": "document", "source": source}]


@pytest.mark.parametrize(
    ("part", "param", "code"),
    [
        ({"type": "image_url", "image_url": {"url": "ftp://a"}}, "image_url.url", "invalid_value"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,x"}}, "image_url.url", "invalid_value"),
        ({"type": "image_url", "image_url": {"url": "QUJD"}}, "image_url.url", "invalid_value"),
        ({"type": "file", "file": {"file_id": "file_1"}}, "file.file_id", "unsupported_value"),
        ({"type": "file", "file": {"file_data": "QUJD"}}, "file.file_data", "unsupported_value"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,!"}}, "file.file_data", "invalid_value"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, "file.file_data", "invalid_value"),
        ({"type": "input_audio", "input_audio": {}}, "type", "unsupported_value"),
    ],
)
def test_what_cannot_be_passed_on_is_refused(part: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        translated({"role": "user", "content": [{"type": "text", "text": "See"}, part]})
    assert (caught.value.param, caught.value.code) == (f"messages[0].content[1].{param}", code)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "messages[1].role"),
        ({"role": "assistant", "function_call": {"name": "f", "arguments": ""}}, "messages[1].function_call"),
        (calling({"id": "a", "type": "custom", "custom": {}}), "messages[1].tool_calls[0].type"),
        (
            {"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
            "messages[1].content[0].type",
        ),
    ],
)
def test_what_the_api_has_no_word_for_is_refused(message: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedOperation) as caught:
        translated(USER, message)
    assert caught.value.param == param


def test_thinking_comes_back_as_it_went_out() -> None:
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": sign("Hm."), "index": 0},
        {"type": "redacted_thinking", "data": "x", "index": 1},
    ]
    turn = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm.", "thinking_blocks": blocks}
    content = turns(USER, turn, USER)[1]["content"]
    assert content[:2] == [{k: v for k, v in block.items() if k != "index"} for block in blocks]


def test_what_is_no_signed_thinking_is_left_out() -> None:
    for members, warning in (
        ({"reasoning_content": "Hm."}, "reasoning_content_ignored"),
        ({"reasoning": "Hm."}, "reasoning_content_ignored"),
        ({"thinking_blocks": [{"type": "thinking"}]}, "thinking_blocks_ignored"),
        ({"thinking_blocks": 1, "reasoning": "Hm."}, "reasoning_content_ignored"),
        ({"audio": {"id": "a"}}, "audio_ignored"),
    ):
        done = translated(USER, {"role": "assistant", "content": "Yes.", "refusal": "No.", **members}, USER)
        assert [block["text"] for block in done.body["messages"][1]["content"]] == ["Yes.", "No."]
        assert done.warnings == [warning]


def test_thinking_without_words_or_calls_is_left_out() -> None:
    block = {"type": "thinking", "thinking": "Hm.", "signature": sign("Hm.")}
    done = translated(USER, {"role": "assistant", "content": "", "thinking_blocks": [block]})
    assert (done.body["messages"], done.warnings) == ([USER], ["thinking_blocks_ignored"])


def test_a_name_of_the_user_is_left_out() -> None:
    assert translated({**USER, "name": "ann"}).warnings == ["name_ignored"]

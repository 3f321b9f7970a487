from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.errors import InvalidRequest

from .asking import assistant, conversation, parsed, text, user

PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "the sky"}}
CALLED = {"id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"the sky"}'}}


def result(content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **more}


# Instructions


def test_all_blocks_of_instructions_become_one_message_in_front() -> None:
    system = [text("x-anthropic-billing-header: cc_version=2"), text("Be brief."), text("Be kind.")]
    first, _ = conversation({"role": "user", "content": "hi"}, system=system)
    assert first == {"role": "system", "content": "Be brief.\n\nBe kind."}


@pytest.mark.parametrize("system", [None, "", [], [text("x-anthropic-billing-header: cc_version=2")]])
def test_without_instructions_there_is_no_message_for_them(system: object) -> None:
    assert conversation({"role": "user", "content": "hi"}, system=system) == [{"role": "user", "content": "hi"}]


def test_instructions_in_the_middle_stay_there_and_those_in_front_are_joined() -> None:
    turns: list[dict[str, Any]] = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": [text("Hurry."), text("Please.")]},
    ]
    assert conversation(*turns, system="Be brief.") == [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "Hurry.\n\nPlease."},
    ]


# What the user gives


@pytest.mark.parametrize(
    ("blocks", "content"),
    [
        ([text("hi")], "hi"),
        ([text("a", cache_control={"type": "ephemeral"}), text("b")], [text("a"), text("b")]),
        ([{"type": "image", "source": PNG}], [PICTURE]),
        (
            [{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}],
            [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}],
        ),
        (
            [{"type": "document", "title": "a.pdf", "source": {**PNG, "media_type": "application/pdf"}}],
            [{"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}}],
        ),
        (
            [{"type": "document", "context": "Read it.", "source": {"type": "url", "url": "https://x/y"}}],
            [text("Read it."), {"type": "file", "file": {"file_data": "https://x/y", "filename": "document.pdf"}}],
        ),
        (
            [{"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "d"}}],
            [text("T"), text("d")],
        ),
        ([{"type": "document", "source": {"type": "content", "content": "d"}}], "d"),
        (
            [
                {
                    "type": "document",
                    "source": {"type": "content", "content": [text("d"), {"type": "image", "source": PNG}]},
                }
            ],
            [text("d"), PICTURE],
        ),
        (
            [{"type": "search_result", "title": "T", "source": "https://x", "content": [text("a"), text("b")]}],
            "T\nhttps://x\na\nb",
        ),
    ],
)
def test_what_the_user_gives_is_a_part_of_a_message(blocks: list[dict[str, Any]], content: object) -> None:
    assert conversation(user(*blocks)) == [{"role": "user", "content": content}]


@pytest.mark.parametrize("block", ["image", "document"])
def test_a_file_that_only_anthropic_has_is_refused(block: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        conversation(user({"type": block, "source": {"type": "file", "file_id": "file_1"}}))
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "messages")


@pytest.mark.parametrize(
    ("role", "block"), [("user", CALL), ("assistant", result("x")), ("assistant", {"type": "image", "source": PNG})]
)
def test_a_block_of_the_other_role_is_refused(role: str, block: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        conversation({"role": role, "content": [block]})
    assert caught.value.param == "messages[0].content[0].type"


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_a_block_of_a_tool_that_runs_at_anthropic_is_ignored_aloud(role: str) -> None:
    block = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    request = parsed(messages=[{"role": role, "content": [text("a"), block, block]}])
    assert request.document.value["messages"] == [{"role": role, "content": "a"}]
    assert request.warnings == ["block_web_search_tool_result_ignored"]


def test_a_conversation_of_nothing_is_an_empty_message() -> None:
    assert conversation(user()) == [{"role": "user", "content": ""}]


# Results


def test_results_come_before_what_the_user_says_with_them() -> None:
    turn = user(result("blue"), {**result("2"), "tool_use_id": "toolu_2"}, text("Go on."))
    assert conversation(turn) == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "blue"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "2"},
        {"role": "user", "content": "Go on."},
    ]


def test_pictures_of_a_result_go_into_the_message_of_the_user() -> None:
    content = [text("a"), {"type": "image", "source": PNG}, text("b"), {"type": "tool_reference", "tool_name": "t"}]
    request = parsed(messages=[user(result(content), text("See?"))])
    assert request.document.value["messages"] == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "a\nb"},
        {"role": "user", "content": [PICTURE, text("See?")]},
    ]
    assert request.warnings == ["block_tool_reference_ignored"]


@pytest.mark.parametrize(
    ("content", "told"),
    [("no such file", "Error: no such file"), ("Error 2", "Error 2"), ([text("bad")], "Error: bad"), (None, "Error: ")],
)
def test_a_result_that_is_an_error_says_so(content: object, told: str) -> None:
    assert conversation(user(result(content, is_error=True)))[0]["content"] == told


def test_a_result_without_content_is_empty() -> None:
    assert conversation(user({"type": "tool_result", "tool_use_id": "toolu_1"}))[0]["content"] == ""


# What the assistant said


def test_a_turn_of_the_assistant_is_one_message() -> None:
    thought = {"type": "thinking", "thinking": "Hm. ", "signature": "xr1"}
    turn = assistant(thought, text("I "), text("look."), CALL, {**thought, "thinking": "Well."})
    assert conversation(turn) == [
        {"role": "assistant", "content": "I look.", "reasoning_content": "Hm. Well.", "tool_calls": [CALLED]}
    ]


def test_calls_alone_have_no_content() -> None:
    assert conversation(assistant(CALL)) == [{"role": "assistant", "content": None, "tool_calls": [CALLED]}]


@pytest.mark.parametrize("signature", [{"signature": "xr1"}, {"signature": ""}, {}])
def test_thinking_that_came_from_here_goes_back(signature: dict[str, str]) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", **signature}
    assert conversation(assistant(thought)) == [{"role": "assistant", "content": "", "reasoning_content": "Hm."}]


def test_thinking_that_is_sealed_for_somebody_else_is_dropped_without_a_word() -> None:
    sealed = [
        {"type": "thinking", "thinking": "", "signature": "EqQBCgIYAhIM"},
        {"type": "redacted_thinking", "data": "EmwKAhgBEgy3"},
    ]
    request = parsed(messages=[assistant(*sealed, text("a")), assistant(*sealed)])
    assert request.document.value["messages"] == [{"role": "assistant", "content": "a"}]
    assert request.warnings == []


def test_the_beginning_of_an_answer_stays_the_last_message() -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "He"}]
    assert conversation(*turns) == turns

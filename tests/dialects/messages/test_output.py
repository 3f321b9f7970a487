from __future__ import annotations

import json
from typing import Any

import pytest

from xrouter_asgi.errors import UpstreamError
from xrouter_asgi.testing.scripted import USAGE, completion
from xrouter_asgi.wire import ChatCompletion

from .asking import parsed


def whole(*, finish: str = "stop", usage: Any = USAGE, **message: Any) -> dict[str, Any]:
    """The message for an answer with this message, without its id."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    answer = ChatCompletion({"object": "chat.completion", "choices": [choice], "usage": usage})
    value: dict[str, Any] = json.loads(parsed().whole(answer))
    assert value.pop("id").startswith("msg_")
    return value


def call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_an_answer_is_a_message_of_the_model_that_was_asked_for() -> None:
    value = json.loads(parsed(model="claude-house").whole(completion("hello")))
    assert value["id"].startswith("msg_")
    assert (value["type"], value["role"], value["model"]) == ("message", "assistant", "claude-house")
    assert value["content"] == [{"type": "text", "text": "hello"}]
    assert (value["stop_reason"], value["stop_sequence"]) == ("end_turn", None)
    assert value["usage"]["input_tokens"] == 3


def test_thinking_text_and_calls_come_in_this_order() -> None:
    message = whole(
        finish="tool_calls",
        content="Look.",
        reasoning_content="Hm.",
        tool_calls=[call("c1", "look", '{"a": 1}'), call("c2", "hear", "")],
    )
    assert message["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "xr1"},
        {"type": "text", "text": "Look."},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"a": 1}},
        {"type": "tool_use", "id": "c2", "name": "hear", "input": {}},
    ]
    assert message["stop_reason"] == "tool_use"


def test_text_in_parts_is_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    assert whole(content=parts)["content"] == [{"type": "text", "text": "ab"}]


def test_an_answer_without_content_has_no_block() -> None:
    assert whole(content=None)["content"] == []


def test_a_refusal_is_told_as_one() -> None:
    message = whole(content=None, refusal="No.")
    assert message["content"] == [{"type": "text", "text": "No."}]
    assert message["stop_reason"] == "refusal"


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}])
def test_usage_that_is_not_told_is_estimated_aloud(usage: Any) -> None:
    request = parsed()
    answer = completion("x" * 100).replace(usage=usage)
    assert json.loads(request.whole(answer))["usage"]["output_tokens"] > 25
    assert request.warnings == ["usage_estimated"]


@pytest.mark.parametrize(
    "answer", [{}, {"choices": None}, {"choices": []}, {"choices": [None]}, {"choices": [{"message": None}]}]
)
def test_an_answer_without_a_message_is_the_fault_of_the_upstream(answer: dict[str, Any]) -> None:
    with pytest.raises(UpstreamError) as caught:
        parsed().whole(ChatCompletion(answer))
    assert caught.value.code == "bad_body"

"""What a provider is asked for a request for a response."""

from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.context import CostEstimate
from xrouter_asgi.dialects.responses import RESPONSES
from xrouter_asgi.errors import InvalidRequest, UnsupportedOperation
from xrouter_asgi.testing.scripted import completion

from ..contract import DialectContract
from .translated import asked, read


class TestResponses(DialectContract):
    dialect = RESPONSES
    answer = completion()


USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"metadata": {"a": "b"}, "user": "u"}, {"metadata": {"a": "b"}, "user": "u"}),
        ({"service_tier": "flex", "safety_identifier": "s"}, {"service_tier": "flex", "safety_identifier": "s"}),
        ({"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"stream": False}, {"stream": False}),
        ({"max_output_tokens": 16}, {"max_completion_tokens": 16}),
        ({"reasoning": {"effort": "high", "summary": "auto"}}, {"reasoning_effort": "high"}),
        ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "text"}}}, {}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"include": ["reasoning.encrypted_content", "web_search_call.results"]}, {}),
        ({"stream_options": {"include_obfuscation": False}, "client_metadata": {}, "max_tool_calls": 3}, {}),
        ({"truncation": "disabled", "background": False, "store": False}, {}),
        ({"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}, {}),
    ],
)
def test_a_member_becomes_what_chat_calls_it_and_nothing_is_said(given: Any, asked: Any) -> None:
    parsed = read(**given)
    assert parsed.document.value == {"model": "m", "messages": [USER], **asked}
    assert parsed.warnings == []


@pytest.mark.parametrize(
    ("given", "warnings"),
    [
        ({"truncation": "auto"}, ["truncation_ignored"]),
        ({"context_management": [{"type": "compaction"}]}, ["context_management_ignored"]),
        ({"seed": 1, "stop": ["x"]}, ["seed_ignored", "stop_ignored"]),
        ({"seed": None}, []),
        ({"tools": [{"type": "web_search"}, {"type": "mcp"}]}, ["tool_web_search_ignored", "tool_mcp_ignored"]),
        (
            {"input": [USER, {"type": "web_search_call", "id": "ws_1", "status": "completed"}]},
            ["item_web_search_call_ignored"],
        ),
    ],
)
def test_what_is_left_out_is_told(given: Any, warnings: list[str]) -> None:
    parsed = read(**given)
    assert parsed.document.value == {"model": "m", "messages": [USER]}
    assert parsed.warnings == warnings


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        ({"background": True}, "unsupported_parameter", "background"),
        ({"conversation": "conv_1"}, "unsupported_parameter", "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "unsupported_parameter", "prompt"),
        ({"prompt": False}, "unsupported_parameter", "prompt"),
        ({"max_output_tokens": 15}, "integer_below_min_value", "max_output_tokens"),
        ({"temperature": 2.5}, "decimal_above_max_value", "temperature"),
        ({"input": []}, "empty_array", "input"),
        ({"input": 3}, "invalid_type", "input"),
        ({"input": [{"type": "hologram"}]}, "invalid_value", "input[0].type"),
        ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
        ({"input": [{"role": "robot", "content": ""}]}, "invalid_value", "input[0].role"),
        (
            {"input": [{"role": "user", "content": [{"type": "hologram"}]}]},
            "invalid_value",
            "input[0].content[0].type",
        ),
        (
            {"input": [USER, {"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "unsupported_parameter",
            "input[1].content[0].file_id",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "missing_required_parameter",
            "input[0].content[0].image_url",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "missing_required_parameter",
            "input[0].content[0].file_data",
        ),
        (
            {"input": [{"role": "system", "content": [{"type": "input_image", "image_url": "data:,"}]}]},
            "invalid_value",
            "input[0].content[0].type",
        ),
        ({"input": [{"type": "web_search_call"}]}, "empty_array", "input"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].name"),
        ({"tool_choice": {"type": "file_search"}}, "unsupported_value", "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "missing_required_parameter", "tool_choice.name"),
        ({"tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp"}]}}, "unsupported_value", "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "tools": []}}, "invalid_value", "tool_choice"),
        (
            {"text": {"format": {"type": "json_schema", "name": "n"}}},
            "missing_required_parameter",
            "text.format.schema",
        ),
        ({"text": {"format": {"type": "yaml"}}}, "invalid_value", "text.format.type"),
        ({"truncation": "never"}, "invalid_value", "truncation"),
    ],
)
def test_what_cannot_be_served_is_refused_by_the_client_s_own_names(given: Any, code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(**given)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "web_search"},
        {"type": "code_interpreter"},
        {"type": "allowed_tools", "tools": [{"type": "image_generation"}]},
    ],
)
def test_a_choice_of_a_tool_that_upstreams_run_is_for_those_that_speak_responses(choice: dict[str, Any]) -> None:
    function = {"type": "function", "name": "f", "parameters": {}}
    parsed = read(tools=[{"type": choice["type"]}, function], tool_choice=choice)
    assert parsed.original.forwarded.value["tool_choice"] == choice
    assert "tool_choice" not in parsed.document.value
    error = parsed.original.untranslatable
    assert isinstance(error, UnsupportedOperation)
    assert (error.code, error.param, error.falls_back) == ("unsupported_value", "tool_choice", True)


def test_the_output_is_bounded_as_the_client_wants() -> None:
    parsed = read(max_output_tokens=99)
    assert parsed.estimate() == CostEstimate("m", len(parsed.original.document.data) // 2, 99)


# Items


def test_the_system_s_first_messages_are_one_and_later_ones_stay_where_they_are() -> None:
    developer = {"role": "developer", "content": [{"type": "input_text", "text": "b"}]}
    messages = asked({"role": "system", "content": "a"}, developer, USER, developer, instructions="i")
    assert messages == [{"role": "system", "content": "i\n\na\n\nb"}, USER, {"role": "system", "content": "b"}]


def test_a_turn_of_the_assistant_is_one_message() -> None:
    messages = asked(
        USER,
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "think"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "b"}]},
        {"type": "web_search_call", "id": "w"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": '{"x":1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
        {"role": "assistant", "content": "done"},
    )
    assert messages == [
        USER,
        {
            "role": "assistant",
            "content": "a\n\nb",
            "reasoning_content": "think",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "c2", "type": "function", "function": {"name": "g", "arguments": '{"x":1}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": "2"},
        {"role": "assistant", "content": "done"},
    ]


def test_what_a_user_shows_becomes_parts() -> None:
    content = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "input_file", "file_data": "data:,", "filename": "a.txt"},
        {"type": "input_file", "file_url": "https://files.example/a"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    [message] = asked({"role": "user", "content": content})
    assert message["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:,", "filename": "a.txt"}},
        {"type": "file", "file": {"file_url": "https://files.example/a"}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]


def test_pictures_in_results_follow_the_last_result_of_the_run() -> None:
    picture = {"type": "input_image", "image_url": "data:,"}
    calls = [{"type": "function_call", "call_id": each, "name": "f", "arguments": ""} for each in ("c1", "c2")]
    seen = [{"type": "input_text", "text": "see"}, picture]
    results = [{"type": "function_call_output", "call_id": each, "output": seen} for each in ("c1", "c2")]
    messages = asked(*calls, *results, {"role": "assistant", "content": "ok"})
    assert [message["role"] for message in messages] == ["assistant", "tool", "tool", "user", "assistant"]
    assert [message["content"] for message in messages[1:3]] == ["see", "see"]
    assert messages[3]["content"] == [{"type": "image_url", "image_url": {"url": "data:,"}}] * 2


@pytest.mark.parametrize(
    ("item", "thought"),
    [
        ({"summary": [{"text": "a"}, {"text": "b"}]}, "ab"),
        ({"summary": [], "content": [{"type": "reasoning_text", "text": "c"}]}, "c"),
        ({"summary": [{"text": "a"}], "encrypted_content": "gAAAA"}, None),
        ({"summary": [{"text": "a"}], "encrypted_content": "xr1.!"}, None),
        ({"summary": []}, None),
    ],
)
def test_thoughts_are_played_back_unless_somebody_else_sealed_them(item: Any, thought: str | None) -> None:
    messages = asked(USER, {"type": "reasoning", **item}, {"role": "assistant", "content": "x"})
    assert messages[1].get("reasoning_content") == thought

from __future__ import annotations

import json
from typing import Any

import pytest

from xrouter_asgi.context import CostEstimate
from xrouter_asgi.dialects.messages import MESSAGES
from xrouter_asgi.dialects.messages.request import ParsedMessages
from xrouter_asgi.errors import InvalidRequest, UnsupportedOperation

from .asking import asked, parsed

TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}
FUNCTION = {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def test_the_smallest_request_asks_for_no_more_than_that() -> None:
    assert asked() == {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 100}


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"temperature": 0.5, "top_p": 1}, {"temperature": 0.5, "top_p": 1}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop_sequences": []}, {}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"stream": False}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 16384}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 16385}}, {"reasoning_effort": "high"}),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, {}),
        ({"thinking": {"type": "between_tools"}}, {}),
        ({"output_config": {"effort": "xhigh"}}, {"reasoning_effort": "xhigh"}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "max"}},
            {"reasoning_effort": "max"},
        ),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, {}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "output", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
    ],
)
def test_a_parameter_becomes_that_of_chat(members: dict[str, Any], told: dict[str, Any]) -> None:
    request = parsed(**members)
    assert request.document.value == {**asked(), **told}
    assert request.warnings == []


@pytest.mark.parametrize(
    "name",
    ["betas", "cache_control", "context_management", "diagnostics", "metadata", "service_tier", "speed"],
)
def test_what_says_nothing_about_another_model_is_dropped_without_a_word(name: str) -> None:
    members: dict[str, Any] = {name: {}}
    request = parsed(**members)
    assert name not in request.document.value
    assert request.warnings == []


@pytest.mark.parametrize(
    ("members", "warnings"),
    [
        ({"top_k": 5}, ["top_k_ignored"]),
        ({"container": "container_1"}, ["container_ignored"]),
        ({"container": None, "top_k": None}, []),
        (
            {"tools": [SEARCH, {"type": "mcp_toolset"}, TOOL]},
            ["tool_web_search_20250305_ignored", "tool_mcp_toolset_ignored"],
        ),
    ],
)
def test_what_is_ignored_is_told(members: dict[str, Any], warnings: list[str]) -> None:
    assert parsed(**members).warnings == warnings


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        ({"max_tokens": None}, "invalid_type", "max_tokens"),
        ({"max_tokens": 0}, "integer_below_min_value", "max_tokens"),
        ({"temperature": 1.5}, "decimal_above_max_value", "temperature"),
        ({"stop_sequences": "a"}, "invalid_type", "stop_sequences"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1}}, "integer_below_min_value", "thinking.budget_tokens"),
        ({"thinking": {"type": "deep"}}, "invalid_value", "thinking.type"),
        ({"tools": [{"name": "look"}]}, "missing_required_parameter", "tools[0].input_schema"),
        ({"tool_choice": {"type": "tool"}}, "missing_required_parameter", "tool_choice.name"),
        ({"messages": [{"role": "tool", "content": ""}]}, "invalid_value", "messages[0].role"),
        ({"messages": []}, "empty_array", "messages"),
        ({"mcp_servers": [{"type": "url"}]}, "unsupported_parameter", "mcp_servers"),
    ],
)
def test_what_cannot_be_done_is_refused(members: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed(**members)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [SEARCH, TOOL], "tool_choice": {"type": "tool", "name": "web_search"}},
        {"tools": [SEARCH], "tool_choice": {"type": "any"}},
    ],
)
def test_a_choice_of_a_tool_that_upstreams_run_is_for_those_that_speak_messages(members: dict[str, Any]) -> None:
    read = parsed(**members)
    assert read.original.forwarded.value["tool_choice"] == members["tool_choice"]
    assert "tool_choice" not in read.document.value
    error = read.original.untranslatable
    assert error is not None
    assert (error.status, error.code, error.param, error.falls_back) == (400, "unsupported_value", "tool_choice", True)


def test_more_stop_sequences_than_chat_knows_are_for_those_that_speak_messages() -> None:
    read = parsed(stop_sequences=list("abcde"))
    assert read.original.forwarded.value["stop_sequences"] == list("abcde")
    error = read.original.untranslatable
    assert error is not None
    assert (error.code, error.param, error.falls_back) == ("array_above_max_length", "stop_sequences", True)
    assert parsed(stop_sequences=list("abcd")).original.untranslatable is None


def test_no_mcp_servers_are_no_reason_to_refuse() -> None:
    assert asked(mcp_servers=[]) == asked()


# Tools


@pytest.mark.parametrize("kind", [{}, {"type": "custom"}, {"type": None}])
def test_a_tool_of_the_client_is_a_function(kind: dict[str, Any]) -> None:
    assert asked(tools=[{**TOOL, **kind}])["tools"] == [{"type": "function", "function": FUNCTION}]
    assert asked(tools=[{**TOOL, "strict": True}])["tools"][0]["function"]["strict"] is True


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "tool", "name": "look"},
            {"tool_choice": {"type": "function", "function": {"name": "look"}}},
        ),
        (
            {"type": "auto", "disable_parallel_tool_use": True},
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
        ({"type": "auto", "disable_parallel_tool_use": False}, {"tool_choice": "auto"}),
    ],
)
def test_the_choice_of_a_tool_is_that_of_chat(choice: dict[str, Any], told: dict[str, Any]) -> None:
    request = asked(tools=[TOOL], tool_choice=choice)
    assert {name: request[name] for name in request.keys() & {"tool_choice", "parallel_tool_calls"}} == told


@pytest.mark.parametrize("tools", [{}, {"tools": []}, {"tools": [SEARCH]}])
def test_without_a_tool_there_is_nothing_to_choose(tools: dict[str, Any]) -> None:
    assert asked(**tools, tool_choice={"type": "auto", "disable_parallel_tool_use": True}) == asked()


# Which conversation it is


@pytest.mark.parametrize(
    ("headers", "user_id", "key"),
    [
        ([(b"x-claude-code-session-id", b"s-1")], '{"session_id": "s-2"}', "s-1"),
        ([], '{"device_id": "d", "session_id": "s-2"}', "s-2"),
        ([], '{"session_id": 2}', None),
        ([], "[]", None),
        ([], "user_1_account__session_2", None),
        ([], "\ud800", None),
        ([], None, None),
        ([(b"x-claude-code-session-id", b"s" * 257)], None, None),
    ],
)
def test_the_session_of_claude_code_keeps_a_conversation_together(
    headers: list[tuple[bytes, bytes]], user_id: str | None, key: str | None
) -> None:
    assert asked(headers=headers, metadata={"user_id": user_id}).get("prompt_cache_key") == key


# What it costs


def test_the_estimate_is_that_of_what_the_client_wrote() -> None:
    request = parsed(container="x" * 1000)
    assert request.estimate() == CostEstimate("m", len(request.original.document.data) // 2, 100)


def test_a_request_is_counted_without_what_is_no_input() -> None:
    assert MESSAGES.counting is not None
    value = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [SEARCH]}
    body = json.dumps(value).encode()
    assert ParsedMessages.read_to_count(value, body, ()).warnings == ["tool_web_search_20250305_ignored"]
    counted = ParsedMessages.read_to_count({**value, "max_tokens": 0, "stream": True, "temperature": 9}, body, ())
    assert counted.document.value == {"model": "m", "messages": value["messages"]}


def test_what_a_provider_blames_is_named_as_the_client_wrote_it() -> None:
    error = UnsupportedOperation("No.", param="response_format.json_schema")
    assert MESSAGES.named_back(error).param == "output_config.format"

"""Tools become functions of chat, and calls of them come back as the client named them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xrouter_asgi.dialects.responses.tools import ToolName, ToolNames

from .translated import answered, asked, call, delta, read, streamed

GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
TOOLS = [
    {"type": "function", "name": "plain", "description": None, "parameters": {"type": "object"}, "strict": True},
    {"type": "custom", "name": "free", "description": "Free text.", "format": GRAMMAR},
    {
        "type": "namespace",
        "name": "team",
        "description": "For a team.",
        "tools": [{"type": "function", "name": "wait", "description": "Wait."}, {"type": "custom", "name": "say"}],
    },
]


def functions(**members: Any) -> Any:
    return [tool["function"] for tool in read(**members).document.value["tools"]]


def test_tools_become_functions() -> None:
    plain, free, wait, say = functions(tools=TOOLS)
    assert plain == {"name": "plain", "parameters": {"type": "object"}, "strict": True}
    assert free["name"] == "free"
    assert free["description"] == "Free text.\n\nThe input must match this lark grammar:\nstart: /x/"
    assert free["parameters"]["required"] == ["input"]
    assert wait == {"name": "team__wait", "description": "For a team.\n\nWait."}
    assert say["name"] == "team__say"
    assert "description" not in say


def called(name: str, arguments: str = "{}") -> Any:
    function = {"name": name, "arguments": arguments}
    message = {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    [item] = answered(message, "tool_calls", request={"tools": TOOLS})["output"]
    assert (item.pop("call_id"), item.pop("status")) == ("call_1", "completed")
    del item["id"]
    return item


@pytest.mark.parametrize(
    ("name", "arguments", "item"),
    [
        ("plain", '{"a":1}', {"type": "function_call", "name": "plain", "arguments": '{"a":1}'}),
        ("plain", "", {"type": "function_call", "name": "plain", "arguments": "{}"}),
        ("team__wait", "{}", {"type": "function_call", "name": "wait", "namespace": "team", "arguments": "{}"}),
        ("free", '{"input":"x"}', {"type": "custom_tool_call", "name": "free", "input": "x"}),
        ("free", "no JSON", {"type": "custom_tool_call", "name": "free", "input": "no JSON"}),
        ("free", '{"inp":1}', {"type": "custom_tool_call", "name": "free", "input": '{"inp":1}'}),
        ("team__say", '{"input":"y"}', {"type": "custom_tool_call", "name": "say", "namespace": "team", "input": "y"}),
        ("unheard__of", "{}", {"type": "function_call", "name": "unheard__of", "arguments": "{}"}),
    ],
)
def test_a_call_comes_back_under_the_names_of_the_client(name: str, arguments: str, item: dict[str, Any]) -> None:
    assert called(name, arguments) == item


def test_calls_in_the_input_are_flattened_as_the_tools_are() -> None:
    wait = {"type": "function_call", "call_id": "c1", "namespace": "team", "name": "wait", "arguments": "{}"}
    free = {"type": "custom_tool_call", "call_id": "c2", "name": "free", "input": 'a "b"'}
    [message] = asked(wait, free, tools=TOOLS)
    assert [each["function"] for each in message["tool_calls"]] == [
        {"name": "team__wait", "arguments": "{}"},
        {"name": "free", "arguments": json.dumps({"input": 'a "b"'}, separators=(",", ":"))},
    ]


def test_names_that_upstreams_would_refuse_or_mix_up_are_replaced_and_come_back() -> None:
    names = ToolNames()
    tools = [
        ToolName("a.b"),
        ToolName("x" * 65),
        ToolName("b", "a"),
        ToolName("a__b"),
        ToolName("a__b", custom=True),
        ToolName("погода"),
    ]
    flat = [names.flat(tool) for tool in tools]
    assert flat[2] == "a__b"
    assert len(set(flat)) == len(tools)
    assert all(len(name) <= 64 and name.replace("-", "_").replace("_", "a").isalnum() for name in flat)
    assert all(name.isascii() for name in flat)
    assert [names.back(name) for name in flat] == tools
    assert [names.flat(tool) for tool in tools] == flat


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ("required", "required"),
        ({"type": "function", "name": "plain"}, {"type": "function", "function": {"name": "plain"}}),
        ({"type": "custom", "name": "free"}, {"type": "function", "function": {"name": "free"}}),
        (
            {"type": "function", "name": "wait", "namespace": "team"},
            {"type": "function", "function": {"name": "team__wait"}},
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "custom", "name": "free"}, {"type": "mcp"}],
            },
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "free"}}]},
            },
        ),
    ],
)
def test_the_choice_names_the_function_that_stands_for_the_tool(choice: Any, chosen: Any) -> None:
    value = read(tools=TOOLS, tool_choice=choice, parallel_tool_calls=False).document.value
    assert value["tool_choice"] == chosen
    assert value["parallel_tool_calls"] is False


def test_the_input_of_a_custom_tool_is_told_at_once_when_it_is_whole() -> None:
    chunks = [
        delta(tool_calls=[call(id="c", type="function", name="free")]),
        delta(tool_calls=[call(arguments='{"inp')]),
        delta(tool_calls=[call(arguments='ut":"x"}')]),
        delta("tool_calls"),
    ]
    told = streamed(chunks, tools=TOOLS)
    assert [event["type"].removeprefix("response.") for event in told[2:-1]] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert told[2]["item"]["input"] == ""
    assert (told[3]["delta"], told[4]["input"], told[5]["item"]["input"]) == ("x", "x", "x")

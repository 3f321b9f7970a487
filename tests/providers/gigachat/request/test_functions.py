"""Tools and the choice among them."""

from __future__ import annotations

from typing import Any

import pytest

from ..translating import called, chat, refusal, result, said, tool, translated

EMPTY = {"type": "object", "properties": {}}
F = {"name": "f", "description": "f", "parameters": EMPTY}
G = {"name": "g", "description": "g", "parameters": EMPTY}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(*names: str, mode: str = "auto") -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named(name) for name in names]}}


def test_no_tools_are_no_functions() -> None:
    body = translated(chat(tools=[])).body
    assert "functions" not in body
    assert "function_call" not in body


def test_a_tool_becomes_a_function_with_its_name_for_a_description() -> None:
    assert translated(chat(tools=[tool("f")])).body["functions"] == [F]


def test_the_description_is_kept_and_strict_is_dropped() -> None:
    body = translated(chat(tools=[tool("f", description="Does it.", strict=True)])).body
    assert body["functions"] == [{**F, "description": "Does it."}]


def test_what_only_gigachat_knows_about_functions_is_passed_on() -> None:
    examples = [{"request": "Do it", "params": {}}]
    body = translated(chat(tools=[tool("f", few_shot_examples=examples, return_parameters={"type": "object"})])).body
    assert body["functions"] == [{**F, "few_shot_examples": examples, "return_parameters": EMPTY}]


def test_the_deprecated_functions_are_functions() -> None:
    assert translated(chat(functions=[{"name": "f"}])).body["functions"] == [F]


@pytest.mark.parametrize(
    ("choice", "call"),
    [
        (None, "auto"),
        ("auto", "auto"),
        ("none", "none"),
        (named("g-1"), {"name": "g_1"}),
        (allowed("f", "g-1"), "auto"),
    ],
)
def test_a_choice_is_translated_and_all_functions_stay(choice: Any, call: Any) -> None:
    body = translated(chat(tools=[tool("f"), tool("g-1")], tool_choice=choice)).body
    assert body["function_call"] == call
    assert [function["name"] for function in body["functions"]] == ["f", "g_1"]


@pytest.mark.parametrize("choice", ["auto", "none", {"name": "f"}])
def test_the_deprecated_choice_is_translated(choice: Any) -> None:
    assert translated(chat(functions=[{"name": "f"}], function_call=choice)).body["function_call"] == choice


def test_a_required_call_of_the_only_function_is_forced() -> None:
    translation = translated(chat(tools=[tool("f")], tool_choice="required"))
    assert translation.body["function_call"] == {"name": "f"}
    assert translation.warnings == ()


def test_a_required_call_of_any_of_several_is_asked_for_in_words() -> None:
    translation = translated(chat(tools=[tool("f"), tool("g")], tool_choice="required"))
    assert translation.body["function_call"] == "auto"
    hint = translation.body["messages"][0]
    assert hint["role"] == "system"
    assert "call one of the functions" in hint["content"]
    assert translation.warnings == ("tool_choice_required_emulated",)


def test_strictness_refuses_a_required_call_of_any_of_several() -> None:
    request = chat(tools=[tool("f"), tool("g")], tool_choice="required")
    assert refusal(request, strict=True) == ("tool_choice", "unsupported_parameter")


def test_allowed_tools_leave_only_themselves() -> None:
    body = translated(chat(tools=[tool("f"), tool("g")], tool_choice=allowed("g"))).body
    assert (body["functions"], body["function_call"]) == ([G], "auto")


def test_the_only_allowed_tool_can_be_required() -> None:
    body = translated(chat(tools=[tool("f"), tool("g")], tool_choice=allowed("g", mode="required"))).body
    assert (body["functions"], body["function_call"]) == ([G], {"name": "g"})


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_a_choice_among_nothing_is_ignored(choice: str) -> None:
    assert "function_call" not in translated(chat(tool_choice=choice)).body


def test_parallel_calls_neither_matter_nor_warn() -> None:
    for wish in (True, False):
        assert translated(chat(tools=[tool("f")], parallel_tool_calls=wish)).warnings == ()


def test_a_function_of_the_history_alone_keeps_its_alias() -> None:
    request = chat(called(("1", "old-one", "{}")), result("1"), tools=[tool("f")])
    body = translated(request).body
    assert body["messages"][0]["function_call"]["name"] == "old_one"
    assert body["functions"] == [F]


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [tool("f"), tool("f")]}, "tools[1].function.name", "invalid_value"),
        ({"functions": [{"name": "f"}, {"name": "f"}]}, "functions[1].name", "invalid_value"),
        ({"functions": [{"name": "f"}], "tools": [tool("f")]}, "functions", "invalid_value"),
        ({"tools": [tool("f")], "tool_choice": named("g")}, "tool_choice", "invalid_value"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        (
            {"tools": [tool("f")], "tool_choice": {"type": "function"}},
            "tool_choice.function",
            "missing_required_parameter",
        ),
        ({"tools": [tool("f")], "tool_choice": {"type": "custom"}}, "tool_choice.type", "unsupported_value"),
        (
            {"tools": [tool("f")], "tool_choice": allowed("f", "g")},
            "tool_choice.allowed_tools.tools[1]",
            "invalid_value",
        ),
        ({"tools": [tool("f")], "tool_choice": allowed()}, "tool_choice.allowed_tools", "invalid_value"),
        (
            {"tools": [tool("f")], "tool_choice": allowed("f", mode="none")},
            "tool_choice.allowed_tools",
            "invalid_value",
        ),
        (
            {"tools": [tool("f")], "tool_choice": {"type": "allowed_tools"}},
            "tool_choice.allowed_tools",
            "invalid_value",
        ),
        (
            {"tools": [tool("f")], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [1]}}},
            "tool_choice.allowed_tools.tools[0]",
            "invalid_value",
        ),
        (
            {"tools": [tool("f", {"$ref": "https://example.org/s.json"})]},
            "tools[0].function.parameters",
            "invalid_value",
        ),
    ],
)
def test_what_cannot_be_offered_or_chosen_is_refused(members: dict[str, Any], param: str, code: str) -> None:
    assert refusal(chat(said("user"), **members)) == (param, code)

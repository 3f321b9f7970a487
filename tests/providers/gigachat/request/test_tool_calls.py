from __future__ import annotations

import re
from typing import Any

import pytest

from xrouter_asgi.providers.gigachat.request.tool_calls import (
    argument_text,
    call_id,
    coerced,
    ids_in,
    names_in,
    results_of,
    state_of,
)

from ..translating import STATE, STATE_ID, called, chat, result, said


def function_called(name: str) -> dict[str, Any]:
    return said("assistant", None, function_call={"name": name, "arguments": "{}"})


def test_results_are_found_by_the_id_of_the_call() -> None:
    request = chat(called(("a", "f", "{}"), ("b", "g", "{}")), result("b"), result("a"))
    assert results_of(request.messages) == {(0, 0): 2, (0, 1): 1}


def test_an_id_that_returns_means_the_latest_call() -> None:
    request = chat(called(("a", "f", "{}")), said("user"), called(("a", "f", "{}")), result("a"))
    assert results_of(request.messages) == {(2, 0): 3}


def test_two_calls_of_one_message_may_share_an_id() -> None:
    request = chat(called(("a", "f", "{}"), ("a", "g", "{}")), result("a"), result("a"))
    assert results_of(request.messages) == {(0, 0): 1, (0, 1): 2}


def test_a_result_before_its_call_does_not_count() -> None:
    assert results_of(chat(result("a"), called(("a", "f", "{}"))).messages) == {}


def test_deprecated_results_are_found_by_name() -> None:
    past = {"role": "function", "name": "f", "content": "{}"}
    assert results_of(chat(function_called("f"), past).messages) == {(0, 0): 1}
    assert results_of(chat(function_called("g"), past).messages) == {}


def test_an_id_that_looks_like_a_name_is_not_one() -> None:
    past = {"role": "function", "name": "f", "content": "{}"}
    assert results_of(chat(called(("f", "f", "{}")), past).messages) == {}


def test_names_and_ids_are_collected() -> None:
    request = chat(said("user"), called(("a", "f", "{}"), ("b", "g", "{}")), function_called("h"))
    assert names_in(request.messages) == ["f", "g", "h"]
    assert ids_in(request.messages) == {"a", "b"}


def test_a_long_history_is_paired_in_one_pass() -> None:
    turns = [item for n in range(5000) for item in (called((f"c{n}", "f", "{}")), said("user"))]
    request = chat(*turns, *(result(f"c{n}") for n in reversed(range(5000))))
    assert len(results_of(request.messages)) == 5000


def test_a_state_is_carried_in_the_id_and_found_again() -> None:
    assert call_id(STATE) == STATE_ID
    assert state_of(STATE_ID) == STATE
    assert len(STATE_ID) <= 40


@pytest.mark.parametrize("state", [None, 5, "", "no-uuid", STATE.upper(), STATE.replace("-", "")])
def test_a_state_that_would_not_come_back_the_same_is_not_carried(state: object) -> None:
    made = call_id(state)
    assert re.fullmatch("call_[0-9a-f]{24}", made)
    assert state_of(made) is None


def test_an_id_is_never_used_twice() -> None:
    assert call_id(STATE, used={STATE_ID}) != STATE_ID
    assert call_id(None) != call_id(None)


@pytest.mark.parametrize("foreign", ["call_abc", "toolu_01", f"{STATE_ID}0", STATE_ID.upper(), ""])
def test_an_id_of_another_provider_carries_no_state(foreign: str) -> None:
    assert state_of(foreign) is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"a": 1, "б": "в"}, '{"a":1,"б":"в"}'),
        ({}, "{}"),
        (None, "{}"),
        ("", "{}"),
        (5, "{}"),
        ('{ "a": 1 }', '{"a":1}'),
        ("[1]", "[1]"),
        ('{"a":', '{"a":'),
    ],
)
def test_arguments_become_compact_text(arguments: object, text: str) -> None:
    assert argument_text(arguments, None) == text


OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("kind", "value", "meant"),
    [
        ("integer", "5", 5),
        ("integer", "5.5", "5.5"),
        ("integer", "five", "five"),
        ("integer", "true", "true"),
        ("integer", 5, 5),
        ("number", "5", 5),
        ("number", "-0.5", -0.5),
        ("boolean", "true", True),
        ("boolean", "1", "1"),
        ("array", "[1]", [1]),
        ("array", "1", "1"),
        ("object", '{"a":1}', {"a": 1}),
        ("string", "5", "5"),
        ("string", 5, 5),
        ("integer", None, None),
        (None, "5", "5"),
    ],
)
def test_a_string_becomes_what_the_schema_declares(kind: str | None, value: Any, meant: Any) -> None:
    changed = coerced({"x": value}, {"type": "object", "properties": {"x": {"type": kind} if kind else {}}})["x"]
    assert (changed, type(changed)) == (meant, type(meant))


def test_coercion_reaches_into_objects_and_arrays() -> None:
    schema = {"type": "object", "properties": {"items": {"type": "array", "items": OBJECT}, "one": OBJECT}}
    value = {"items": [{"n": "1"}, {"n": "2"}], "one": '{"n":"3"}', "other": "4"}
    assert coerced(value, schema) == {"items": [{"n": 1}, {"n": 2}], "one": {"n": 3}, "other": "4"}

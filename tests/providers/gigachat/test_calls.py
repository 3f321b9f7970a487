from __future__ import annotations

import re
from typing import Any

import pytest

from xrouter_asgi.providers.gigachat.request.tool_calls import argument_text, call_id, coerced, state_of

from .translating import STATE, STATE_ID


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

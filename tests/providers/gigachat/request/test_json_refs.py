from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.errors import InvalidRequest
from xrouter_asgi.providers.gigachat.request.json_refs import inlined


def inline(schema: dict[str, Any], *, strict: bool = False) -> dict[str, Any]:
    return inlined(schema, strict=strict, param="p")


def test_references_are_inlined_and_their_targets_dropped() -> None:
    schema = {
        "$schema": "s",
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/T", "description": "Mine."},
            "b": {"type": "array", "items": {"$ref": "#/$defs/T"}},
            "c": {"anyOf": [{"$ref": "#/$defs/T"}, {"type": "null"}]},
        },
        "$defs": {"T": {"type": "integer", "minimum": 1}},
    }
    target = {"type": "integer", "minimum": 1}
    assert inline(schema) == {
        "type": "object",
        "properties": {
            "a": {**target, "description": "Mine."},
            "b": {"type": "array", "items": target},
            "c": {"anyOf": [target, {"type": "null"}]},
        },
    }


def test_what_is_no_schema_is_left_alone() -> None:
    schema = {
        "type": "object",
        "properties": {"$ref": {"type": "string"}, "definitions": {"const": {"$ref": "#/no"}}},
        "additionalProperties": False,
        "items": [True, {"title": "T"}],
        "properties2": 1,
        "patternProperties": 5,
        "default": {"$ref": "#/no"},
    }
    assert inline(schema) == schema


def test_strictness_requires_all_members_where_none_are_named() -> None:
    inner = {"type": "object", "properties": {"b": {}, "c": {}}}
    schema = {"type": "object", "properties": {"a": inner, "d": {"type": "object", "properties": {}}}}
    result = inline(schema, strict=True)
    assert result["required"] == ["a", "d"]
    assert result["properties"]["a"]["required"] == ["b", "c"]
    assert "required" not in result["properties"]["d"]
    assert inline(schema) == schema


def test_required_members_that_are_named_stay_as_they_are() -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]}
    assert inline(schema, strict=True) == schema


def test_a_cycle_ends_in_a_generic_object() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert inline(schema) == {"type": "object", "properties": {"next": {"type": "object", "properties": {}}}}


def test_a_remote_reference_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="not local"):
        inline({"$ref": "https://example.org/s.json"})

"""JSON Schemas as the Messages API takes them for strict tools and for structured output."""

from __future__ import annotations

from typing import Any

_NAMED = ("properties", "$defs", "definitions")
_ONE = ("items", "not", "additionalProperties")
_SEVERAL = ("anyOf", "allOf", "oneOf", "prefixItems")


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with `additionalProperties: false` in every object that does not say what else it may hold.

    The API refuses a schema without it. What fits the result fits the schema, too.
    """
    result = {name: _inner(name, value) for name, value in schema.items()}
    if schema.get("type") == "object" or "properties" in schema:
        result.setdefault("additionalProperties", False)
    return result


def _inner(name: str, value: Any) -> Any:
    if name in _NAMED and isinstance(value, dict):
        return {each: closed(inner) if isinstance(inner, dict) else inner for each, inner in value.items()}
    if name in _ONE and isinstance(value, dict):
        return closed(value)
    if name in _SEVERAL and isinstance(value, list):
        return [closed(inner) if isinstance(inner, dict) else inner for inner in value]
    return value

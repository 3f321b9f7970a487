"""A client's JSON schema for native structured output: references inlined, everything else kept."""

from __future__ import annotations

from typing import Any

from .json_refs import MAX_DEPTH, ROOT, References, Schema, Trail

_MAPS = {"properties", "patternProperties", "dependentSchemas"}
_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
_SINGLE = {"items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else"}

# GigaChat is unreliable with these, and without references nothing needs them.
_DROPPED = {"$defs", "definitions", "$schema", "$id", "$anchor", "$comment"}


def inlined(schema: Schema, *, strict: bool, param: str) -> Schema:
    """The schema without references.

    Args:
        strict: Require all members of an object that has no `required`: GigaChat's strict mode may else return
            arbitrary JSON.
        param: Where the schema stands in the request, for errors.

    Raises:
        InvalidRequest: See `References`.
    """
    result: Schema = _Inliner(References(schema, param=param), strict=strict).node(schema, ROOT, depth=0)
    return result


class _Inliner:
    def __init__(self, references: References, *, strict: bool) -> None:
        self._references = references
        self._strict = strict

    def node(self, schema: Any, trail: Trail, *, depth: int) -> Any:
        self._references.count()
        if not isinstance(schema, dict):
            return schema
        followed = self._references.follow(schema, trail)
        if followed is None or depth > MAX_DEPTH:
            return {"type": "object", "properties": {}}
        schema, trail = followed
        result = {
            word: self._member(word, value, trail, depth=depth + 1)
            for word, value in schema.items()
            if word not in _DROPPED
        }
        properties = result.get("properties")
        if self._strict and isinstance(properties, dict) and properties and "required" not in result:
            result["required"] = list(properties)
        return result

    def _member(self, word: str, value: Any, trail: Trail, *, depth: int) -> Any:
        if word in _MAPS and isinstance(value, dict):
            return {name: self.node(member, trail, depth=depth) for name, member in value.items()}
        if isinstance(value, list) and (word in _LISTS or word == "items"):
            return [self.node(member, trail, depth=depth) for member in value]
        return self.node(value, trail, depth=depth) if word in _SINGLE else value

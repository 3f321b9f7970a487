"""`$ref` in a client's JSON schema: follows local ones, stops cycles and floods, refuses remote ones."""

from __future__ import annotations

from typing import Any, TypeAlias
from urllib.parse import unquote

from ....errors import InvalidRequest
from .diagnostics import invalid

Schema: TypeAlias = dict[str, Any]
Trail: TypeAlias = frozenset[str]

MAX_NODES = 10_000
"""A few references to references can expand to millions of nodes. The largest schema of a real tool has hundreds."""

MAX_DEPTH = 32
"""Levels of a schema: as many as 64 levels of JSON can hold without references."""

ROOT: Trail = frozenset({"#"})

_MAPS = {"properties", "patternProperties", "dependentSchemas"}
_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
_SINGLE = {"items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else"}

# GigaChat is unreliable with these, and without references nothing needs them.
_DROPPED = {"$defs", "definitions", "$schema", "$id", "$anchor", "$comment"}


class References:
    """The references to `root`, the schema at `param` of the request, with a budget for what they expand to."""

    def __init__(self, root: Schema, *, param: str) -> None:
        self._root = root
        self._param = param
        self._nodes = 0

    def count(self) -> None:
        """Count one expanded node. Raises InvalidRequest beyond `MAX_NODES`."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._invalid(f"it expands to more than {MAX_NODES} nodes. Use fewer or smaller definitions")

    def follow(self, schema: Schema, trail: Trail, *, depth: int) -> tuple[Schema, Trail] | None:
        """Replace the `$ref` of a node by its target, overlaid with the members beside the reference.

        Returns the schema and the longer trail; None for a cycle, or beyond `MAX_DEPTH` references or levels.
        Raises InvalidRequest if the reference is not local, or points to nothing.
        """
        while isinstance(reference := schema.get("$ref"), str):
            if reference in trail or len(trail) > MAX_DEPTH:
                return None
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self._target(reference), **beside}
            trail = trail | {reference}
        return None if depth > MAX_DEPTH else (schema, trail)

    def _target(self, reference: str) -> Schema:
        pointer = unquote(reference[1:])
        if not reference.startswith("#") or (pointer and not pointer.startswith("/")):
            raise self._invalid(f"the reference {reference[:64]!r} is not local. Write one such as '#/$defs/Name'")
        target: Any = self._root
        for step in pointer.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")  # RFC 6901, section 4
            if isinstance(target, list) and key.isdecimal() and len(key) < 8 and int(key) < len(target):
                target = target[int(key)]
            elif isinstance(target, dict) and key in target:
                target = target[key]
            else:
                raise self._invalid(f"the reference {reference[:64]!r} points to nothing")
        if isinstance(target, bool):
            return {}
        if not isinstance(target, dict):
            raise self._invalid(f"the reference {reference[:64]!r} does not point to a schema")
        return target

    def _invalid(self, reason: str) -> InvalidRequest:
        return invalid(self._param, reason)


def inlined(schema: Schema, *, strict: bool, param: str) -> Schema:
    """The schema with its references inlined and everything else kept. Raises InvalidRequest as `References` does.

    If `strict`, all members of an object that has no `required` are required: otherwise GigaChat's strict mode may
    return arbitrary JSON.
    """
    result: Schema = _Inliner(schema, strict=strict, param=param).node(schema, ROOT, depth=0)
    return result


class _Inliner(References):
    def __init__(self, root: Schema, *, strict: bool, param: str) -> None:
        super().__init__(root, param=param)
        self._strict = strict

    def node(self, schema: Any, trail: Trail, *, depth: int) -> Any:
        self.count()
        if not isinstance(schema, dict):
            return schema
        followed = self.follow(schema, trail, depth=depth)
        if followed is None:
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

"""`$ref` in a client's JSON schema: follows local ones, stops cycles and floods, refuses remote ones."""

from __future__ import annotations

from typing import Any, TypeAlias
from urllib.parse import unquote

from ....errors import InvalidRequest
from ....wire.codec import encode
from .diagnostics import invalid

Schema: TypeAlias = dict[str, Any]
Trail: TypeAlias = frozenset[str]

MAX_NODES = 20_000
"""Of all functions of a request. A few references to references can expand to millions; real tools have hundreds."""

MAX_TEXT = 4 << 20
"""Bytes of names, descriptions and the like in those nodes. What is referred to twice counts twice."""

MAX_DEPTH = 32
"""Levels of a schema: as many as 64 levels of JSON can hold without references."""

ROOT: Trail = frozenset({"#"})

_MAPS = {"properties", "patternProperties", "dependentSchemas"}
_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
_SINGLE = {"items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else"}

# GigaChat is unreliable with these, and without references nothing needs them.
_DROPPED = {"$defs", "definitions", "$schema", "$id", "$anchor", "$comment"}


class Budget:
    """What the schemas of one request may still expand to."""

    def __init__(self) -> None:
        self.nodes = MAX_NODES
        self.text = MAX_TEXT


class References:
    """The references to `root`, the schema at `param` of the request, with a budget for what they expand to."""

    def __init__(self, root: Schema, *, param: str, budget: Budget) -> None:
        self._root = root
        self._param = param
        self._budget = budget

    def count(self) -> None:
        """Count one expanded node. Raises InvalidRequest beyond `MAX_NODES`."""
        self._budget.nodes -= 1
        if self._budget.nodes < 0:
            raise self._invalid(f"it expands to more than {MAX_NODES} nodes. Use fewer or smaller definitions")

    def _count_text(self, size: int) -> None:
        self._budget.text -= size
        if self._budget.text < 0:
            raise self._invalid(f"it expands to more than {MAX_TEXT >> 20} MiB. Use fewer or shorter definitions")

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
            self._count_text(len(reference))
        if depth > MAX_DEPTH:
            return None
        self._count_text(sum(_text_size(word, value) for word, value in schema.items() if word not in _DROPPED))
        return schema, trail

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


def _text_size(word: str, value: Any) -> int:
    """The bytes of a member, without those of the nodes in it."""
    if word in _MAPS and isinstance(value, dict):
        return len(word) + sum(len(name) + _leaf_size(node) for name, node in value.items())
    if (word in _LISTS or word == "items") and isinstance(value, list):
        return len(word) + sum(map(_leaf_size, value))
    return len(word) + (_leaf_size(value) if word in _SINGLE else len(encode(value)))


def _leaf_size(node: Any) -> int:
    return 0 if isinstance(node, dict) else len(encode(node))


def inlined(schema: Schema, *, strict: bool, param: str) -> Schema:
    """The schema with its references inlined and everything else kept. Raises InvalidRequest as `References` does.

    If `strict`, all members of an object that has no `required` are required: otherwise GigaChat's strict mode may
    return arbitrary JSON.
    """
    result: Schema = _Inliner(schema, strict=strict, param=param).node(schema, ROOT, depth=0)
    return result


class _Inliner(References):
    def __init__(self, root: Schema, *, strict: bool, param: str) -> None:
        super().__init__(root, param=param, budget=Budget())
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

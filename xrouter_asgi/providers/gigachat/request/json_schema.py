"""A tool's JSON schema -> the dialect GigaChat's functions take.

GigaChat knows `type`, `description`, `enum` of strings, `items`, `properties` and `required`; every object must have
`properties`, or it answers 422 `Field 'properties.x.properties' is missing`. References and unions are resolved.
Everything else goes into the description, where the model still reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....wire.codec import encode
from .json_refs import ROOT, Budget, References, Schema, Trail

_TYPES = {"string", "number", "integer", "boolean", "array", "object"}
_STRUCTURE = {"type", "enum", "const", "properties", "required", "additionalProperties", "items", "prefixItems"}

_OF_OBJECTS = (("properties", dict), ("required", list), ("additionalProperties", dict))

# GigaChat has no words for these, but a model can read them.
_CONSTRAINTS = (
    *("format", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "default"),
)
_MAX_NOTE = 300


def normalised(schema: Schema | None, *, param: str, budget: Budget) -> Schema:
    """The `parameters` of a function: always an object with `properties`, empty for None and `{}`.

    Args:
        budget: Of all functions of the request together.

    Raises InvalidRequest about `param` for a reference that is remote or points to nothing, and for a schema that
    expands beyond all bounds.
    """
    root = dict(schema or {})
    result = _Normaliser(root, param=param, budget=budget).node(root, ROOT, depth=0)
    if "type" not in result:
        result = _object({}, [])
    elif result["type"] != "object":
        # Arguments are an object: anything else becomes its only member.
        result = _object({"value": _ordered({"description": "", **result})}, ["value"])
    return _ordered(result)


class _Normaliser(References):
    """Walks one schema. A node has no `type` as long as nothing says what it is."""

    def node(self, schema: object, trail: Trail, *, depth: int) -> Schema:
        self.count()
        if not isinstance(schema, dict):  # `true` and `false` are schemas too
            return {}
        followed = self.follow(schema, trail, depth=depth)
        if followed is None:
            return _object({}, [])
        schema, trail = followed
        parts = [self.node(part, trail, depth=depth + 1) for part in _schemas(schema, "allOf")]
        for word in ("anyOf", "oneOf"):
            variants = [variant for variant in _schemas(schema, word) if not _is_null(variant)]
            if variants:
                parts.append(_either([self.node(variant, trail, depth=depth + 1) for variant in variants]))
        if not _STRUCTURE.isdisjoint(schema):
            parts.insert(0, self._plain(schema, trail, depth=depth))
        merged = _all(parts)
        description = _described(schema, merged)
        merged.pop("description", None)
        return {**merged, "description": description} if description else merged

    def _plain(self, schema: Schema, trail: Trail, *, depth: int) -> Schema:
        """The node without its unions."""
        match kind := _type(schema):
            case "object":
                members = schema.get("properties")
                properties = {
                    str(name): self._child(member, trail, depth=depth)
                    for name, member in (members.items() if isinstance(members, dict) else ())
                }
                return _object(properties, schema.get("required"))
            case "array":
                items = schema.get("items", schema.get("prefixItems"))
                if isinstance(items, list):  # a tuple
                    items = items[0] if items else None
                return {"type": "array", "items": self._child(items, trail, depth=depth)}
            case "string" if values := _strings(schema):
                return {"type": "string", "enum": values}
            case None:
                return {}
        return {"type": kind}

    def _child(self, schema: object, trail: Trail, *, depth: int) -> Schema:
        """A node in its final form: with a type and a description."""
        return _ordered({"type": "string", "description": "", **self.node(schema, trail, depth=depth + 1)})


def _object(properties: dict[str, Schema], required: object) -> Schema:
    result: Schema = {"type": "object", "properties": properties}
    names = required if isinstance(required, list) else []
    if names := [name for name in names if isinstance(name, str) and name in properties]:
        result["required"] = list(dict.fromkeys(names))
    return result


def _ordered(schema: Schema) -> Schema:
    order = ("type", "description", "enum", "items", "properties", "required")
    return {key: schema[key] for key in order if key in schema}


def _schemas(schema: Schema, word: str) -> list[Any]:
    value = schema.get(word)
    return value if isinstance(value, list) else []


def _is_null(schema: object) -> bool:
    return isinstance(schema, dict) and (
        schema.get("type") == "null" or schema.get("enum") == [None] or ("const" in schema and schema["const"] is None)
    )


def _type(schema: Schema) -> str | None:
    """The type that is declared, the first non-null one of several, or what the other words imply."""
    declared = schema.get("type")
    for kind in declared if isinstance(declared, list) else [declared]:
        if isinstance(kind, str) and kind in _TYPES:
            return kind
    if any(isinstance(schema.get(word), kind) for word, kind in _OF_OBJECTS):
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return _type_of(_values(schema))


def _values(schema: Schema) -> list[Any]:
    """What `enum` or `const` allows, without null."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return [value for value in values if value is not None] if isinstance(values, list) else []


def _strings(schema: Schema) -> list[str]:
    values = _values(schema)
    return list(dict.fromkeys(values)) if all(isinstance(value, str) for value in values) else []


def _type_of(values: Sequence[Any]) -> str | None:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "integer"
    if kinds and kinds <= {int, float}:
        return "number"
    return "string" if kinds else None


def _all(parts: Sequence[Schema]) -> Schema:
    """One node that satisfies every part. The first type wins; members of objects are collected."""
    merged: Schema = {}
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for part in parts:
        if merged.get("type") not in (None, part.get("type")):
            continue
        if part.get("type") == "object":
            properties |= part["properties"]
            required += _required(part)
        merged = {**part, **merged}
    return {**merged, **_object(properties, required)} if merged.get("type") == "object" else merged


def _either(variants: Sequence[Schema]) -> Schema:
    """One node for several variants. The description tells them apart."""
    if len(variants) == 1:
        return dict(variants[0])
    kinds = {variant.get("type") for variant in variants}
    if kinds == {"object"}:
        return _either_object(variants)
    if kinds == {"string"} and all("enum" in variant for variant in variants):
        return {"type": "string", "enum": list(dict.fromkeys(value for item in variants for value in item["enum"]))}
    # A list of strings also says a string; a string does not say a list.
    composite = next((variant for variant in variants if variant.get("type") in ("array", "object")), None)
    base = composite or {"type": (kinds.pop() if len(kinds) == 1 else None) or "string"}
    return {**base, "description": _variants(variants)}


def _either_object(variants: Sequence[Schema]) -> Schema:
    """All members of all variants. Only what each of them requires is required."""
    properties = {name: member for variant in reversed(variants) for name, member in variant["properties"].items()}
    everywhere = set.intersection(*(set(_required(variant)) for variant in variants))
    required = [name for name in _required(variants[0]) if name in everywhere]
    return {**_object(properties, required), "description": _variants(variants)}


def _required(schema: Schema) -> list[str]:
    required: list[str] = schema.get("required", [])
    return required


def _variants(variants: Sequence[Schema]) -> str:
    texts = dict.fromkeys(_variant(variant) for variant in variants)
    return f"One of: {'; '.join(texts)}."[:_MAX_NOTE] if len(texts) > 1 else ""


def _variant(schema: Schema) -> str:
    kind = schema.get("type", "anything")
    if "enum" in schema:
        kind += " " + ", ".join(schema["enum"])
    elif kind == "object":
        kind += " with " + (", ".join(schema["properties"]) or "any members")
    return f"{kind} ({schema['description']})" if schema.get("description") else kind


def _described(schema: Schema, merged: Schema) -> str:
    """The client's description, followed by what GigaChat has no words for."""
    own = schema.get("description")
    notes = [own if isinstance(own, str) else "", str(merged.get("description", ""))]
    values = _values(schema)
    if values and "enum" not in merged:
        notes.append(f"One of: {', '.join(_shown(value) for value in values)}."[:_MAX_NOTE])
    extra = schema.get("additionalProperties")
    if merged.get("properties") == {} and (extra is True or isinstance(extra, dict)):
        kind = _type(extra) if isinstance(extra, dict) else None
        notes.append(f"Any members of type {kind} are allowed." if kind else "Any members are allowed.")
    said = [
        f"{word}: {_shown(schema[word])}" for word in _CONSTRAINTS if word in schema and _matters(word, schema[word])
    ]
    if said:
        notes.append(f"{'; '.join(said)}."[:_MAX_NOTE])
    return " ".join(dict.fromkeys(note for note in notes if note))


def _matters(word: str, value: object) -> bool:
    return value is not None and value != "" and (value is not False or word == "default")


def _shown(value: object) -> str:
    return value if isinstance(value, str) else encode(value).decode()

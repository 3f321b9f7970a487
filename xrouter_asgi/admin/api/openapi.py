"""The OpenAPI 3.1 document of the operator's API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import CoreSchema

from ...wire.answers import ErrorEnvelope
from .operation import AdminOperation, adapter

_ERRORS = (401, 403, 405, 429, 500, 503)
_BODY_ERRORS = (408, 413, 415)
_SCHEMES = {"key": {"type": "http", "scheme": "bearer", "description": "A key of kind `admin`."}}


def openapi(operations: Sequence[AdminOperation], mount: str) -> dict[str, Any]:
    """The document of these operations, which are reached under `mount`, a path without an ending slash."""
    kinds: list[tuple[Any, JsonSchemaMode, CoreSchema]] = [(ErrorEnvelope, "serialization", _core(ErrorEnvelope))]
    for each in operations:
        kinds.append((each.answer, "serialization", _core(each.answer)))
        kinds += [(kind, "validation", _core(kind)) for kind in (each.body, each.query) if kind is not None]
    unique = list({(kind, mode): (kind, mode, core) for kind, mode, core in kinds}.values())
    generator = GenerateJsonSchema(ref_template="#/components/schemas/{model}")
    schemas, definitions = generator.generate_definitions(unique)
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        told = _operation(each, schemas, definitions)
        paths.setdefault(re.sub(r":path}", "}", each.path), {})[each.method.lower()] = told
    return {
        "openapi": "3.1.0",
        "info": {"title": "xrouter, the operator's API", "version": "1"},
        "servers": [{"url": mount or "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {"schemas": definitions, "securitySchemes": _SCHEMES},
    }


def _core(kind: Any) -> CoreSchema:
    return adapter(kind).core_schema


def _operation(each: AdminOperation, schemas: Any, definitions: Any) -> dict[str, Any]:
    statuses = {*_ERRORS, *each.errors, *(_BODY_ERRORS if each.body is not None else ())}
    error = {"application/json": {"schema": schemas[ErrorEnvelope, "serialization"]}}
    told: dict[str, Any] = {
        "operationId": _words(each),
        "summary": each.summary,
        "parameters": [*_variables(each.path), *_parameters(each.query, schemas, definitions)],
        "responses": {
            str(each.status): {
                "description": each.summary,
                "content": {each.media: {"schema": schemas[each.answer, "serialization"]}},
            },
            **{
                str(status): {"description": HTTPStatus(status).phrase, "content": error} for status in sorted(statuses)
            },
        },
    }
    if each.body is not None:
        told["requestBody"] = {"content": {"application/json": {"schema": schemas[each.body, "validation"]}}}
    return told


def _words(each: AdminOperation) -> str:
    """Such as `post_api_keys_id_rotate`: it stays the same whatever else changes."""
    return f"{each.method.lower()}{re.sub(r'[^a-z]+', '_', each.path.replace(':path', ''))}".rstrip("_")


def _variables(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)(?::path)?\}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _parameters(query: type[BaseModel] | None, schemas: Any, definitions: Any) -> list[dict[str, Any]]:
    if query is None:
        return []
    reference = schemas[query, "validation"]["$ref"].rpartition("/")[2]
    schema = definitions[reference]
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": _not_null(property)}
        for name, property in schema["properties"].items()
    ]


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is left out is no null."""
    variants = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    return variants[0] if len(variants) == 1 else {key: value for key, value in schema.items() if key != "default"}

"""The OpenAPI 3.1 document, made from the table of dialects and the wire models."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ..dialects import DIALECTS
from ..dialects.base import Operation
from ..wire.answers import DeletedResponse, ErrorEnvelope, InputItems, Model, ModelsAnswer, ResponseAnswer, Status

_COUNTING = {dialect.counting.path: dialect.counting.operation for dialect in DIALECTS if dialect.counting is not None}
_OPERATIONS = [*(dialect.operation for dialect in DIALECTS), *_COUNTING.values()]
_REQUESTS = [operation.request for operation in _OPERATIONS]
_ANSWERS = [
    *(operation.answer for operation in _OPERATIONS),
    *(ErrorEnvelope, Model, ModelsAnswer, Status),
    *(DeletedResponse, InputItems, ResponseAnswer),
]
_ERRORS = {
    "post": (400, 401, 403, 404, 405, 413, 415, 429, 500, 502, 503, 504),
    "get": (401, 403, 404, 405, 429, 500, 503),
    "page": (400, 401, 403, 404, 405, 429, 500, 503),
}


def openapi(server: str) -> dict[str, Any]:
    """The document for a router that is reached under `server`, a path or a URL."""
    return {**_document(), "servers": [{"url": server}]}


@cache
def _document() -> dict[str, Any]:
    modes = [(model, "validation") for model in _REQUESTS] + [(model, "serialization") for model in _ANSWERS]
    _, schemas = models_json_schema(modes, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]  # the literals widen to str in a list
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "xrouter_asgi",
            "version": "1",
            "description": "An OpenAI-compatible LLM gateway. Every answer that is not a 2xx holds the error envelope.",
        },
        "security": [{}, {"bearer": []}],  # middlewares before the router may ask for a key
        "paths": _paths(),
        "components": {
            "schemas": _any_of(schemas["$defs"]),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The gateway's key, if it wants one.",
                }
            },
        },
    }


def _paths() -> dict[str, Any]:
    model_id = _parameter("id", "path", {"type": "string", "minLength": 1})
    return {
        **{"/v1" + dialect.path: {"post": _post(dialect.operation)} for dialect in DIALECTS},
        **{"/v1" + path: {"post": _post(operation)} for path, operation in _COUNTING.items()},
        **_stored(),
        "/v1/models": {"get": _get("listModels", "The models that can be called", ModelsAnswer)},
        "/v1/models/{id}": {
            "parameters": [model_id],
            "get": _get("retrieveModel", "One model; its id may hold slashes", Model),
        },
        "/health": {"get": {**_get("health", "Whether the process lives", Status), "security": []}},
        "/ready": {"get": {**_get("ready", "Whether it takes new work", Status), "security": []}},
    }


def _stored() -> dict[str, Any]:
    parameters = [_parameter("id", "path", {"type": "string", "pattern": "^[^/]+$"})]
    page = [
        _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        _parameter("order", "query", {"enum": ["asc", "desc"], "default": "desc"}),
        _parameter("after", "query", {"type": "string"}),
    ]
    delete = _get("deleteResponse", "Forget a response", DeletedResponse)
    get = _get("retrieveResponse", "A response that is kept", ResponseAnswer, errors=_ERRORS["page"])
    listing = _get("listInputItems", "What a response answered", InputItems, errors=_ERRORS["page"])
    return {
        "/v1/responses/{id}": {"parameters": parameters, "get": get, "delete": delete},
        "/v1/responses/{id}/input_items": {"parameters": parameters, "get": {**listing, "parameters": page}},
    }


def _parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _post(operation: Operation) -> dict[str, Any]:
    content = _json(operation.answer)
    if operation.event is not None:
        # OpenAPI 3.1 has no word for the items of a stream; its tools read the schema as that of one event.
        content["text/event-stream"] = {"schema": operation.event, "example": operation.stream}
    request = _json(operation.request)
    request["application/json"]["example"] = operation.example
    return {
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": _responses(operation.summary, content, _ERRORS["post"]),
        "requestBody": {"required": True, "content": request},
    }


def _get(name: str, summary: str, answer: type[BaseModel], *, errors: Sequence[int] = _ERRORS["get"]) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": _responses(summary, _json(answer), errors)}


def _responses(summary: str, content: dict[str, Any], errors: Sequence[int]) -> dict[str, Any]:
    answers = {"200": {"description": summary, "headers": _headers(), "content": content}}
    for status in errors:
        phrase = HTTPStatus(status).phrase
        answers[str(status)] = {"description": phrase, "headers": _headers(), "content": _json(ErrorEnvelope)}
    return answers


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def _headers() -> dict[str, Any]:
    return {"x-request-id": {"description": "The id of this request in logs.", "schema": {"type": "string"}}}


def _any_of(schema: Any) -> Any:
    """The same schema with `anyOf` for `oneOf`: a value may match a null and a variant at once."""
    if isinstance(schema, dict):
        return {("anyOf" if key == "oneOf" else key): _any_of(value) for key, value in schema.items()}
    return [_any_of(item) for item in schema] if isinstance(schema, list) else schema

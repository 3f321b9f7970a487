"""The OpenAPI 3.1 document, made from the table of dialects and the wire models."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .. import envelopes
from ..dialects import DIALECTS
from ..dialects.base import Dialect, Operation
from ..dialects.responses import RESPONSES
from ..ledger.report import SINCE
from ..wire.answers import (
    AnthropicErrorEnvelope,
    AnthropicModel,
    AnthropicModelsAnswer,
    DeletedResponse,
    ErrorEnvelope,
    InputItems,
    Model,
    ModelsAnswer,
    NoModelsAnswer,
    ResponseAnswer,
    Status,
    UsageAnswer,
)
from .usage import SPLIT_BY

_LISTS = (ModelsAnswer, AnthropicModelsAnswer, NoModelsAnswer)
_ANSWERS = (AnthropicErrorEnvelope, ErrorEnvelope, Model, AnthropicModel, *_LISTS, Status)
_KEPT = (DeletedResponse, InputItems, ResponseAnswer)
_POST_ERRORS: dict[envelopes.Envelope, tuple[type[BaseModel], tuple[int, ...]]] = {
    envelopes.openai: (ErrorEnvelope, (400, 401, 403, 404, 405, 413, 415, 429, 500, 502, 503, 504)),
    envelopes.anthropic: (
        AnthropicErrorEnvelope,
        (400, 401, 402, 403, 404, 405, 413, 415, 429, 500, 502, 503, 504, 529),
    ),
}
_GET_ERRORS = (401, 403, 404, 405, 429, 500, 503)
_OVERLOADED = 529  # Anthropic's own


def openapi(server: str, dialects: Sequence[Dialect] = DIALECTS, *, usage: bool = False) -> dict[str, Any]:
    """The document for a router that is reached under `server`, a path or a URL.

    Args:
        dialects: What it serves.
        usage: Whether it tells callers what they have used.
    """
    return {**_document(tuple(dialects), usage), "servers": [{"url": server}]}


@cache
def _document(dialects: tuple[Dialect, ...], usage: bool) -> dict[str, Any]:
    posts = {dialect.path: (dialect.operation, dialect.envelope) for dialect in dialects} | {
        dialect.counting.path: (dialect.counting.operation, dialect.envelope)
        for dialect in dialects
        if dialect.counting is not None
    }
    operations = [operation for operation, _ in posts.values()]
    kept = RESPONSES in dialects
    answers = [
        *(operation.answer for operation in operations),
        *_ANSWERS,
        *(_KEPT if kept else ()),
        *([UsageAnswer] if usage else []),
    ]
    modes = [(operation.request, "validation") for operation in operations]
    modes += [(model, "serialization") for model in answers]
    _, schemas = models_json_schema(modes, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]  # the literals widen to str in a list
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "xrouter_asgi",
            "version": "1",
            "description": "An LLM gateway for OpenAI's and Anthropic's clients. Each is told errors in its envelope.",
        },
        "security": [{}, {"bearer": []}],  # middlewares before the router may ask for a key
        "paths": {
            **{"/v1" + path: {"post": _post(*post)} for path, post in posts.items()},
            **_paths(kept=kept, usage=usage),
        },
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


def _paths(*, kept: bool, usage: bool) -> dict[str, Any]:
    version = _parameter("anthropic-version", "header", {"type": "string"})
    version["description"] = "Whoever sends it is answered as by Anthropic."
    model_id = _parameter("id", "path", {"type": "string", "minLength": 1})
    return {
        **(_stored() if kept else {}),
        **(_usage() if usage else {}),
        "/v1/models": {
            "parameters": [version],
            "get": _get("listModels", "The models that can be called", *_LISTS, errors=(400, *_GET_ERRORS)),
        },
        "/v1/models/{id}": {
            "parameters": [model_id, version],
            "get": _get("retrieveModel", "One model; its id may hold slashes", Model, AnthropicModel),
        },
        "/health": {"get": {**_get("health", "Whether the process lives", Status), "security": []}},
        "/ready": {"get": {**_get("ready", "Whether it takes new work", Status), "security": []}},
    }


def _usage() -> dict[str, Any]:
    since = _parameter("since", "query", {"type": "string", "default": SINCE})
    since["description"] = "12h, 30d or 4w ago, or 2026-11, 2026-11-30. Days are counted whole."
    by = _parameter("by", "query", {"type": "array", "items": {"enum": [*SPLIT_BY]}, "uniqueItems": True})
    by |= {"style": "form", "explode": False, "description": "What to split the sums by."}
    get = _get("retrieveUsage", "What the caller's own key has used", UsageAnswer, errors=(400, *_GET_ERRORS))
    return {"/v1/usage": {"get": {**get, "parameters": [since, by]}}}


def _stored() -> dict[str, Any]:
    parameters = [_parameter("id", "path", {"type": "string", "pattern": "^[^/]+$"})]
    page = [
        _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        _parameter("order", "query", {"enum": ["asc", "desc"], "default": "desc"}),
        _parameter("after", "query", {"type": "string"}),
    ]
    errors = (400, *_GET_ERRORS)
    delete = _get("deleteResponse", "Forget a response", DeletedResponse)
    get = _get("retrieveResponse", "A response that is kept", ResponseAnswer, errors=errors)
    listing = _get("listInputItems", "What a response answered", InputItems, errors=errors)
    return {
        "/v1/responses/{id}": {"parameters": parameters, "get": get, "delete": delete},
        "/v1/responses/{id}/input_items": {"parameters": parameters, "get": {**listing, "parameters": page}},
    }


def _parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _post(operation: Operation, envelope: envelopes.Envelope) -> dict[str, Any]:
    told, errors = _POST_ERRORS[envelope]
    content = _json(operation.answer)
    if operation.event is not None:
        # OpenAPI 3.1 has no word for the items of a stream; its tools read the schema as that of one event.
        content["text/event-stream"] = {"schema": operation.event, "example": operation.stream}
    request = _json(operation.request)
    request["application/json"]["example"] = operation.example
    return {
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": _responses(operation.summary, content, _json(told), errors),
        "requestBody": {"required": True, "content": request},
    }


def _get(name: str, summary: str, *answers: type[BaseModel], errors: Sequence[int] = _GET_ERRORS) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "responses": _responses(summary, _json(*answers), _json(ErrorEnvelope, AnthropicErrorEnvelope), errors),
    }


def _responses(summary: str, content: dict[str, Any], error: dict[str, Any], errors: Sequence[int]) -> dict[str, Any]:
    answers = {"200": {"description": summary, "headers": _headers(), "content": content}}
    for status in errors:
        phrase = "Overloaded" if status == _OVERLOADED else HTTPStatus(status).phrase
        answers[str(status)] = {"description": phrase, "headers": _headers(), "content": error}
    return answers


def _json(*models: type[BaseModel]) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return {"application/json": {"schema": references[0] if len(references) == 1 else {"anyOf": references}}}


def _headers() -> dict[str, Any]:
    return {"x-request-id": {"description": "The id of this request in logs.", "schema": {"type": "string"}}}


def _any_of(schema: Any) -> Any:
    """The same schema with `anyOf` for `oneOf`: a value may match a null and a variant at once."""
    if isinstance(schema, dict):
        return {("anyOf" if key == "oneOf" else key): _any_of(value) for key, value in schema.items()}
    return [_any_of(item) for item in schema] if isinstance(schema, list) else schema

"""The OpenAPI 3.1 document, made from the table of dialects and the wire models."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ... import envelopes
from ...dialects import DIALECTS
from ...dialects.base import Dialect, Operation
from ...dialects.responses import RESPONSES
from ...ledger.report import SINCE
from ...wire.answers import (
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
from ..usage import SPLIT_BY
from .parts import HEADERS, SECURITY, TAGS, headers, told
from .words import described

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
            "version": version("xrouter-asgi"),
            "description": "An LLM gateway for OpenAI's and Anthropic's clients. Each is told errors in its envelope.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": tag, "description": words} for tag, words in TAGS.items() if usage or tag != "Usage"],
        "security": [{}, *({scheme: []} for scheme in SECURITY)],  # middlewares before the router may ask for a key
        "paths": {
            **{"/v1" + path: {"post": _post(*post)} for path, post in posts.items()},
            **_paths(kept=kept, usage=usage),
        },
        "components": {
            "schemas": described(_any_of(schemas["$defs"])),
            "headers": HEADERS,
            "securitySchemes": SECURITY,
        },
    }


def _paths(*, kept: bool, usage: bool) -> dict[str, Any]:
    shape = _parameter("anthropic-version", "header", "Whoever sends it is answered as by Anthropic.")
    model_id = _parameter("id", "path", "The name of a model.", minLength=1)
    return {
        **(_stored() if kept else {}),
        **(_usage() if usage else {}),
        "/v1/models": {
            "parameters": [shape],
            "get": _get("listModels", "Models", "The models that can be called", *_LISTS, errors=(400, *_GET_ERRORS)),
        },
        "/v1/models/{id}": {
            "parameters": [model_id, shape],
            "get": _get("retrieveModel", "Models", "One model; its id may hold slashes", Model, AnthropicModel),
        },
        "/health": {"get": {**_get("health", "Health", "Whether the process lives", Status), "security": []}},
        "/ready": {"get": {**_get("ready", "Health", "Whether it takes new work", Status), "security": []}},
    }


def _usage() -> dict[str, Any]:
    since = _parameter("since", "query", "12h, 30d or 4w ago, or 2026-11, 2026-11-30. Days are counted whole.")
    since["schema"]["default"] = SINCE
    by = _parameter("by", "query", "What to split the sums by.", "array", items={"enum": [*SPLIT_BY]}, uniqueItems=True)
    by |= {"style": "form", "explode": False}
    get = _get("retrieveUsage", "Usage", "What the caller's own key has used", UsageAnswer, errors=(400, *_GET_ERRORS))
    return {"/v1/usage": {"get": {**get, "parameters": [since, by]}}}


def _stored() -> dict[str, Any]:
    parameters = [_parameter("id", "path", "The id of a response.", pattern="^[^/]+$")]
    page = [
        _parameter("limit", "query", "How many items at most.", "integer", minimum=1, maximum=100, default=20),
        _parameter(
            "order", "query", "Whether the oldest or the newest comes first.", enum=["asc", "desc"], default="desc"
        ),
        _parameter("after", "query", "The id of the item behind which to go on."),
    ]
    errors = (400, *_GET_ERRORS)
    delete = _get("deleteResponse", "Responses", "Forget a response", DeletedResponse)
    get = _get("retrieveResponse", "Responses", "A response that is kept", ResponseAnswer, errors=errors)
    listing = _get("listInputItems", "Responses", "What a response answered", InputItems, errors=errors)
    return {
        "/v1/responses/{id}": {"parameters": parameters, "get": get, "delete": delete},
        "/v1/responses/{id}/input_items": {"parameters": parameters, "get": {**listing, "parameters": page}},
    }


def _parameter(name: str, place: str, description: str, kind: str = "string", **schema: Any) -> dict[str, Any]:
    required = place == "path"
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": description,
        "schema": {"type": kind, **schema},
    }


def _post(operation: Operation, envelope: envelopes.Envelope) -> dict[str, Any]:
    model, statuses = _POST_ERRORS[envelope]
    anthropic = envelope is envelopes.anthropic
    content = _json(operation.answer)
    content["application/json"]["example"] = operation.answered
    if operation.event is not None:
        # OpenAPI 3.1 has no word for the items of a stream; its tools read the schema as that of one event.
        content["text/event-stream"] = {"schema": operation.event, "example": operation.stream}
    request = _json(operation.request)
    request["application/json"]["example"] = operation.example
    answers = {"200": _answer(operation.summary, content, headers(200, asks=True, anthropic=anthropic))}
    for status in statuses:
        error = {"application/json": {**_json(model)["application/json"], "example": told(status, envelope)}}
        answers[str(status)] = _answer(_phrase(status), error, headers(status, asks=True, anthropic=anthropic))
    return {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": answers,
        "requestBody": {"required": True, "content": request},
    }


def _get(
    name: str, tag: str, summary: str, *answers: type[BaseModel], errors: Sequence[int] = _GET_ERRORS
) -> dict[str, Any]:
    content = _json(ErrorEnvelope, AnthropicErrorEnvelope)["application/json"]
    responses = {"200": _answer(summary, _json(*answers), headers(200))}
    for status in errors:
        examples = {
            "OpenAI": {"value": told(status, envelopes.openai)},
            "Anthropic": {"value": told(status, envelopes.anthropic)},
        }
        error = {"application/json": {**content, "examples": examples}}
        responses[str(status)] = _answer(_phrase(status), error, headers(status, anthropic=True))
    return {"operationId": name, "tags": [tag], "summary": summary, "responses": responses}


def _answer(description: str, content: dict[str, Any], heads: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "headers": heads, "content": content}


def _phrase(status: int) -> str:
    return "Overloaded" if status == _OVERLOADED else HTTPStatus(status).phrase


def _json(*models: type[BaseModel]) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return {"application/json": {"schema": references[0] if len(references) == 1 else {"anyOf": references}}}


def _any_of(schema: Any) -> Any:
    """The same schema with `anyOf` for `oneOf`: a value may match a null and a variant at once."""
    if isinstance(schema, dict):
        return {("anyOf" if key == "oneOf" else key): _any_of(value) for key, value in schema.items()}
    return [_any_of(item) for item in schema] if isinstance(schema, list) else schema

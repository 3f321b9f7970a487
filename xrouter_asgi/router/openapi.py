"""The OpenAPI 3.1 document, made from the wire models."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ..wire import ChatRequest, EmbeddingsRequest
from ..wire.answers import ChatCompletionAnswer, EmbeddingsAnswer, ErrorEnvelope, Model, ModelsAnswer, Status

_REQUESTS = (ChatRequest, EmbeddingsRequest)
_ANSWERS = (ChatCompletionAnswer, EmbeddingsAnswer, ErrorEnvelope, Model, ModelsAnswer, Status)
_ERRORS = {
    "post": (400, 401, 403, 404, 405, 413, 415, 429, 500, 502, 503, 504),
    "get": (401, 403, 404, 405, 429, 500, 503),
}
_CHAT_EXAMPLE = {
    "model": "echo",
    "messages": [{"role": "user", "content": "Say hello."}],
    "stream": False,
}
_EMBEDDINGS_EXAMPLE = {"model": "echo", "input": ["first text", "second text"], "encoding_format": "float"}
# OpenAPI 3.1 has no word for the items of a stream; its tools read the schema as that of one event.
_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {"type": "string", "description": "A chat.completion.chunk or an error envelope as JSON, or `[DONE]`."}
    },
}
_STREAM_EXAMPLE = (
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"echo","choices":[{"index":0,'
    '"delta":{"content":"Hello"},"finish_reason":null}]}\n\ndata: [DONE]\n\n'
)


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
        "security": [{}, {"bearer": []}],  # a key is for what stands before the router to ask for
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
    model_id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    chat = _operation("createChatCompletion", "Answer a conversation", ChatCompletionAnswer, ChatRequest, _CHAT_EXAMPLE)
    chat["responses"]["200"]["content"]["text/event-stream"] = {
        "schema": _EVENT,
        "example": _STREAM_EXAMPLE,
    }
    embeddings = _operation(
        "createEmbedding", "Turn texts into vectors", EmbeddingsAnswer, EmbeddingsRequest, _EMBEDDINGS_EXAMPLE
    )
    return {
        "/v1/chat/completions": {"post": chat},
        "/v1/embeddings": {"post": embeddings},
        "/v1/models": {"get": _operation("listModels", "The models that can be called", ModelsAnswer)},
        "/v1/models/{id}": {
            "parameters": [model_id],
            "get": _operation("retrieveModel", "One model; its id may hold slashes", Model),
        },
        "/health": {"get": {**_operation("health", "Whether the process lives", Status), "security": []}},
        "/ready": {"get": {**_operation("ready", "Whether it takes new work", Status), "security": []}},
    }


def _operation(
    name: str,
    summary: str,
    answer: type[BaseModel],
    request: type[BaseModel] | None = None,
    example: dict[str, Any] | None = None,
) -> dict[str, Any]:
    responses = {"200": {"description": summary, "headers": _headers(), "content": _json(answer)}}
    for status in _ERRORS["post" if request else "get"]:
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "headers": _headers(),
            "content": _json(ErrorEnvelope),
        }
    operation: dict[str, Any] = {"operationId": name, "summary": summary, "responses": responses}
    if request is not None:
        operation["requestBody"] = {"required": True, "content": _json(request, example)}
    return operation


def _json(model: type[BaseModel], example: dict[str, Any] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    if example is not None:
        content["example"] = example
    return {"application/json": content}


def _headers() -> dict[str, Any]:
    return {"x-request-id": {"description": "The id of this request in logs.", "schema": {"type": "string"}}}


def _any_of(schema: Any) -> Any:
    """The same schema with `anyOf` for `oneOf`: what a null and a variant have in common is not an error."""
    if isinstance(schema, dict):
        return {("anyOf" if key == "oneOf" else key): _any_of(value) for key, value in schema.items()}
    return [_any_of(item) for item in schema] if isinstance(schema, list) else schema

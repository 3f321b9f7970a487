"""`response_format` -> GigaChat's own, or an emulation: by one forced function, or by words in the system message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....wire import ChatRequest
from ....wire.chat import Function, JSONSchema, JSONSchemaFormat
from ....wire.codec import encode
from ..options import StructuredOutput
from .diagnostics import Warnings, unsupported_value
from .json_refs import inlined

_ONE_OBJECT = "Answer with one JSON object and nothing else: no explanation, no code fences."
_BY_SCHEMA = "Answer with one JSON document that matches this JSON Schema and nothing else, no code fences:\n"
_PARAM = "response_format.json_schema.schema"


@dataclass(frozen=True, slots=True)
class Structure:
    """How to ask for an answer of a given shape."""

    response_format: dict[str, Any] | None = None  # GigaChat's own parameter
    function: Function | None = None  # whose arguments are the answer
    instruction: str = ""  # what the system message must say


def structure(request: ChatRequest, *, mode: StructuredOutput, has_functions: bool, warnings: Warnings) -> Structure:
    """How to ask for the shape that `request` wants. Raises UnsupportedOperation for a format that GigaChat lacks."""
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return Structure()
    if wanted.type == "json_object":
        return _one_object(warnings)
    if not isinstance(wanted, JSONSchemaFormat):
        raise unsupported_value("response_format.type", f"GigaChat has no format '{wanted.type[:64]}'")
    wish = wanted.json_schema
    if not wish.schema_:  # GigaChat: "Empty schema with json format type is not supported"
        return _one_object(warnings)
    if mode == "native":
        return Structure(response_format=_native(wish, wish.schema_))
    # The arguments of a function are an object.
    if mode == "function" and not has_functions and wish.schema_.get("type", "object") == "object":
        return Structure(function=Function(name=wish.name, description=wish.description, parameters=wish.schema_))
    warnings.add("json_schema_emulated", param="response_format", reason="the model can only be asked in words")
    schema = inlined(wish.schema_, strict=bool(wish.strict), param=_PARAM)
    return Structure(instruction=_BY_SCHEMA + encode(schema).decode())


def without_fence(text: str) -> str:
    """The text inside a Markdown code fence that encloses all of it."""
    bare = text.strip()
    if not (bare.startswith("```") and bare.endswith("```") and "\n" in bare):
        return text
    return bare[bare.index("\n") : -3].strip()


def _one_object(warnings: Warnings) -> Structure:
    warnings.add("json_object_emulated", param="response_format", reason="the model can only be asked in words")
    return Structure(instruction=_ONE_OBJECT)


def _native(wish: JSONSchema, schema: dict[str, Any]) -> dict[str, Any]:
    """GigaChat's form is flat and has no name."""
    inner = inlined(schema, strict=bool(wish.strict), param=_PARAM)
    if wish.description and "description" not in inner:
        inner = {**inner, "description": wish.description}
    result = {"type": "json_schema", "schema": inner}
    return result if wish.strict is None else {**result, "strict": wish.strict}

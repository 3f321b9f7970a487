"""Calls of functions: OpenAI's have an id and arguments as text, GigaChat's an optional state and an object.

The state is a UUID that GigaChat wants to see again beside the call. It travels inside the id (`call_` and its 32 hex
digits, 37 characters, below OpenAI's limit of 40), so that the gateway need not remember it.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Container
from typing import Any

from ....wire.codec import decode, encode
from .json_refs import Schema

_WITH_STATE = re.compile(r"call_([0-9a-f]{32})")

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def call_id(state: object, *, used: Container[str] = ()) -> str:
    """An id that carries `state` when that is a UUID, and else a random one; never one of `used`."""
    if isinstance(state, str):
        try:
            carried = f"call_{uuid.UUID(state).hex}"
        except ValueError:
            carried = ""
        if carried and state_of(carried) == state and carried not in used:
            return carried
    return f"call_{os.urandom(12).hex()}"


def state_of(call: str) -> str | None:
    """The state that `call_id()` put into an id."""
    match = _WITH_STATE.fullmatch(call)
    return None if match is None else str(uuid.UUID(match[1]))


def parsed_arguments(text: str) -> tuple[dict[str, Any], bool]:
    """The object that a client's `arguments` stand for, and whether they had to be wrapped as `{"value": …}`."""
    try:
        value = decode(text.encode()) if text.strip() else {}
    except ValueError:
        value = text
    if isinstance(value, dict):
        return value, False
    return ({}, False) if value is None else ({"value": value}, True)


def argument_text(arguments: object, schema: Schema | None) -> str:
    """GigaChat's arguments as compact JSON, with values coerced to the types that `schema` declares.

    GigaChat says an object; text is taken too, and passed on as it is when it holds no object.
    """
    if isinstance(arguments, str) and arguments.strip():
        try:
            value = decode(arguments.encode())
        except ValueError:
            return arguments
        if not isinstance(value, dict):
            return arguments
        arguments = value
    if not isinstance(arguments, dict):
        return "{}"
    return encode(coerced(arguments, schema or {})).decode()


def coerced(value: Any, schema: Schema) -> Any:
    """`value` with numbers, booleans, arrays and objects that came as strings turned into what `schema` declares.

    Only strings are ever changed, and only where the schema leaves no doubt.
    """
    declared = schema.get("type")
    if isinstance(value, str):
        value = _from_string(value, declared)
    if isinstance(value, dict) and declared == "object":
        properties = schema.get("properties", {})
        return {name: coerced(item, properties.get(name, {})) for name, item in value.items()}
    if isinstance(value, list) and declared == "array":
        return [coerced(item, schema.get("items", {})) for item in value]
    return value


def _from_string(text: str, declared: object) -> Any:
    wanted = _PYTHON_TYPES.get(declared) if isinstance(declared, str) else None
    if wanted is None:
        return text
    try:
        value = decode(text.encode())
    except ValueError:
        return text
    # True is an int to Python, but not to JSON.
    return value if isinstance(value, wanted) and (isinstance(value, bool) == (declared == "boolean")) else text

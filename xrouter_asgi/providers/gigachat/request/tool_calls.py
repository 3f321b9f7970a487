"""Calls of functions, in a conversation with their results, and in an answer.

OpenAI gives a call an id and its arguments as text. GigaChat gives an optional state and an object. The state is a UUID
that GigaChat wants to see again beside the call. It travels inside the id (`call_` and its 32 hex digits: 37 characters
of OpenAI's 40), so that the gateway need not remember it.
"""

from __future__ import annotations

import os
import re
import uuid
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ....wire.chat_messages import AssistantMessage, FunctionMessage, Message, ToolMessage
from ....wire.codec import decode, encode
from .diagnostics import unsupported_value
from .json_refs import Schema

_WITH_STATE = re.compile(r"call_([0-9a-f]{32})")

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}

Position: TypeAlias = tuple[int, int]  # the index of an assistant message, and of the call in it


@dataclass(frozen=True, slots=True)
class PastCall:
    """A call the assistant made, which the request holds at `param`."""

    name: str
    arguments: str  # JSON as the model wrote it, so it may be anything
    id: str | None  # None for the deprecated `function_call`, whose result is found by name
    param: str

    @property
    def key(self) -> tuple[str, str]:
        return ("name", self.name) if self.id is None else ("id", self.id)


def calls_of(message: AssistantMessage, index: int) -> list[PastCall]:
    """The calls of the message at `index`. Raises UnsupportedOperation for one that is no function's."""
    calls = []
    for position, call in enumerate(message.tool_calls or ()):
        param = f"messages[{index}].tool_calls[{position}]"
        if call.function is None:
            raise unsupported_value(f"{param}.type", f"GigaChat does not know calls of type '{call.type[:64]}'")
        calls.append(PastCall(call.function.name, call.function.arguments, call.id, param))
    if (legacy := message.function_call) is not None:
        calls.append(PastCall(legacy.name, legacy.arguments, None, f"messages[{index}].function_call"))
    return calls


def names_in(messages: Sequence[Message]) -> list[str]:
    """The names of all functions that were called."""
    return [
        call.name
        for index, message in enumerate(messages)
        if isinstance(message, AssistantMessage)
        for call in calls_of(message, index)
    ]


def ids_in(messages: Sequence[Message]) -> frozenset[str]:
    """The ids of all calls that were made."""
    assistants = (message for message in messages if isinstance(message, AssistantMessage))
    return frozenset(call.id for message in assistants for call in message.tool_calls or ())


def results_of(messages: Sequence[Message]) -> dict[Position, int]:
    """For each call that has a result, the index of the message that holds it.

    Some clients number their calls anew in every turn: an id means the last call that has it.
    """
    waiting: dict[tuple[str, str], deque[Position]] = {}
    results: dict[Position, int] = {}
    for index, message in enumerate(messages):
        match message:
            case AssistantMessage():
                calls = calls_of(message, index)
                waiting.update({call.key: deque() for call in calls})
                for position, call in enumerate(calls):
                    waiting[call.key].append((index, position))
                continue
            case ToolMessage():
                places = waiting.get(("id", message.tool_call_id))
            case FunctionMessage():
                places = waiting.get(("name", message.name))
            case _:
                continue
        if places:
            results[places.popleft()] = index
    return results


def call_id(state: object, *, used: Container[str] = ()) -> str:
    """An id that carries `state` if that is a UUID, else a random one; never one of `used`."""
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


def parsed(text: str) -> Any:
    """The value that the JSON says; the text itself if it is no JSON."""
    try:
        return decode(text.encode())
    except ValueError:
        return text


def parsed_arguments(text: str) -> tuple[dict[str, Any], bool]:
    """The object for a client's `arguments`, and whether they had to be wrapped as `{"value": …}`."""
    value = parsed(text) if text.strip() else {}
    if isinstance(value, dict):
        return value, False
    return ({}, False) if value is None else ({"value": value}, True)


def argument_text(arguments: object, schema: Schema | None) -> str:
    """GigaChat's arguments as compact JSON, `coerced()`. A text that holds no object is passed on as it is."""
    if isinstance(arguments, str) and arguments.strip():
        value = parsed(arguments)
        if not isinstance(value, dict):
            return arguments
        arguments = value
    if not isinstance(arguments, dict):
        return "{}"
    return encode(coerced(arguments, schema or {})).decode()


def coerced(value: Any, schema: Schema) -> Any:
    """`value`, with strings turned into the numbers, booleans, arrays and objects that `schema` surely declares."""
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
    value = parsed(text)
    # True is an int to Python, but not to JSON.
    return value if isinstance(value, wanted) and (isinstance(value, bool) == (declared == "boolean")) else text

"""Calls of functions in a conversation, and which message holds the result of which call."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ....wire.chat import AssistantMessage, FunctionMessage, Message, ToolMessage
from .diagnostics import unsupported_value

Position: TypeAlias = tuple[int, int]
"""The index of an assistant message, and the position of the call in it."""

_Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PastCall:
    """A call the assistant made.

    Attributes:
        arguments: JSON as the model wrote it, so it may be anything.
        id: None for the deprecated `function_call`, which is matched by name.
        param: Where it stands in the request.
    """

    name: str
    arguments: str
    id: str | None
    param: str

    @property
    def key(self) -> _Key:
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

    Some clients number their calls anew in every turn: an id means the call that was made last under it.
    """
    waiting: dict[_Key, deque[Position]] = {}
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

"""Proper answers, and parts of them for the others to spoil."""

from __future__ import annotations

from typing import Any

from xrouter_asgi.testing.http import Handler
from xrouter_asgi.testing.openai import stream, whole
from xrouter_asgi.testing.openai_answers import chunk

from ..asking import Answer, Called, Case, Said

COUNTS = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
USAGE = (12, 7, 19)
HELLO = Answer((Said("Hello, world!"),), USAGE)
BASH = Answer((Said(calls=(Called("bash", {"c": 1}, "c0"),), finish="tool_calls"),), USAGE)

FIRST = chunk({"role": "assistant", "content": "Hello, "})
WORD = chunk({"content": "world!"})
STOP = chunk({}, "stop")
COUNTED = chunk({}, usage=COUNTS) | {"choices": []}
MESSAGE = {"role": "assistant", "content": "Hello, world!"}


def call(arguments: object = '{"c":1}', *, name: object = "bash", **members: Any) -> dict[str, Any]:
    """A call in a whole answer, or a whole call in one fragment."""
    return {"id": "c0", "type": "function", "function": {"name": name, "arguments": arguments}, **members}


def completion(message: object = MESSAGE, finish: object = "stop", **members: Any) -> dict[str, Any]:
    """A whole answer of one choice."""
    head = {name: STOP[name] for name in ("id", "created", "model")} | {"object": "chat.completion"}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {**head, "choices": [choice], "usage": COUNTS, **members}


def calling(*calls: object, **members: Any) -> dict[str, Any]:
    """A whole answer that calls tools."""
    return completion({"role": "assistant", "content": None, "tool_calls": [*calls]}, "tool_calls", **members)


def fragments(*deltas: list[dict[str, Any]]) -> Handler:
    """A stream of tool calls: the fragments of each delta."""
    start = chunk({"role": "assistant", "content": None})
    return stream(start, *(chunk({"tool_calls": delta}) for delta in deltas), chunk({}, "tool_calls"), COUNTED)


def both(name: str, value: dict[str, Any], answer: Answer = HELLO) -> Case:
    """A whole answer to either kind of request."""
    return Case(name, answer, whole(value), whole(value))


def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: member for name, member in value.items() if name not in names}

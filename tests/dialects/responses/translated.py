"""A request for a response as a dialect reads it, and the events of its answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from xrouter_asgi.dialects.responses import ParsedResponses
from xrouter_asgi.wire import ChatChunk, ChatCompletion
from xrouter_asgi.wire.sse import EventReader


def read(**members: Any) -> ParsedResponses:
    """The smallest request with these members."""
    value = {"model": "m", "input": "hi", **members}
    parsed = ParsedResponses.read(value, json.dumps(value).encode(), ())
    if all(id.startswith("item/") for id in parsed.references({})) and "item_reference" not in str(value):
        parsed.resolve({}, ttl=None, max_body=1 << 20)  # of items that an upstream may have named nothing is there
    return parsed


def asked(*items: Any, **members: Any) -> list[dict[str, Any]]:
    """The messages that a provider gets for these items."""
    messages: list[dict[str, Any]] = read(input=list(items), **members).document.value["messages"]
    return messages


def completed(message: dict[str, Any], finish: str = "stop", **members: Any) -> ChatCompletion:
    """A whole answer with this message."""
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}
    return ChatCompletion({"id": "1", "object": "chat.completion", "created": 1, "choices": [choice], **members})


def answered(message: dict[str, Any], finish: str = "stop", *, request: Any = None, **members: Any) -> dict[str, Any]:
    """The response to a whole answer with this message."""
    response: dict[str, Any] = json.loads(read(**(request or {})).whole(completed(message, finish, **members)))
    return response


def delta(finish: str | None = None, **members: Any) -> ChatChunk:
    """A chunk with this delta."""
    return ChatChunk({"id": "1", "choices": [{"index": 0, "delta": members, "finish_reason": finish}]})


def call(index: int = 0, arguments: str = "", **members: Any) -> dict[str, Any]:
    """A fragment of a call, of which `id` and `name` are told once."""
    function = {"arguments": arguments, **({"name": members.pop("name")} if "name" in members else {})}
    return {"index": index, "function": function, **members}


def streamed(*batches: Sequence[ChatChunk], **members: Any) -> list[dict[str, Any]]:
    """The events for these batches of chunks."""
    writer = read(stream=True, **members).writer()
    assert writer is not None
    return events(writer.begin() + b"".join(map(writer.feed, batches)) + writer.end())


def events(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each under the name that its JSON has."""
    told = [json.loads(event) for event in EventReader().feed(stream)]
    names = [line.removeprefix("event: ") for line in stream.decode().splitlines() if line.startswith("event: ")]
    assert [event["type"] for event in told] == names
    return told

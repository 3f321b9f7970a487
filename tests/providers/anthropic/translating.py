"""Chat requests as the Messages API gets them, each checked by its rules."""

from __future__ import annotations

from typing import Any

from xrouter_asgi.providers.anthropic import AnthropicOptions
from xrouter_asgi.providers.anthropic.translate import MessagesBody, translate
from xrouter_asgi.testing.anthropic.rules import check
from xrouter_asgi.wire import ChatRequest

USER = {"role": "user", "content": "Hi"}
MODEL = "claude-opus-4-8"


def function(name: str, **members: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **members}}


def call(call_id: str, name: str = "look", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [*calls], **members}


def result(call_id: str, content: Any = "Seen.") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


LOOK = function("look", parameters={"type": "object", "properties": {}})


def translated(*messages: dict[str, Any], options: dict[str, Any] | None = None, **members: Any) -> MessagesBody:
    value = {"model": "alias", "messages": [*(messages or [USER])], **members}
    request = ChatRequest.of(value)
    model = members.pop("model", MODEL)
    done = translate(request, model=model, options=AnthropicOptions(**options or {}))
    check(done.body)
    check(done.counted, counting=True)
    return done


def sent(*messages: dict[str, Any], **members: Any) -> dict[str, Any]:
    """The body for a request about which there is nothing to warn."""
    done = translated(*messages, **members)
    assert done.warnings == []
    return done.body

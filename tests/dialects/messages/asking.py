"""Requests to the Messages API, and what a provider is asked in their place."""

from __future__ import annotations

import json
from typing import Any

from xrouter_asgi.dialects import Headers
from xrouter_asgi.dialects.messages.request import ParsedMessages


def parsed(*, headers: Headers = (), **members: Any) -> ParsedMessages:
    """The smallest request with these members."""
    value = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **members}
    return ParsedMessages.read(value, json.dumps(value).encode(), headers)


def asked(**members: Any) -> dict[str, Any]:
    """The chat request that a provider gets."""
    return parsed(**members).document.value


def conversation(*turns: dict[str, Any], **members: Any) -> list[dict[str, Any]]:
    """The messages of chat for these turns."""
    messages: list[dict[str, Any]] = asked(messages=list(turns), **members)["messages"]
    return messages


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}

"""Answers of chat to messages of the Messages API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from ...context import Usage
from ...errors import UpstreamError
from ...wire import Document
from ...wire.codec import decode
from ...wire.documents import TextMember
from .blocks import SIGNATURE

_REASONS = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def new_message(
    model: str, *, content: list[Any], stop_reason: str | None, usage: dict[str, int] | None
) -> dict[str, Any]:
    """A message with an id of its own. `model` is the client's name."""
    return {
        "id": f"msg_{os.urandom(12).hex()}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def whole_message(answer: Document, *, model: str) -> dict[str, Any]:
    """The message for a whole answer. Its `usage` is None if the answer tells none.

    Raises:
        UpstreamError: `bad_body`. The answer holds no message.
    """
    choices = answer.value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise UpstreamError("The upstream's answer holds no message.", code="bad_body")
    said = [*texts(message)]
    content = [text_block(member, text, signature=SIGNATURE) for member, text in said]
    calls = message.get("tool_calls") or ()
    for call in calls:
        function = call.get("function") or {}
        content.append(tool_use(call.get("id"), function.get("name"), tool_input(function.get("arguments"))))
    refused = any(member == "refusal" for member, _ in said)
    reason = stop_reason(choice.get("finish_reason"), calls=bool(calls), refused=refused)
    return new_message(model, content=content, stop_reason=reason, usage=usage_of(answer.value.get("usage")))


def texts(said: dict[str, Any]) -> Iterator[tuple[TextMember, str]]:
    """What a message or a delta says besides calls, in the order of the blocks that hold it. None of it is empty."""
    reasoning = said.get("reasoning_content") or said.get("reasoning")
    members: tuple[tuple[TextMember, Any], ...] = (
        ("reasoning_content", reasoning),
        ("content", said.get("content")),
        ("refusal", said.get("refusal")),
    )
    for member, text in members:
        if isinstance(text, list):
            text = "".join(part["text"] for part in text if isinstance(part.get("text"), str))
        if isinstance(text, str) and text:
            yield member, text


def text_block(member: TextMember, text: str, *, signature: str) -> dict[str, Any]:
    """The block for what stood in a member of a message."""
    if member == "reasoning_content":
        return {"type": "thinking", "thinking": text, "signature": signature}
    return {"type": "text", "text": text}


def tool_use(call_id: str | None, name: str | None, value: dict[str, Any]) -> dict[str, Any]:
    """The block for a call."""
    return {"type": "tool_use", "id": call_id or f"toolu_{os.urandom(12).hex()}", "name": name or "", "input": value}


def tool_input(arguments: str | None) -> dict[str, Any]:
    """The arguments of a call as an object. What is no object stands in its member `value`."""
    if not (arguments and arguments.strip()):
        return {}
    try:
        value = decode(arguments.encode())
    except ValueError:
        value = arguments
    return value if isinstance(value, dict) else {"value": value}


def stop_reason(finish_reason: object, *, calls: bool, refused: bool) -> str:
    """Why the answer ended."""
    reason = _REASONS.get(str(finish_reason))
    if refused or reason == "refusal":
        return "refusal"
    return reason or ("tool_use" if calls else "end_turn")


def usage_of(told: object) -> dict[str, int] | None:
    """The usage of an answer of chat, whose prompt tokens include those that were read from a cache or written to it.

    None if it is not told.
    """
    usage = Usage.read(told)
    if usage is None:
        return None
    return {
        "input_tokens": max(usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens, 0),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }


def estimated_usage(prompt_tokens: int, output: int) -> dict[str, int]:
    """The usage where nobody tells it, because clients of this API need one. `output` is in bytes."""
    return {
        "input_tokens": prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": tokens_in(output),
    }


def tokens_in(size: int) -> int:
    """About how many tokens so many bytes of JSON are."""
    return max(1, -(-size // 4))

"""A streamed answer put together, for a client that asked for a whole one. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO
from typing import Any

from ...errors import UpstreamError, UpstreamUnavailable
from ...wire import ChatChunk

_LONE = ("role", "id", "type")  # texts that are said once, not in pieces
_ENVELOPE = ("choices", "object", "usage")


def completion_of(chunks: Iterable[ChatChunk]) -> dict[str, Any]:
    """The completion that these chunks are the stream of; still to be mended.

    Raises:
        UpstreamUnavailable: `empty_answer` without a choice.
        UpstreamError: `stream_broken` if a choice has no `finish_reason`.
    """
    value: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        value |= {name: member for name, member in chunk.value.items() if name not in _ENVELOPE}
        if chunk.value.get("usage"):
            value["usage"] = chunk.value["usage"]
        for choice in chunk.value["choices"]:
            index = choice["index"]
            whole = choices.setdefault(index, {"index": index, "message": {}, "logprobs": None, "finish_reason": None})
            _join(whole["message"], choice["delta"])
            _join(whole, {name: it for name, it in choice.items() if name not in ("index", "delta", "finish_reason")})
            whole["finish_reason"] = choice.get("finish_reason") or whole["finish_reason"]
    if not choices:
        raise UpstreamUnavailable("The upstream's answer holds no choices.", code="empty_answer")
    if not all(choice["finish_reason"] for choice in choices.values()):
        message = "The upstream ended the stream before the answer was finished."
        raise UpstreamError(message, code="stream_broken", retryable=True)
    for choice in choices.values():
        for call in choice["message"].get("tool_calls") or ():
            call.pop("index", None)
    return {**value, "object": "chat.completion", "choices": _written([choices[index] for index in sorted(choices)])}


def _join(whole: dict[str, Any], part: dict[str, Any]) -> None:
    """Add the members of a part: texts and lists are continued, and objects are joined."""
    for name, new in part.items():
        old = whole.get(name)
        if new is None:
            whole.setdefault(name, None)
        elif name == "tool_calls":
            _join_calls(whole, new)
        elif isinstance(old, str | StringIO) and isinstance(new, str):
            whole[name] = new if name in _LONE else _continued(old, new)
        elif isinstance(old, list) and isinstance(new, list):
            old += new
        elif isinstance(old, dict) and isinstance(new, dict):
            _join(old, new)
        else:
            # A copy: the parts that follow are added to it.
            whole[name] = new.copy() if isinstance(new, dict | list) else new


def _continued(text: str | StringIO, more: str) -> StringIO:
    """Text is added to a buffer: a new text for each of its pieces would take time by the square of them."""
    if isinstance(text, str):
        begun = StringIO()
        begun.write(text)
        text = begun
    text.write(more)
    return text


def _written(value: Any) -> Any:
    """The value with texts in place of their buffers."""
    if isinstance(value, dict):
        return {name: _written(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_written(item) for item in value]
    return value.getvalue() if isinstance(value, StringIO) else value


def _join_calls(message: dict[str, Any], fragments: list[dict[str, Any]]) -> None:
    calls = message.get("tool_calls") or []
    message["tool_calls"] = calls
    for fragment in fragments:
        index = fragment["index"]  # told by `ToolCalls`: from 0 on without gaps
        if index == len(calls):
            calls.append({})
        _join(calls[index], fragment)

"""What Anthropic's API says; nothing of it depends on time or chance."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .rules import sign

_CALL = re.compile(r"call (\S+) (\{.*\})")
_THOUGHT = "Let me see."


def page(*names: str, has_more: bool = False) -> dict[str, Any]:
    """A page of the list of models."""
    rows = [
        {"type": "model", "id": name, "display_name": name.title(), "created_at": "2026-02-05T00:00:00Z"}
        for name in names
    ]
    return {"data": rows, "has_more": has_more, "first_id": names[0], "last_id": names[-1]}


def message(request: Mapping[str, Any], *, read: int = 0, written: int = 0) -> dict[str, Any]:
    """The whole answer.

    Args:
        read, written: Tokens of the input that came from the cache, and that went into it.
    """
    content = _content(request)
    called = any(block["type"] == "tool_use" for block in content)
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": content,
        "stop_reason": "tool_use" if called else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": words(request["messages"]),
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
            "output_tokens": words(content),
        },
    }


def events(whole: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream with this answer."""
    usage = whole["usage"]
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    stream: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        empty, deltas = _in_pieces(block)
        stream.append({"type": "content_block_start", "index": index, "content_block": empty})
        stream += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        stream.append({"type": "content_block_stop", "index": index})
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    stream.append({"type": "message_delta", "delta": ended, "usage": {"output_tokens": usage["output_tokens"]}})
    return [*stream, {"type": "message_stop"}]


def sse(event: Mapping[str, Any]) -> bytes:
    """One event, padded as Anthropic pads them."""
    text = json.dumps(event, ensure_ascii=False)
    return f"event: {event['type']}\ndata: {text[:-1]}   }}\n\n".encode()


def words(value: object) -> int:
    """How many words there are in all texts of a value."""
    match value:
        case str(text):
            return len(text.split())
        case dict():
            return sum(map(words, value.values()))
        case list():
            return sum(map(words, value))
    return 0


def _content(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each line `call NAME {…}` of the last message calls the tool of that name; else the text comes back."""
    text = _last_text(request["messages"])
    thinks = (request.get("thinking") or {}).get("type") in ("adaptive", "enabled")
    thought = [{"type": "thinking", "thinking": _THOUGHT, "signature": sign(_THOUGHT)}] if thinks else []
    names = {tool["name"] for tool in request.get("tools", ())}
    calls = [found for line in text.splitlines() if (found := _CALL.fullmatch(line)) and found[1] in names]
    if not calls:
        return [*thought, {"type": "text", "text": text}]
    return thought + [
        {"type": "tool_use", "id": f"toolu_{place}", "name": call[1], "input": json.loads(call[2])}
        for place, call in enumerate(calls)
    ]


def _last_text(turns: list[dict[str, Any]]) -> str:
    content = turns[-1]["content"]
    if isinstance(content, str):
        return content
    texts = []
    for block in content:
        inner = block.get("content") if block["type"] == "tool_result" else block.get("text")
        texts += [inner] if isinstance(inner, str) else [each.get("text", "") for each in inner or ()]
    return "\n".join(texts)


def _in_pieces(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The block as it begins, and what follows."""
    match block:
        case {"type": "text", "text": text}:
            deltas = [{"type": "text_delta", "text": piece} for piece in re.findall(r"\S+\s*", text)]
            return {**block, "text": ""}, deltas
        case {"type": "thinking", "thinking": text, "signature": signature}:
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in re.findall(r"\S+\s*", text)]
            deltas.append({"type": "signature_delta", "signature": signature})
            return {**block, "thinking": "", "signature": ""}, deltas
        case {"type": "redacted_thinking"}:
            return {**block}, []
    text = json.dumps(block["input"]) if block["input"] else ""
    pieces = ("", text[: len(text) // 2], text[len(text) // 2 :])
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]

"""A whole message -> a completion of chat; and what whole and streamed answers have in common: usage and finish."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import UpstreamError
from ...wire import ChatChunk, ChatCompletion
from ...wire.codec import encode
from ..http import ErrorReader
from .errors import refusal
from .names import Aliases

_FOR_AN_HOUR = "ephemeral_1h_input_tokens"
_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
_FINISHES = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "tool_use": "tool_calls",
}


def completion(value: dict[str, Any], *, model: str, names: Aliases, errors: ErrorReader) -> ChatCompletion:
    """Translate a whole answer.

    Args:
        model: The name to give the model: the client's.

    Raises:
        XRouterError: It is an error.
        UpstreamError: `bad_body`. It is no message.
    """
    if value.get("type") == "error" or value.get("error"):
        raise refusal(None, errors.read_value(value), model=model, errors=errors)
    blocks = value.get("content")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise UpstreamError("The upstream's answer holds no message.", code="bad_body")
    message = _message(blocks, names)
    finish = finish_reason(value.get("stop_reason"), called="tool_calls" in message)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    result = {**head(value, kind="chat.completion", model=model), "choices": [choice]}
    if (usage := chat_usage(value.get("usage"))) is not None:
        result["usage"] = usage
    return ChatCompletion(result)


def _message(blocks: Sequence[dict[str, Any]], names: Aliases) -> dict[str, Any]:
    """The message that these blocks are."""
    texts, thoughts, calls, signed = [], [], [], []
    for block in blocks:
        match block:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "thinking", "thinking": str(text)}:
                thoughts.append(text)
                signed.append(block)
            case {"type": "redacted_thinking"}:
                signed.append(block)
            case {"type": "tool_use", "id": str(call_id), "name": str(name)}:
                arguments = encode(block.get("input") or {}).decode()
                function = {"name": names.to_client(name), "arguments": arguments}
                calls.append({"id": call_id, "type": "function", "function": function})
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or (None if calls else "")}
    message["refusal"] = None
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if signed:
        message["thinking_blocks"] = signed
    if calls:
        message["tool_calls"] = calls
    return message


def chunks_of(whole: ChatCompletion) -> list[ChatChunk]:
    """A whole answer as the stream that it could have been."""
    value = {**whole.value, "object": "chat.completion.chunk"}
    (choice,), usage = value.pop("choices"), value.pop("usage", None)
    delta = {**choice["message"]}
    for member in ("tool_calls", "thinking_blocks"):
        if member in delta:
            delta[member] = [{**each, "index": index} for index, each in enumerate(delta[member])]
    said = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    ended = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": choice["finish_reason"]}
    chunks = [ChatChunk({**value, "choices": [said]}), ChatChunk({**value, "choices": [ended]})]
    return chunks if usage is None else [*chunks, ChatChunk({**value, "choices": [], "usage": usage})]


def head(message: Mapping[str, Any], *, kind: str, model: str) -> dict[str, Any]:
    """The members that all chunks of one answer share."""
    told = message.get("id")
    name = told.removeprefix("msg_") if isinstance(told, str) and told else f"{time.time_ns():x}"
    return {"id": f"chatcmpl-{name}", "object": kind, "created": int(time.time()), "model": model}


def finish_reason(stop_reason: object, *, called: bool) -> str:
    """OpenAI's word for why the answer ended. An unknown reason counts as `end_turn`."""
    reason = _FINISHES.get(stop_reason) if isinstance(stop_reason, str) else None
    if reason in ("length", "content_filter"):
        return reason
    return "tool_calls" if called else "stop"


def chat_usage(*told: object) -> dict[str, Any] | None:
    """OpenAI's `usage`; None if nothing was counted.

    Anthropic's `input_tokens` leave out what was read from its cache and what was written to it. OpenAI's hold all.

    Args:
        told: Counts as an answer told them one after the other: the last of each holds.
    """
    counts: dict[str, int] = {}
    for each in told:
        if isinstance(each, dict):
            counts |= _counts(each, _COUNTS)
            if isinstance(lifetimes := each.get("cache_creation"), dict):
                counts |= _counts(lifetimes, (_FOR_AN_HOUR,))
    if "input_tokens" not in counts and "output_tokens" not in counts:
        return None
    plain, read, written, output = (counts.get(name, 0) for name in _COUNTS)
    prompt = plain + read + written
    details = {"cached_tokens": read, "cache_write_tokens": written}
    if for_an_hour := counts.get(_FOR_AN_HOUR):
        details["cache_write_1h_tokens"] = for_an_hour
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": details,
    }


def _counts(told: Mapping[str, Any], names: Iterable[str]) -> dict[str, int]:
    return {name: count for name in names if type(count := told.get(name)) is int and count >= 0}

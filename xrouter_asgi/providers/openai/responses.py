"""What clients of OpenAI's Responses wrote, for an upstream that speaks it; its answers, read as those of a chat."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ...errors import UpstreamError
from ...wire import ChatCompletion
from ..http import ErrorReader, UpstreamAnswer
from .answers import answer_object
from .errors import refusal

_CUT = {"max_output_tokens": "length", "content_filter": "content_filter"}
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}


def completion(answer: UpstreamAnswer, *, name: str, model: str, errors: ErrorReader) -> ChatCompletion:
    """Read a whole answer, which goes out as it came.

    Args:
        name: The client's name of the model.
        model: The upstream's.

    Raises:
        XRouterError: It is an error.
        UpstreamError: `bad_body`. It is no response.
    """
    value = answer_object(answer, answer.body, model=model, errors=errors)
    if value.get("status") == "failed":
        raise refusal(None, errors.read_value({"error": value.get("error")}), model=model, errors=errors)
    output = value.get("output")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        raise UpstreamError("The upstream's answer holds no response.", code="bad_body")
    message = _message(output)
    finish = finish_reason(value, called="tool_calls" in message)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    told = {"id": f"chatcmpl-{value.get('id')}", "object": "chat.completion", "created": int(time.time())}
    result = {**told, "model": name, "choices": [choice]}
    if (usage := chat_usage(value.get("usage"))) is not None:
        result["usage"] = usage
    return ChatCompletion(result, native=answer.body)


def _message(output: list[dict[str, Any]]) -> dict[str, Any]:
    texts, refusals, thoughts, calls = [], [], [], []
    for item in output:
        match item:
            case {"type": "message"}:
                texts += _strings(item.get("content"), "text")
                refusals += _strings(item.get("content"), "refusal")
            case {"type": "reasoning"}:
                thoughts += [*_strings(item.get("summary"), "text"), *_strings(item.get("content"), "text")]
            case {"type": "function_call" | "custom_tool_call" as kind, "call_id": str(call_id), "name": str(name)}:
                function = {"name": name, "arguments": str(item.get(_CALLS[kind]) or "")}
                calls.append({"id": call_id, "type": "function", "function": function})
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or (None if calls else "")}
    message["refusal"] = "".join(refusals) or None
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _strings(parts: object, name: str) -> list[str]:
    """The texts in the parts of an item."""
    each = [part.get(name) for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return [text for text in each if isinstance(text, str)]


def finish_reason(response: Mapping[str, Any], *, called: bool) -> str:
    """OpenAI's older word for why the answer ended."""
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    if response.get("status") == "incomplete":
        return _CUT.get(str(reason), "length")
    return "tool_calls" if called else "stop"


def chat_usage(told: object) -> dict[str, Any] | None:
    """The usage as chat tells it; None if nothing was counted."""
    if not isinstance(told, dict) or type(prompt := told.get("input_tokens")) is not int:
        return None
    output = _count(told, "output_tokens")
    read = told.get("input_tokens_details")
    made = told.get("output_tokens_details")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {name: _count(read, name) for name in ("cached_tokens", "cache_write_tokens")},
        "completion_tokens_details": {"reasoning_tokens": _count(made, "reasoning_tokens")},
    }


def _count(told: object, name: str) -> int:
    count = told.get(name) if isinstance(told, dict) else None
    return count if type(count) is int and count >= 0 else 0

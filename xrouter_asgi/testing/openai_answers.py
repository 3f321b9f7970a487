"""What a proper OpenAI-compatible upstream says; nothing of it depends on time or chance."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_CALL = re.compile(r"call (\S+) (\{.*\})", re.DOTALL)

MODELS = {
    "object": "list",
    "data": [
        {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "fake"} for name in ("chat", "vectors")
    ],
}


def completion(request: Mapping[str, Any]) -> dict[str, Any]:
    """`chat.completion` for a request."""
    text, call = _said(request)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if call is not None:
        message["tool_calls"] = [{"id": "call_0", "type": "function", "function": call}]
    finish = "stop" if call is None else "tool_calls"
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
        for index in range(request.get("n") or 1)
    ]
    return {**_head("chat.completion", request), "choices": choices, "usage": usage(request)}


def chunks(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chunks of a stream for a request."""
    asked = bool((request.get("stream_options") or {}).get("include_usage"))
    head = _head("chat.completion.chunk", request) | ({"usage": None} if asked else {})
    text, call = _said(request)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "" if call is None else None, "refusal": None}]
    if call is None:
        deltas += [{"content": word} for word in re.findall(r"\S+\s*", text or "")]
    else:
        half = len(call["arguments"]) // 2
        first = {"index": 0, "id": "call_0", "type": "function", "function": {"name": call["name"], "arguments": ""}}
        rest = [{"index": 0, "function": {"arguments": call["arguments"][part]}} for part in _halves(half)]
        deltas += [{"tool_calls": [fragment]} for fragment in (first, *rest)]
    finish = "stop" if call is None else "tool_calls"
    said = [chunk_choice(index, delta) for delta in deltas for index in range(request.get("n") or 1)]
    said += [chunk_choice(index, {}, finish) for index in range(request.get("n") or 1)]
    stream = [{**head, "choices": [choice]} for choice in said]
    if asked:
        stream.append({**head, "choices": [], "usage": usage(request)})
    return stream


def chunk(delta: object, finish: str | None = None, *, index: int = 0, **members: Any) -> dict[str, Any]:
    """One chunk with one choice, for streams of a test's own."""
    return {
        **_head("chat.completion.chunk", {"model": "chat"}),
        "choices": [chunk_choice(index, delta, finish)],
        **members,
    }


def chunk_choice(index: int, delta: object, finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def text_completion(request: Mapping[str, Any]) -> dict[str, Any]:
    """`text_completion` for a legacy request: each prompt again, `n` times."""
    prompts = request["prompt"]
    texts = prompts if isinstance(prompts, list) and not isinstance(prompts[0], int) else [prompts]
    said = [f"{text}" for text in texts for _ in range(request.get("n") or 1)]
    choices = [
        {"text": text, "index": index, "logprobs": None, "finish_reason": "stop"} for index, text in enumerate(said)
    ]
    count = sum(len(text.split()) for text in said)
    counted = {"prompt_tokens": count, "completion_tokens": count, "total_tokens": 2 * count}
    return {**_head("text_completion", request), "choices": choices, "usage": counted}


def text_chunks(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of a streamed legacy completion."""
    whole = text_completion(request)
    head = _head("text_completion", request)
    events = [
        {**head, "choices": [{**choice, "text": word, "finish_reason": None}]}
        for choice in whole["choices"]
        for word in re.findall(r"\S+\s*", choice["text"])
    ]
    events += [{**head, "choices": [{**choice, "text": ""}]} for choice in whole["choices"]]
    if (request.get("stream_options") or {}).get("include_usage"):
        events.append({**head, "choices": [], "usage": whole["usage"]})
    return events


def embeddings(request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to an embeddings request."""
    inputs = request["input"]
    texts: Sequence[object] = inputs if isinstance(inputs, list) and not isinstance(inputs[0], int) else [inputs]
    data = []
    for index, text in enumerate(texts):
        vector: object = [float(len(str(text))), 0.5, 0.25, 0.125]
        if request.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<4f", len(str(text)), 0.5, 0.25, 0.125)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    count = sum(len(str(text).split()) for text in texts)
    counted = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": data, "model": request["model"], "usage": counted}


def usage(request: Mapping[str, Any]) -> dict[str, Any]:
    texts = [message.get("content") for message in request["messages"]]
    prompt = _words(text for text in texts if isinstance(text, str))
    text, call = _said(request)
    completion = _words([text or "", *(call or {}).values()]) * (request.get("n") or 1)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _words(texts: Iterable[str]) -> int:
    return sum(len(text.split()) for text in texts)


def _halves(half: int) -> tuple[slice, slice]:
    return slice(half), slice(half, None)


def _head(kind: str, request: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-fake", "object": kind, "created": 1_700_000_000, "model": request["model"]}


def _said(request: Mapping[str, Any]) -> tuple[str | None, dict[str, str] | None]:
    """What the assistant says to a request: a text, or a function's name and arguments."""
    texts = [message["content"] for message in request["messages"] if message["role"] == "user"]
    text = texts[-1] if texts and isinstance(texts[-1], str) else ""
    tools = {tool["function"]["name"] for tool in request.get("tools") or [] if tool.get("type") == "function"}
    if (call := _CALL.fullmatch(text)) and call[1] in tools:
        return None, {"name": call[1], "arguments": call[2]}
    return text, None

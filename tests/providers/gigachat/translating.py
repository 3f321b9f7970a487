"""Short ways to say a request and to look at its translation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from xrouter_asgi.errors import InvalidRequest
from xrouter_asgi.providers.gigachat.compatibility import Repairs
from xrouter_asgi.providers.gigachat.options import GigaChatOptions, StructuredOutput
from xrouter_asgi.providers.gigachat.request.attachments import attachments
from xrouter_asgi.providers.gigachat.request.translate import Translation, translate
from xrouter_asgi.providers.gigachat.response.completion import completion
from xrouter_asgi.providers.gigachat.response.stream import StreamTranslation
from xrouter_asgi.wire import ChatCompletion, ChatRequest

STATE = "1b4a3d5c-0f62-4c0e-9d3a-7a1f3b2c4d5e"
STATE_ID = "call_1b4a3d5c0f624c0e9d3a7a1f3b2c4d5e"


def said(role: str, content: Any = "Hi", **members: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **members}


def chat(*messages: Mapping[str, Any], **members: Any) -> ChatRequest:
    return ChatRequest.of({"model": "GigaChat-2", "messages": list(messages) or [said("user")], **members})


def called(*calls: tuple[str, str, str], text: str | None = None, **members: Any) -> dict[str, Any]:
    """An assistant message that makes calls, each an id, a name and arguments."""
    tool_calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in calls
    ]
    return said("assistant", text, tool_calls=tool_calls, **members)


def result(call_id: str, content: Any = "{}") -> dict[str, Any]:
    return said("tool", content, tool_call_id=call_id)


def tool(name: str = "f", parameters: Any = None, **members: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **members}}


def translated(
    request: ChatRequest,
    *,
    model: str = "GigaChat-2",
    structured: StructuredOutput = "native",
    replay_state: bool = True,
    plain_calls: bool = False,
    **options: Any,
) -> Translation:
    """The translation, with the uploads of the request named `file-0`, `file-1`, …"""
    files = {item.param: f"file-{index}" for index, item in enumerate(attachments(request))}
    plan = Repairs(model, structured, replay_state=replay_state, plain_calls=plain_calls)
    return translate(request, plan, options=GigaChatOptions(**options), files=files)


def messages(request: ChatRequest, **arguments: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = translated(request, **arguments).body["messages"]
    return found


def refusal(request: ChatRequest, **arguments: Any) -> tuple[str | None, str | None]:
    """The `param` and `code` with which a request is refused."""
    with pytest.raises(InvalidRequest) as refused:
        translated(request, **arguments)
    assert refused.value.status == 400
    return refused.value.param, refused.value.code


def answered(
    content: str | None = "Hello.", *, finish: str | None = "stop", usage: Any = None, **message: Any
) -> dict[str, Any]:
    """A whole answer of GigaChat's."""
    choice: dict[str, Any] = {"message": {"content": content, "role": "assistant", **message}, "index": 0}
    if finish is not None:
        choice["finish_reason"] = finish
    answer = {"choices": [choice], "created": 1768996171, "model": "GigaChat:2.0.28.2", "object": "chat.completion"}
    return answer if usage is None else {**answer, "usage": usage}


def event(content: str | None = None, *, finish: str | None = None, usage: Any = None, **delta: Any) -> dict[str, Any]:
    """One event of a stream of GigaChat's."""
    if content is not None:
        delta["content"] = content
    choice: dict[str, Any] = {"delta": delta, "index": 0}
    if finish is not None:
        choice["finish_reason"] = finish
    value = {"choices": [choice], "created": 1768996176, "model": "GigaChat:2.0.28.2", "object": "chat.completion"}
    return value if usage is None else {**value, "usage": usage}


def completed(translation: Translation, answer: Mapping[str, Any], *, request_id: str = "r") -> ChatCompletion:
    """A whole answer in OpenAI's dialect."""
    return completion(answer, translation.asked, request_id=request_id)


def opened(translation: Translation, *, request_id: str = "r") -> StreamTranslation:
    """A stream that nothing has been fed to."""
    return StreamTranslation(translation.asked, request_id=request_id)


def streamed(translation: Translation, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All chunks of a stream, as documents."""
    stream = opened(translation, request_id="r-1")
    chunks = [chunk for item in events for chunk in stream.feed(dict(item))]
    return [chunk.value for chunk in [*chunks, *stream.close()]]


def deltas(chunks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


def joined(chunks: Sequence[Mapping[str, Any]], member: str = "content") -> str:
    return "".join(delta.get(member) or "" for delta in deltas(chunks))


def finish_of(chunks: Sequence[Mapping[str, Any]]) -> str | None:
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert len(reasons) == 1
    return str(reasons[0])

"""Calls as the router makes them, and streams as it reads them."""

from __future__ import annotations

import json
from typing import Any

from xrouter_asgi.providers.base import Call, Provider
from xrouter_asgi.wire import ChatChunk, ChatRequest, Document, EmbeddingsRequest
from xrouter_asgi.wire.stream import ChatStream

TOOL = {"type": "function", "function": {"name": "sum", "parameters": {"type": "object"}}}


def chat(text: str = "Hello, my world!", *, model: str = "", body: bytes | None = None, **members: Any) -> Call:
    """A chat call; `body` is the client's own bytes, `model` the upstream's name."""
    value = {"model": "alias", "messages": [{"role": "user", "content": text}], **members}
    if body is not None:
        value = json.loads(body)
    return Call(ChatRequest.of(value), model or "alias", document=Document(value, body))


def embed(**members: Any) -> Call:
    value = {"model": "alias", "input": ["one", "three"], **members}
    return Call(EmbeddingsRequest.of(value), document=Document(value))


async def stream_of(provider: Provider, call: Call | None = None) -> ChatStream:
    reply = await provider.send(call or chat(stream=True))
    assert isinstance(reply.body, ChatStream)
    return reply.body


async def read(stream: ChatStream) -> list[ChatChunk]:
    return [chunk for batch in [batch async for batch in stream] for chunk in batch]


def text_of(chunks: list[ChatChunk]) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.value["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)

"""A request on its way in: read and bounded, parsed and validated, and what it may come to cost."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from starlette.types import Receive, Scope

from ..asgi.body import read_body
from ..context import CostEstimate
from ..wire import ChatRequest, Document, EmbeddingsRequest
from ..wire.codec import parse_request

Posted: TypeAlias = type[ChatRequest] | type[EmbeddingsRequest]

SCOPES: dict[Posted, str] = {ChatRequest: "chat", EmbeddingsRequest: "embeddings"}
"""The scope that a key needs for each kind of request, which is also the name of its endpoint."""

_LARGE = 256 << 10  # bytes; to parse more would hold up everybody else on the event loop


async def read_request(
    kind: Posted, scope: Scope, receive: Receive, *, limit: int
) -> tuple[ChatRequest | EmbeddingsRequest, Document]:
    """A request of that kind, and the JSON it came as.

    Args:
        limit: Bytes that its body may have.

    Raises:
        InvalidRequest, PayloadTooLarge, UnsupportedMediaType: What is wrong with it.
        ClientDisconnected: The client left in the middle.
    """
    body = await read_body(scope, receive, limit=limit)
    if len(body) > _LARGE:
        return await asyncio.to_thread(_parse, kind, body)
    return _parse(kind, body)


def _parse(kind: Posted, body: bytes) -> tuple[ChatRequest | EmbeddingsRequest, Document]:
    value = parse_request(body)
    return kind.of(value), Document(value, body)


def demand(request: ChatRequest | EmbeddingsRequest, document: Document) -> CostEstimate:
    """What the request may come to cost, at most."""
    # A token is at least two bytes of JSON in every language that the tokenizers of today know.
    prompt = len(document.data) // 2
    if isinstance(request, EmbeddingsRequest):
        return CostEstimate(request.model, prompt, completion_tokens=0)
    bound = request.max_completion_tokens or request.max_tokens
    return CostEstimate(request.model, prompt, None if bound is None else bound * (request.n or 1))

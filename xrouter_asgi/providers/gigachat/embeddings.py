"""Embeddings: a request is cut into batches, and their answers are put together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import UpstreamError
from ...wire import EmbeddingList, EmbeddingsRequest
from ...wire.codec import encode
from ...wire.embeddings import answer_limit, decode_vectors, in_order
from ...wire.reading import by_size
from ..base import Call, Reply
from ..http import json_object
from .auth.client import GigaChatClient
from .headers import fact, passed_on, upstream_ids
from .request.diagnostics import invalid, unsupported
from .response.errors import upstream_error

# Components of a vector, which no model can be asked to shorten.
DIMENSIONS = {"Embeddings": 1024, "Embeddings-2": 1024, "EmbeddingsGigaR": 2560, "GigaEmbeddings-3B-2025-09": 2048}
_JSON = [(b"Content-Type", b"application/json"), (b"Accept", b"application/json")]


async def embed(client: GigaChatClient, call: Call, request: EmbeddingsRequest, *, model: str, name: str) -> Reply:
    """Answer for the provider of this name, by GigaChat's model of that name. See `Provider.send()`."""
    headers = [*_JSON, *passed_on(call)]
    answers: list[dict[str, Any]] = []
    facts: list[tuple[str, str]] = []
    portions = batches(request, model=model)
    size = 0
    # One after the other: a large input must not use up the account's rate.
    for texts in portions:
        content = encode({"model": model, "input": texts})
        limit = answer_limit(len(texts))
        answer = await client.fetch(
            "POST", "/embeddings", headers=headers, content=content, limit=limit, deadline=call.deadline
        )
        if answer.status != 200:
            error = upstream_error(answer.status, answer.headers, answer.body, model=model, errors=client.errors)
            # The translation of errors speaks of a chat.
            raise error.but(param="input") if error.param == "messages" else error
        answers.append(await by_size(len(answer.body), json_object, answer.body, decoded=decode_vectors))
        size += len(answer.body)
        facts += [*upstream_ids(answer.headers), *fact("x-gigachat-model", answers[-1].get("model"))]
    merged = await by_size(size, merge, answers, sizes=[len(texts) for texts in portions], model=request.model)
    merged = await by_size(size, in_order, merged, request.inputs)
    return Reply(merged, provider=name, model=model, headers=list(dict.fromkeys(facts)))


def batches(
    request: EmbeddingsRequest, *, model: str | None = None, max_items: int = 90, max_characters: int = 1_000_000
) -> list[list[str]]:
    """The texts, in order, in batches that GigaChat takes.

    Args:
        model: GigaChat's name of the model, which tells its own `dimensions`. None: the request's.
        max_items: Texts in one batch. GigaChat's own limit is unpublished.
        max_characters: Characters in one batch; a longer text goes alone.

    Raises:
        InvalidRequest: The input is tokens, which mean nothing to another tokenizer.
        UnsupportedOperation: `dimensions` other than the model's.
    """
    native = DIMENSIONS.get(model or request.model)
    if request.dimensions not in (None, native):
        has = f"'{model or request.model}' gives vectors of {native} only" if native else "GigaChat cannot choose it"
        raise unsupported("dimensions", f"{has[0].upper()}{has[1:]}. Leave it out.")
    portions: list[list[str]] = [[]]
    size = 0
    for text in [request.input] if isinstance(request.input, str) else request.input:
        if not isinstance(text, str):
            advice = "Send text; for LangChain's OpenAIEmbeddings, set check_embedding_ctx_length=False"
            raise invalid("input", f"GigaChat takes text, not tokens. {advice}")
        if portions[-1] and (len(portions[-1]) == max_items or size + len(text) > max_characters):
            portions.append([])
            size = 0
        portions[-1].append(text)
        size += len(text)
    return portions


def merge(answers: Sequence[dict[str, Any]], *, sizes: Sequence[int], model: str) -> EmbeddingList:
    """One list of the answers to batches of these sizes. Raises UpstreamError if a text has not one embedding."""
    data: list[dict[str, Any]] = []
    counts: list[int] = []
    for answer, size in zip(answers, sizes, strict=True):
        for item in _items(answer, size):
            data.append({"object": "embedding", "index": len(data), "embedding": item["embedding"]})
            usage = item.get("usage")
            if isinstance(usage, dict) and isinstance(count := usage.get("prompt_tokens"), int):
                counts.append(count)
    merged: dict[str, Any] = {"object": "list", "data": data, "model": model}
    if counts:
        merged["usage"] = {"prompt_tokens": sum(counts), "total_tokens": sum(counts)}
    return EmbeddingList(merged)


def _items(answer: dict[str, Any], size: int) -> list[dict[str, Any]]:
    """The vectors of one batch of `size` texts, by their index."""
    items = answer.get("data")
    if not isinstance(items, list) or not all(
        isinstance(item, dict) and isinstance(item.get("embedding"), list) for item in items
    ):
        raise UpstreamError("GigaChat: the answer holds no embeddings.", code="bad_body")
    items = sorted(items, key=lambda item: item["index"] if isinstance(item.get("index"), int) else -1)
    if [item.get("index") for item in items] != list(range(size)):
        raise UpstreamError("GigaChat: the answer does not tell which embedding is whose.", code="bad_body")
    return items

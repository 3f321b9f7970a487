"""`POST /v1/embeddings`, OpenAI's Embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ..context import CostEstimate
from ..envelopes import openai
from ..wire import Document, EmbeddingList, EmbeddingsRequest
from ..wire.answers import EmbeddingsAnswer
from ..wire.embeddings import in_format
from .base import Dialect, Headers, Operation, prompt_bound


@dataclass(slots=True)
class ParsedEmbeddings:
    """An embeddings request with the client's own bytes."""

    original: ClassVar[None] = None
    warnings: ClassVar[tuple[str, ...]] = ()
    conversation: ClassVar[None] = None
    answer_type: ClassVar[type[Document]] = EmbeddingList

    request: EmbeddingsRequest
    document: Document

    @classmethod
    def read(cls, value: dict[str, Any], body: bytes, headers: Headers) -> Self:
        """Validate the JSON object. Raises InvalidRequest."""
        return cls(EmbeddingsRequest.of(value), Document(value, body))

    def estimate(self) -> CostEstimate:
        """The size of the body. Vectors cost no tokens."""
        return CostEstimate(self.request.model, prompt_bound(len(self.document.data)), completion_tokens=0)

    def whole(self, answer: Document, /) -> bytes:
        """The vectors in the format that the client asked for. Raises UpstreamError if they are no vectors."""
        return in_format(answer, self.request.encoding_format or "float").data

    def writer(self) -> None:
        """Embeddings are never streamed."""


EMBEDDINGS = Dialect(
    name="embeddings",
    path="/embeddings",
    scope="embeddings",
    read=ParsedEmbeddings.read,
    envelope=openai,
    operation=Operation(
        id="createEmbedding",
        tag="Embeddings",
        summary="Turn texts into vectors",
        request=EmbeddingsRequest,
        answer=EmbeddingsAnswer,
        example={"model": "echo", "input": ["first text", "second text"], "encoding_format": "float"},
        answered={
            "object": "list",
            "model": "echo",
            "data": [
                {"object": "embedding", "index": 0, "embedding": [0.6, 0.8]},
                {"object": "embedding", "index": 1, "embedding": [0.8, 0.6]},
            ],
            "usage": {"prompt_tokens": 4, "total_tokens": 4},
        },
    ),
)

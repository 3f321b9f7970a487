"""OpenAI's wire format: requests as validated models, answers as documents, streams of them."""

from .chat import ChatRequest
from .documents import (
    ChatChunk,
    ChatCompletion,
    Document,
    EmbeddingList,
    KeptResponse,
    ModelList,
    NativeText,
    Original,
    TextMember,
)
from .embeddings import EmbeddingsRequest
from .stream import ChatStream

__all__ = [
    "ChatChunk",
    "ChatCompletion",
    "ChatRequest",
    "ChatStream",
    "Document",
    "EmbeddingList",
    "EmbeddingsRequest",
    "KeptResponse",
    "ModelList",
    "NativeText",
    "Original",
    "TextMember",
]

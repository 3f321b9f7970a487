"""OpenAI's wire format: requests as validated models, answers as documents."""

from .chat import ChatRequest
from .documents import ChatChunk, ChatCompletion, Document, EmbeddingList, ModelList
from .embeddings import EmbeddingsRequest

__all__ = [
    "ChatChunk",
    "ChatCompletion",
    "ChatRequest",
    "Document",
    "EmbeddingList",
    "EmbeddingsRequest",
    "ModelList",
]

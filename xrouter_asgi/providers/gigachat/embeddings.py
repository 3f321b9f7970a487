"""Embeddings: requests cut into batches, answers put together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...wire import EmbeddingList, EmbeddingsRequest


def batches(
    request: EmbeddingsRequest, *, model: str | None = None, max_items: int = 90, max_characters: int = 1_000_000
) -> list[list[str]]:
    raise NotImplementedError


def merge(answers: Sequence[dict[str, Any]], *, model: str) -> EmbeddingList:
    raise NotImplementedError

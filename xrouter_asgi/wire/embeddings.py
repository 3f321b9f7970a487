"""`POST /v1/embeddings`: the request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from .chat import Integer, Name, Text
from .validation import WireModel


def _kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "<text>"
    if not isinstance(value, list):
        return None
    first = value[0] if value else ""
    if isinstance(first, list):
        return "<token lists>"
    return "<tokens>" if isinstance(first, int) and not isinstance(first, bool) else "<texts>"


_kind.__name__ = "a string or an array"

Tokens = Annotated[list[Integer], Field(min_length=1, max_length=300_000)]


class EmbeddingsRequest(WireModel):
    """Texts, or tokenised texts, to be turned into vectors. At most 2048 of them, none empty."""

    model: Name
    input: Annotated[
        Annotated[Name, Tag("<text>")]
        | Annotated[list[Name], Field(min_length=1, max_length=2048), Tag("<texts>")]
        | Annotated[Tokens, Tag("<tokens>")]
        | Annotated[list[Tokens], Field(min_length=1, max_length=2048), Tag("<token lists>")],
        Discriminator(_kind),
    ]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[Integer, Field(ge=1)] | None = None
    user: Text | None = None

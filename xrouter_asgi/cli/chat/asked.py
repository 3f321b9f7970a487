"""A model to talk to, wherever it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from ...context import Usage

SaidMessage: TypeAlias = dict[str, str]
"""One message of a conversation, as OpenAI's API writes it."""


@dataclass(slots=True)
class AnswerFacts:
    """What became known about an answer while it came.

    Attributes:
        target: Who answered, as `provider/model`.
        usage: None if nobody counted.
    """

    target: str = ""
    usage: Usage | None = None


class AskedModel(Protocol):
    """A model at a gateway, or at a provider."""

    @property
    def name(self) -> str:
        """As clients write it."""
        ...

    def ask(self, messages: Sequence[SaidMessage], facts: AnswerFacts) -> AsyncIterator[str]:
        """The pieces of the answer as they come. Raises GatewayError, whose text is for the user."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


def request_of(model: str, messages: Sequence[SaidMessage]) -> dict[str, Any]:
    """A request for a stream with its usage."""
    return {"model": model, "messages": [*messages], "stream": True, "stream_options": {"include_usage": True}}


def pieces(chunk: dict[str, Any], facts: AnswerFacts) -> Iterator[str]:
    """The text that a chunk adds. Its usage goes to the facts."""
    facts.usage = Usage.read(chunk.get("usage")) or facts.usage
    for choice in chunk.get("choices") or ():
        text = (choice.get("delta") or {}).get("content")
        if text:
            yield text

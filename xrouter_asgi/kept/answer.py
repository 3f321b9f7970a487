"""An answer as it is kept, and as the bytes that a store outside of this process holds."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from ..context import Usage
from ..wire import ChatChunk, ChatCompletion, Document, EmbeddingList
from ..wire.codec import decode, encode
from ..wire.documents import TextMember

AnswerKind: TypeAlias = Literal["completion", "stream", "embeddings"]

AnswerPart: TypeAlias = tuple[bytes, bytes | None, str | None, TextMember]
"""A text, its native one, and what a chunk says in which member: so no hit has to read them out of the JSON."""

_KINDS: Final = ("completion", "stream", "embeddings")


class KeptAnswer(NamedTuple):
    """An answer as it is kept. Nothing in it can be changed, and documents are made of it anew each time.

    Attributes:
        usage: The tokens of a whole answer.
        parts: The answer, or its chunks.
        size: Bytes of all texts.
    """

    kind: AnswerKind
    provider: str
    model: str
    warnings: tuple[str, ...]
    as_written: bool
    usage: Usage | None
    parts: tuple[AnswerPart, ...]
    size: int

    def whole(self) -> ChatCompletion | EmbeddingList:
        """The answer, if it is no stream."""
        data, native, _, _ = self.parts[0]
        return EmbeddingList(None, data) if self.kind == "embeddings" else ChatCompletion(None, data, native=native)

    def chunks(self) -> list[ChatChunk]:
        """The answer, if it is a stream."""
        return [
            ChatChunk(None, data, text=text, member=member, native=native) for data, native, text, member in self.parts
        ]

    def encode(self) -> bytes:
        """A line that says what it is, and the texts one after the other."""
        rows = [
            (len(data), None if native is None else len(native), text, member)
            for data, native, text, member in self.parts
        ]
        texts = [text for data, native, *_ in self.parts for text in (data, native or b"")]
        head = [self.kind, self.provider, self.model, self.warnings, self.as_written, self.usage, rows]
        return b"".join((encode(head), b"\n", *texts))

    @classmethod
    def decode(cls, data: bytes) -> KeptAnswer | None:
        """What was encoded; None for what another version, or somebody else, has put there."""
        head, _, rest = data.partition(b"\n")
        parts: list[AnswerPart] = []
        end = 0
        try:
            kind, provider, model, warnings, as_written, usage, rows = decode(head)
            for size, native_size, text, member in rows:
                begin, end = end, end + size
                body, native = rest[begin:end], None
                if native_size is not None:
                    begin, end = end, end + native_size
                    native = rest[begin:end]
                parts.append((body, native, text, member))
            counted = None if usage is None else Usage(*usage)
            words = tuple(warnings)
        except (ValueError, TypeError):
            return None
        if end != len(rest) or not parts or kind not in _KINDS:
            return None
        return cls(kind, provider, model, words, as_written, counted, tuple(parts), end)


def part_of(document: Document) -> AnswerPart:
    """A document as it is kept."""
    native = document.native if isinstance(document, (ChatChunk, ChatCompletion)) else None
    text, member = (document.text, document.member) if isinstance(document, ChatChunk) else (None, "content")
    return document.data, native, text, member

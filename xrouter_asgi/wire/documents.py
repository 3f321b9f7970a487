"""JSON objects as they travel: their bytes, and their decoded value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias

from ..context import Usage
from ..errors import XRouterError
from .codec import decode, encode

TextMember: TypeAlias = Literal["content", "reasoning_content", "refusal"]
"""The members of a delta, or of a message, that hold text."""


class Document:
    """A JSON object that is decoded at most once and encoded at most once.

    Args:
        value: The object. Do not change it once the document exists. None: it is decoded from `data` on first use.
        data: The same object as UTF-8 JSON. None: it is encoded from `value` on first use.
    """

    __slots__ = ("_data", "_value")

    def __init__(self, value: dict[str, Any] | None, data: bytes | None = None) -> None:
        self._value = value
        self._data = data

    @property
    def value(self) -> dict[str, Any]:
        if self._value is None:
            self._value = decode(self.data)
        return self._value

    @property
    def data(self) -> bytes:
        if self._data is None:
            self._data = encode(self.value)
        return self._data

    @property
    def size(self) -> int:
        """Bytes of the text, 0 as long as there is none."""
        return 0 if self._data is None else len(self._data)

    @property
    def usage(self) -> Usage | None:
        return Usage.read(self.value.get("usage"))

    def __repr__(self) -> str:
        # Shows no content: prompts and answers stay out of logs and tracebacks.
        return f"{type(self).__name__}({', '.join(self.value)})"

    def replace(self, **members: Any) -> Self:
        """A copy with these top-level members set."""
        return type(self)({**self.value, **members})

    def without(self, member: str) -> Self:
        """A copy without one top-level member."""
        return type(self)({name: value for name, value in self.value.items() if name != member})


class ChatCompletion(Document):
    """A whole answer, `object: "chat.completion"`.

    Attributes:
        native: The same as the upstream said it in the client's own dialect; None if it did not, or if somebody made
            another answer of it.
    """

    __slots__ = ("native",)

    def __init__(self, value: dict[str, Any] | None, data: bytes | None = None, *, native: bytes | None = None) -> None:
        self._value = value
        self._data = data
        self.native = native

    @property
    def size(self) -> int:
        """Bytes of the text that goes out, 0 as long as there is none."""
        return len(self.native or self._data or b"")

    @property
    def usage(self) -> Usage | None:
        """The tokens that the upstream counted, unless its text is longer than they can be."""
        told = Usage.read(self.value.get("usage"))
        if told is None or (self._data is not None and told.covers(len(self._data))):
            return told  # the text is no longer than the bytes that hold it
        if told.covers(sum(map(_length_of, self.value.get("choices") or ()))):
            return told
        return None


def _length_of(choice: dict[str, Any]) -> int:
    message = choice.get("message") or {}
    content = message.get("content")
    return length_beside_content(message) + (len(content) if isinstance(content, str) else 0)


def length_beside_content(said: dict[str, Any]) -> int:
    """How long the reasoning, the refusal and the arguments of calls are in a message or a delta."""
    texts = [said.get("reasoning_content"), said.get("refusal")]
    texts += [(call.get("function") or {}).get("arguments") for call in said.get("tool_calls") or ()]
    return sum(len(text) for text in texts if isinstance(text, str))


class ChatChunk(Document):
    """One piece of a streamed answer, `object: "chat.completion.chunk"`.

    Args:
        text: The text that the chunk adds to the first choice, if it does nothing else. It stands in JSON as it is: no
            character of it needs an escape.
        member: The member of the delta that `text` stands in.
        native: The events that say this in the client's own dialect, as they came; empty if they came with another
            chunk. None if the upstream does not speak that dialect, or if somebody made another chunk of it.
    """

    __slots__ = ("member", "native", "text")

    def __init__(
        self,
        value: dict[str, Any] | None,
        data: bytes | None = None,
        *,
        text: str | None = None,
        member: TextMember = "content",
        native: bytes | None = None,
    ) -> None:
        self._value = value
        self._data = data
        self.text = text
        self.member = member
        self.native = native

    @property
    def only_usage(self) -> bool:
        """Whether this is the extra chunk at the end, with `choices: []` and `usage`."""
        return not self.value.get("choices") and isinstance(self.value.get("usage"), dict)


class NativeText(ChatChunk):
    """A piece of text from an event of the client's own dialect. It becomes JSON of chat if somebody asks for it.

    Args:
        frame: The bytes of chat's JSON before and after the text, its quotes included.
    """

    __slots__ = ("_frame",)

    def __init__(self, text: str, native: bytes, *, frame: tuple[bytes, bytes], member: TextMember) -> None:
        self._value = None
        self._data = None
        self._frame = frame
        self.text = text
        self.member = member
        self.native = native

    @property
    def data(self) -> bytes:
        if self._data is None:
            self._data = (self.text or "").encode().join(self._frame)
        return self._data


@dataclass(frozen=True, slots=True)
class Original:
    """What a client wrote, where a dialect translated it into a chat request.

    Attributes:
        dialect: The name of the dialect. Empty, which nobody speaks, if no account that callers share may be sent it.
        document: The client's own JSON.
        translation: The chat request that it became. It is the original of no other one.
        forwarded: What an upstream that speaks the dialect is sent: `document` without what only this gateway reads.
        warnings: What `forwarded` leaves out, as words for `x-xrouter-warnings`.
        untranslatable: Refuses a provider that does not speak the dialect, if the translation lacks something.
        owned: The same for an account of the caller's own, which may be told what it keeps.
    """

    dialect: str
    document: Document
    translation: Document
    forwarded: Document
    warnings: Sequence[str] = ()
    untranslatable: XRouterError | None = None
    owned: Original | None = None


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """One answer and what it answered, kept for requests that refer to it.

    Attributes:
        id: Its id, which nobody can guess.
        ancestors: The ids of the answers that it continues, oldest first.
        input: What its own request added to theirs: a JSON array of items.
        response: The answer, a JSON object.
    """

    id: str
    ancestors: tuple[str, ...]
    input: bytes = field(repr=False)
    response: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of both texts."""
        return len(self.input) + len(self.response)


class EmbeddingList(Document):
    """The answer to an embeddings request, `object: "list"`."""

    __slots__ = ()

    @property
    def data(self) -> bytes:
        """The text, encoded vector by vector: millions of numbers at once would hold up the event loop."""
        if self._data is None:
            rows = b",".join(map(encode, self.value["data"]))
            members = [
                b"%b:%b" % (encode(name), b"[%b]" % rows if name == "data" else encode(member))
                for name, member in self.value.items()
            ]
            self._data = b"{%b}" % b",".join(members)
        return self._data

    @property
    def size(self) -> int:
        """Bytes of the text, or about as many as it will have."""
        if self._data is not None:
            return len(self._data)
        return sum(
            len(row["embedding"]) * (1 if isinstance(row["embedding"], str) else 20) for row in self.value["data"]
        )


class ModelList(Document):
    """The models of a provider, `object: "list"`."""

    __slots__ = ()

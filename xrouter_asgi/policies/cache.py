"""Cache: what was asked before in the same words is answered from what was answered then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from ..checks import require_positive
from ..context import Usage
from ..kept import AnswerStore
from ..providers.base import ANSWER_HEADERS, CLIENT_CREDENTIAL, Body, Call, HeaderList, Provider, Reply
from ..providers.target import Wrapper
from ..wire import ChatChunk, ChatCompletion, ChatRequest, Document, EmbeddingList
from ..wire.codec import decode, encode
from ..wire.reading import by_size
from ..wire.stream import ChatStream

Kind: TypeAlias = Literal["completion", "stream", "embeddings"]

MAX_ANSWER: Final = 4 << 20  # bytes of an answer that is kept


class Cache(Wrapper):
    """Answer from the store what the same caller asked before in exactly the same words.

    Words are compared as bytes, so JSON that says the same in another order is another question.

    A hit asks no upstream and makes no attempt, so it costs nothing of the limits of tokens and money. A stream is
    replayed as a stream. `x-xrouter-cache` says `hit`, `miss`, or `bypass` for what is not looked up: a chat with
    another `temperature` than 0, a request with a credential of the caller's own, and one with
    `cache-control: no-store`. With `no-cache` it is not looked up, but its answer is kept.

    Args:
        inner: The provider.
        store: Keeps the answers; whoever makes it closes it.
        ttl: Seconds that an answer is kept. Above 0.
        shared: Whether all callers share their answers. Else what one was answered is never shown to another.
        any_temperature: Whether a chat is looked up whatever its `temperature`.

    Answers of more than 4 MiB, answers that were cut short by a filter and broken streams are not kept.

    Place it outside of all other policies: a hit waits for no queue and opens no circuit.
    """

    def __init__(
        self,
        inner: Provider,
        *,
        store: AnswerStore,
        ttl: float,
        shared: bool = False,
        any_temperature: bool = False,
    ) -> None:
        require_positive(ttl=ttl)
        super().__init__(inner)
        self._store = store
        self._ttl = ttl
        self._shared = shared
        self._any_temperature = any_temperature

    async def send(self, call: Call, /) -> Reply:
        told = _told(call.headers)
        if told.no_store or told.credential or not self._may_repeat(call):
            return _marked(await self.inner.send(call), call, "bypass")
        owner = "" if self._shared else call.context.caller
        key = await by_size(call.document.size, _key, call, told.shaping)
        if not told.no_cache and (data := await self._store.get(owner, key)) is not None:
            kept = await by_size(len(data), _decode, data)
            if kept is not None:
                return _marked(await _replayed(kept), call, "hit")
        reply = _marked(await self.inner.send(call), call, "miss")
        if reply.stream is not None:
            return replace(reply, body=await ChatStream.start(self._recorded(reply, reply.stream, owner, key)))
        await self._keep(reply, [cast(Document, reply.body)], owner, key)
        return reply

    def _may_repeat(self, call: Call) -> bool:
        """Whether the answer to a call may answer another one."""
        if not isinstance(call.request, ChatRequest):
            return True
        return self._any_temperature or call.document.value.get("temperature") == 0

    async def _recorded(
        self, reply: Reply, stream: ChatStream, owner: str, key: str
    ) -> AsyncIterator[Sequence[ChatChunk]]:
        """The stream; at its end, if that is a good one, it is kept."""
        chunks: list[ChatChunk] = []
        size = 0
        try:
            async for batch in stream:
                if size <= MAX_ANSWER:
                    chunks += batch
                    size += sum(map(_size, batch))
                yield batch
        finally:
            await stream.aclose()
        await self._keep(reply, chunks, owner, key)

    async def _keep(self, reply: Reply, documents: Sequence[Document], owner: str, key: str) -> None:
        size = sum(map(_size, documents))
        if size <= MAX_ANSWER and not any(map(_was_filtered, documents)):
            await self._store.put(owner, key, await by_size(size, _encode, reply, documents), self._ttl)


def _marked(reply: Reply, call: Call, found: Literal["hit", "miss", "bypass"]) -> Reply:
    call.context.cache = found
    reply.headers = (*reply.headers, ("x-xrouter-cache", found))
    return reply


class _Told(NamedTuple):
    """What a client's headers say: in `cache-control` (RFC 9111, 5.2.1), and of the upstream."""

    no_store: bool
    no_cache: bool
    credential: bool  # of the caller's own: who pays, and for what they may see, is the upstream's to know
    shaping: Sequence[str]  # the headers that change the answer


def _told(headers: HeaderList) -> _Told:
    wishes, credential, shaping = b"", False, []
    for name, value in headers:
        if name == b"cache-control":
            wishes += b"," + value.lower()
        elif name == CLIENT_CREDENTIAL:
            credential = credential or bool(value)
        elif name in ANSWER_HEADERS:
            shaping.append(f"{name.decode('latin-1')}:{value.decode('latin-1')}")
    return _Told(b"no-store" in wishes, b"no-cache" in wishes, credential, shaping)


def _key(call: Call, shaping: Sequence[str]) -> str:
    """A digest of everything that the answer depends on, the settings included.

    Of the texts as they are: to sort their members first would add a tenth to all that a hit costs.
    """
    texts, dialect = [call.document.data], None
    if call.original is not None:
        texts.append(call.original.document.data)
        dialect = call.original.dialect
    # With the sizes nobody can move the border between two texts.
    head = encode([call.context.decision.version, call.model, dialect, shaping, *map(len, texts)])
    return blake2b(b"\n".join((head, *texts)), digest_size=20).hexdigest()


def _native(document: Document) -> bytes | None:
    return document.native if isinstance(document, (ChatChunk, ChatCompletion)) else None


def _size(document: Document) -> int:
    return len(document.data) + len(_native(document) or b"") if document.size <= MAX_ANSWER else document.size


def _was_filtered(document: Document) -> bool:
    if b"content_filter" not in document.data:
        return False
    return any(choice.get("finish_reason") == "content_filter" for choice in document.value.get("choices") or ())


class _Kept(NamedTuple):
    """An answer as it is kept."""

    kind: Kind
    provider: str
    model: str
    warnings: Sequence[str]
    as_written: bool
    usage: Usage | None  # of a whole answer
    documents: Sequence[Document]  # the answer, or its chunks


def _encode(reply: Reply, documents: Sequence[Document]) -> bytes:
    """A line that says what it is, and the texts one after the other.

    The line holds the usage of a whole answer and the text of a chunk, so that no hit has to read them out of the JSON.
    """
    kind: Kind = "embeddings"
    usage = None
    if isinstance(reply.body, ChatStream):
        kind = "stream"
    else:
        usage = reply.body.usage
        if isinstance(reply.body, ChatCompletion):
            kind = "completion"
    rows = [*map(_row, documents)]
    texts = [text for document in documents for text in (document.data, _native(document) or b"")]
    head = [kind, reply.provider, reply.model, [*reply.warnings], reply.as_written, usage, rows]
    return b"".join((encode(head), b"\n", *texts))


def _row(document: Document) -> tuple[int, int | None, str | None, str]:
    """The sizes of a text and of its native one, and what a chunk says in which member."""
    native = _native(document)
    text, member = (document.text, document.member) if isinstance(document, ChatChunk) else (None, "content")
    return len(document.data), None if native is None else len(native), text, member


def _decode(data: bytes) -> _Kept | None:
    """What was encoded; None for what another version, or somebody else, has put there."""
    head, _, rest = data.partition(b"\n")
    documents: list[Document] = []
    end = 0
    try:
        kind, provider, model, warnings, as_written, usage, rows = decode(head)
        for size, native_size, text, member in rows:
            begin, end = end, end + size
            body, native = rest[begin:end], None
            if native_size is not None:
                begin, end = end, end + native_size
                native = rest[begin:end]
            match kind:
                case "stream":
                    documents.append(ChatChunk(None, body, text=text, member=member, native=native))
                case "completion":
                    documents.append(ChatCompletion(None, body, native=native))
                case "embeddings":
                    documents.append(EmbeddingList(None, body))
        counted = None if usage is None else Usage(*usage)
    except (ValueError, TypeError):
        return None
    if end != len(rest) or not documents:
        return None
    return _Kept(kind, provider, model, warnings, as_written, counted, documents)


async def _replayed(kept: _Kept) -> Reply:
    body: Body
    if kept.kind == "stream":
        body = await ChatStream.replay([cast(Sequence[ChatChunk], kept.documents)])
    else:
        body = cast(ChatCompletion | EmbeddingList, kept.documents[0])
    return Reply(body, kept.provider, kept.model, kept.warnings, as_written=kept.as_written, usage=kept.usage)

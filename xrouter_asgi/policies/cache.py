"""Cache: what was asked before in the same words is answered from what was answered then."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import accumulate
from typing import Final, Literal, NamedTuple, TypeAlias, cast, get_args

from ..checks import require_positive
from ..kept import AnswerStore
from ..providers.base import CLIENT_CREDENTIAL, Body, Call, Provider, Reply
from ..providers.target import Wrapper
from ..wire import ChatChunk, ChatCompletion, ChatRequest, Document, EmbeddingList
from ..wire.codec import decode, encode
from ..wire.reading import by_size
from ..wire.stream import ChatStream

Kind: TypeAlias = Literal["completion", "stream", "embeddings"]

MAX_ANSWER: Final = 4 << 20  # bytes of an answer that is kept


class Cache(Wrapper):
    """Answer from the store what the same caller asked before in exactly the same words.

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
        wishes = _wishes(call)
        if "no-store" in wishes or not self._may_repeat(call):
            return _marked(await self.inner.send(call), call, "bypass")
        owner = "" if self._shared else call.context.caller
        key = await by_size(call.document.size, _key, call)
        if "no-cache" not in wishes and (data := await self._store.get(owner, key)) is not None:
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
        if call.header(CLIENT_CREDENTIAL):
            return False  # who pays, and for what they may see, is the upstream's to know
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


def _wishes(call: Call) -> str:
    """The client's `cache-control` (RFC 9111, 5.2.1), of which `no-store` and `no-cache` are honoured."""
    return (call.header(b"cache-control") or "").lower()


def _key(call: Call) -> str:
    """A digest of everything that the answer depends on, the settings included."""
    original = call.original
    asked = [call.context.decision.version, call.model, call.document.value]
    if original is not None:
        asked += [original.dialect, original.document.value]
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode("ascii"), digest_size=20).hexdigest()


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
    texts: Sequence[bytes]  # of the answer, or of each chunk
    natives: Sequence[bytes | None]  # the same in the client's own dialect


def _encode(reply: Reply, documents: Sequence[Document]) -> bytes:
    """A line that says what it is, and the texts one after the other: none of them is read to be kept."""
    kind: Kind = "embeddings"
    if isinstance(reply.body, ChatStream):
        kind = "stream"
    elif isinstance(reply.body, ChatCompletion):
        kind = "completion"
    texts = [document.data for document in documents]
    natives = [*map(_native, documents)]
    sizes = [*map(len, texts)], [None if native is None else len(native) for native in natives]
    head = [kind, reply.provider, reply.model, [*reply.warnings], reply.as_written, *sizes]
    return b"\n".join((encode(head), b"".join([*texts, *(native or b"" for native in natives)])))


def _decode(data: bytes) -> _Kept | None:
    """What was encoded; None for what another version, or somebody else, has put there."""
    head, _, rest = data.partition(b"\n")
    try:
        kind, provider, model, warnings, as_written, sizes, natives = decode(head)
        ends = [*accumulate([*sizes, *(size or 0 for size in natives)])]
        if ends[-1] != len(rest) or kind not in get_args(Kind) or len(sizes) != len(natives):
            return None
        pieces = [
            None if size is None else rest[end - size : end] for end, size in zip(ends, [*sizes, *natives], strict=True)
        ]
        texts = [piece or b"" for piece in pieces[: len(sizes)]]
        return _Kept(kind, provider, model, warnings, as_written, texts, pieces[len(sizes) :])
    except (ValueError, TypeError, IndexError):
        return None


async def _replayed(kept: _Kept) -> Reply:
    body: Body
    match kept.kind:
        case "stream":
            pairs = zip(kept.texts, kept.natives, strict=True)
            body = await ChatStream.replay([[ChatChunk(None, text, native=native) for text, native in pairs]])
        case "completion":
            body = ChatCompletion(None, kept.texts[0], native=kept.natives[0])
        case "embeddings":
            body = EmbeddingList(None, kept.texts[0])
    return Reply(body, kept.provider, kept.model, kept.warnings, as_written=kept.as_written)

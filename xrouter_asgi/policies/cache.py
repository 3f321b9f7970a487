"""Cache: what was asked before in the same words is answered from what was answered then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, cast

from ..checks import require_positive
from ..kept import AnswerStore, KeptAnswer
from ..kept.answer import AnswerKind, part_of
from ..providers.base import ANSWER_HEADERS, CLIENT_CREDENTIAL, Body, Call, HeaderList, Provider, Reply
from ..providers.target import Wrapper
from ..wire import ChatChunk, ChatCompletion, ChatRequest, Document
from ..wire.codec import encode
from ..wire.reading import SMALL, by_size, off_loop
from ..wire.stream import ChatStream

MAX_ANSWER: Final = 4 << 20  # bytes of an answer that is kept

_SHORT: Final = 2 << 10  # bytes of a question that is its own key: a digest would cost as much as all else of a hit
_HEARD: Final = frozenset({b"cache-control", CLIENT_CREDENTIAL, *ANSWER_HEADERS})


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
        asked, shaping = call.document, told.shaping
        key = _key(call, shaping) if asked.size <= SMALL else await off_loop(_key, call, shaping)
        if not told.no_cache and (kept := await self._store.get(owner, key)) is not None:
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
        self, reply: Reply, stream: ChatStream, owner: str, key: bytes
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

    async def _keep(self, reply: Reply, documents: Sequence[Document], owner: str, key: bytes) -> None:
        size = sum(map(_size, documents))
        if size <= MAX_ANSWER and not any(map(_was_filtered, documents)):
            kept = await by_size(size, _kept, reply, documents, size)
            await self._store.put(owner, key, kept, self._ttl)


def _marked(reply: Reply, call: Call, found: Literal["hit", "miss", "bypass"]) -> Reply:
    call.context.cache = found
    reply.headers = (*reply.headers, ("x-xrouter-cache", found))
    return reply


class _Told(NamedTuple):
    """What a client's headers say: in `cache-control` (RFC 9111, 5.2.1), and of the upstream."""

    no_store: bool = False
    no_cache: bool = False
    credential: bool = False  # of the caller's own: who pays, and for what they may see, is the upstream's to know
    shaping: Sequence[str] = ()  # the headers that change the answer


_TOLD_NOTHING = _Told()


def _told(headers: HeaderList) -> _Told:
    heard = [header for header in headers if header[0] in _HEARD]
    if not heard:
        return _TOLD_NOTHING
    wishes = b",".join([value for name, value in heard if name == b"cache-control"]).lower()
    credential = any(value for name, value in heard if name == CLIENT_CREDENTIAL)
    shaping = [f"{name!r}:{value!r}" for name, value in heard if name in ANSWER_HEADERS]
    return _Told(b"no-store" in wishes, b"no-cache" in wishes, credential, shaping)


def _key(call: Call, shaping: Sequence[str]) -> bytes:
    """Everything that the answer depends on, the settings included: as it is if it is short, else a digest of it.

    Of the texts as they are: to sort their members first would add a tenth to all that a hit costs.
    """
    text, original = call.document.data, call.original
    dialect, written = (None, b"") if original is None else (original.dialect, original.document.data)
    # With its size nobody can move the border between two texts.
    head = encode([call.context.decision.version, call.model, dialect, shaping, len(text)])
    asked = b"".join((head, text, written))
    return asked if len(asked) <= _SHORT else blake2b(asked, digest_size=20).digest()


def _size(document: Document) -> int:
    if document.size > MAX_ANSWER:
        return document.size
    native = document.native if isinstance(document, (ChatChunk, ChatCompletion)) else None
    return len(document.data) + len(native or b"")


def _was_filtered(document: Document) -> bool:
    if b"content_filter" not in document.data:
        return False
    return any(choice.get("finish_reason") == "content_filter" for choice in document.value.get("choices") or ())


def _kept(reply: Reply, documents: Sequence[Document], size: int) -> KeptAnswer:
    kind: AnswerKind = "embeddings"
    usage = None
    if isinstance(reply.body, ChatStream):
        kind = "stream"
    else:
        usage = reply.body.usage
        if isinstance(reply.body, ChatCompletion):
            kind = "completion"
    parts = tuple(map(part_of, documents))
    return KeptAnswer(kind, reply.provider, reply.model, (*reply.warnings,), reply.as_written, usage, parts, size)


async def _replayed(kept: KeptAnswer) -> Reply:
    body: Body
    if kept.kind == "stream":
        body = await ChatStream.replay([await by_size(kept.size, kept.chunks)])
    else:
        body = kept.whole()
    return Reply(body, kept.provider, kept.model, kept.warnings, as_written=kept.as_written, usage=kept.usage)

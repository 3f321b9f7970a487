"""The seam of the inner onion: a provider takes a typed call and gives a typed reply.

A provider of yours needs `Provider` alone. Ours are `ReadyProvider`s as well, and so is every wrapper (see `target`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

from ..context import CLIENT_CREDENTIAL as CLIENT_CREDENTIAL
from ..context import RequestContext, Usage
from ..decision import Attempt
from ..decision import Unready as Unready
from ..errors import XRouterError
from ..wire import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    Document,
    EmbeddingList,
    EmbeddingsRequest,
    ModelList,
    Original,
)
from ..wire.stream import ChatStream

Request: TypeAlias = ChatRequest | EmbeddingsRequest
Body: TypeAlias = ChatCompletion | ChatStream | EmbeddingList
HeaderList: TypeAlias = Sequence[tuple[bytes, bytes]]

ANSWER_HEADERS = frozenset({b"anthropic-version", b"anthropic-beta"})
"""Those of the client's headers that go upstream and change what is answered there."""

MAX_WARNINGS = 24
"""Words in one answer: a client chooses how many unknown members it sends, and a header has its bounds."""

_NOT_A_WORD = re.compile(r"[^a-z0-9_]+")
_FROM_REQUEST = cast(Document, None)


@dataclass(slots=True, eq=False)
class Call:
    """What goes down the inner onion. Nobody changes it: whoever wants another one makes a copy.

    It is not frozen because that more than doubles the time to make one, and each request makes three.

    Attributes:
        request: What is asked.
        model: The model to ask for: first the client's name, below `Target` the upstream's.
        stem: What `*` stood for when the client's name matched a pattern.
        document: The request as JSON: the client's own bytes where there are any.
        original: What the client wrote, if a dialect translated it into `document`. A provider that speaks the dialect
            sends `original.forwarded` in its place. A call with another document has none.
        translated: Whether a dialect wrote `document`, changed or not. What a client of chat wrote itself is sent as it
            is; a translation is spelled as the upstream needs it.
        headers: The client's headers as ASGI gives them. A provider reads the few that it knows by name; none is ever
            copied upstream as a whole.
        context: What becomes known about this request.
        deadline: When everything has to be over, queues and retries included, in seconds of the event loop's clock.
        elsewhere: Whether another upstream can be asked instead, so that waiting for this one is a waste. Set by
            `Fallback`.
        repeats: What this upstream failed with before, when `Fallback` comes back to it.
        attempt: The attempt that it is part of; None above `Target`.
        trace_headers: Headers that hang the upstream's spans below this attempt. Never the client's baggage.
    """

    request: Request = field(repr=False)  # prompts stay out of logs and tracebacks
    model: str = ""
    stem: str = ""
    document: Document = field(default=_FROM_REQUEST, kw_only=True)
    original: Original | None = field(default=None, kw_only=True, repr=False)
    translated: bool = field(default=False, kw_only=True)
    headers: HeaderList = field(default=(), kw_only=True, repr=False)
    context: RequestContext = field(default_factory=RequestContext, kw_only=True)
    deadline: float | None = field(default=None, kw_only=True)
    elsewhere: bool = field(default=False, kw_only=True)
    repeats: XRouterError | None = field(default=None, kw_only=True)
    attempt: Attempt | None = field(default=None, kw_only=True)
    trace_headers: HeaderList = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if self.document is _FROM_REQUEST:
            self.document = Document(self.request.model_dump(mode="json", by_alias=True, exclude_unset=True))
        if not self.model:
            self.model = self.request.model
        if self.original is not None:
            self.translated = True
            if self.original.translation is not self.document:
                self.original = None  # so no copy with another document passes for what the client wrote

    def within(self, attempt: Attempt, model: str, trace_headers: HeaderList) -> Call:
        """The same call as part of this attempt, for this model."""
        call = self._copy()
        call.model = model
        call.attempt = attempt
        call.trace_headers = trace_headers
        return call

    def until(self, deadline: float) -> Call:
        """The same call with this deadline."""
        call = self._copy()
        call.deadline = deadline
        return call

    def among_others(self, *, elsewhere: bool, repeats: XRouterError | None = None) -> Call:
        """The same call for one of several upstreams."""
        call = self._copy()
        call.elsewhere = elsewhere
        call.repeats = repeats
        return call

    def for_own_account(self) -> Call:
        """The same call for an upstream account of the caller's own, which may be told what it keeps."""
        if self.original is None or self.original.owned is None:
            return self
        call = self._copy()
        call.original = self.original.owned
        return call

    def asking(self, value: dict[str, Any]) -> Call:
        """The same call with another request, which is no longer what the client wrote.

        Args:
            value: Its JSON, of the same kind.

        Raises InvalidRequest if it is none, or if the client asked for more than JSON of this kind can say.
        """
        if self.original is not None and self.original.untranslatable is not None:
            raise self.original.untranslatable
        call = self._copy()
        call.request = type(self.request).of(value)
        call.document = Document(value)
        call.original = None
        return call

    def _copy(self) -> Call:
        # `dataclasses.replace` and the class itself take four times as long.
        call = object.__new__(Call)
        call.request = self.request
        call.model = self.model
        call.stem = self.stem
        call.document = self.document
        call.original = self.original
        call.translated = self.translated
        call.headers = self.headers
        call.context = self.context
        call.deadline = self.deadline
        call.elsewhere = self.elsewhere
        call.repeats = self.repeats
        call.attempt = self.attempt
        call.trace_headers = self.trace_headers
        return call

    def header(self, name: bytes) -> str | None:
        """The client's header of that lower-case name."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)


@dataclass(slots=True)
class Reply:
    """What comes back once the upstream has committed itself: a whole answer, or a stream whose first chunk is here.

    Attributes:
        provider: The name of the provider that answered.
        model: The upstream's name of the model that answered.
        warnings: What was ignored or changed on the way, as words for `x-xrouter-warnings` such as `seed_ignored`.
        headers: Facts about the upstream's answer for the client, such as `x-gigachat-request-id`.
        as_written: The upstream was sent what the client wrote, so no translation left anything out.
        usage: The tokens of a whole answer that no attempt brought, if they are known without reading it.
        attempt: The attempt that brought it. Set by `Target`.
    """

    body: Body
    provider: str
    model: str = ""
    warnings: Sequence[str] = ()
    headers: Sequence[tuple[str, str]] = ()
    as_written: bool = False
    usage: Usage | None = None
    attempt: Attempt | None = None

    @property
    def stream(self) -> ChatStream | None:
        """The body if it is a stream, None if it is whole."""
        return self.body if isinstance(self.body, ChatStream) else None

    def when_ended(self, told: Callable[[BaseException | None], None]) -> None:
        """Have `told` called once, at the end of the body: at once for a whole one. See `ChatStream.when_ended`."""
        if isinstance(self.body, ChatStream):
            self.body.when_ended(told)
        else:
            told(None)

    def read_through(
        self, around: Callable[[AsyncIterator[Sequence[ChatChunk]]], AsyncIterator[Sequence[ChatChunk]]]
    ) -> None:
        """Read the rest of a stream through another iterator. Nothing is left to read of a whole body."""
        if isinstance(self.body, ChatStream):
            self.body.read_through(around)

    async def aclose(self) -> None:
        """Close the upstream of a stream that nobody will read on. Safe to call twice."""
        if isinstance(self.body, ChatStream):
            await self.body.aclose()


class Provider(Protocol):
    """Says a call in the language of one upstream. This is all that a provider of yours needs."""

    @property
    def name(self) -> str:
        """How configuration, logs and `x-xrouter-provider` call it."""
        ...

    # Not `async def`: pyright would then demand that of every provider, and some policies return the coroutine of the
    # inner one.
    def send(self, call: Call, /) -> Coroutine[Any, Any, Reply]:
        """Answer the call. Returns when, and only when, the upstream has accepted.

        `Target` ends a call that is still not answered, or whose stream has not ended, 0.1 s after `call.deadline`.

        Raises:
            XRouterError: And nothing else. An UpstreamError is the upstream's fault, an InvalidRequest the caller's.
        """
        ...

    async def aclose(self) -> None:
        """Close connections; safe to call twice. Whoever makes a provider closes it."""
        ...


@runtime_checkable
class ReadyProvider(Provider, Protocol):
    """A provider that says beforehand whether it can take a call, keeps deadlines by itself, and lists its models."""

    def ready(self, call: Call, /) -> Unready | None:
        """None if the call would go upstream at once; else why not, and until when. Asks nobody and changes nothing."""
        ...

    async def models(self, *, deadline: float | None = None) -> ModelList:
        """The models of the upstream, under its own names.

        Args:
            deadline: When to stop waiting, in seconds of the event loop's clock. Work that others share goes on.

        Raises:
            XRouterError: As `send`.
        """
        ...


@runtime_checkable
class NativeProvider(Protocol):
    """A provider that sends what clients of some dialects wrote: `call.original.forwarded` in place of the document."""

    def speaks(self, dialect: str, /) -> bool:
        """Whether what a client of that dialect wrote is sent."""
        ...


@runtime_checkable
class TokenCounter(Protocol):
    """A provider that can say how many tokens a request has, without asking a model."""

    async def count_tokens(self, call: Call, /) -> int | None:
        """The tokens of the prompt; None if the upstream cannot say. Raises XRouterError, as `send`."""
        ...


@runtime_checkable
class TokenHolder(Protocol):
    """A provider that exchanges its credentials for tokens of a limited life."""

    @property
    def token_expires(self) -> float | None:
        """When the present token does, in seconds of the event loop's clock; None without one, or if nobody knows."""
        ...


def uses_client_credential(call: Call) -> bool:
    """Whether the caller brings a credential of its own for the upstream, which no other upstream may be shown."""
    return bool(call.header(CLIENT_CREDENTIAL))


def ignored_word(member: str) -> str:
    """The warning that a member of the request was left out, such as `seed_ignored`; of a long name its beginning."""
    return f"{_NOT_A_WORD.sub('_', member[:48].lower())}_ignored"

"""Any upstream that speaks Anthropic's Messages API. What its own clients write is passed on, all else translated."""

from __future__ import annotations

import re
from asyncio import get_running_loop
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx

from ...errors import UnsupportedOperation
from ...wire import ChatCompletion, ChatRequest, ModelList
from ...wire.codec import encode
from ...wire.members import splice
from ...wire.reading import by_size
from ...wire.stream import ChatStream
from ..base import Call, HeaderList, Reply, Unready
from ..http import (
    TLS,
    USER_AGENT,
    AnswerStream,
    Batches,
    ChunkDecoder,
    ErrorReader,
    ErrorRule,
    Instrument,
    NativeDecoder,
    Redaction,
    Timeouts,
    Upstream,
    UpstreamAnswer,
    json_object,
    start_stream,
)
from .answer import chunks_of, completion
from .errors import refusal, upstream_ids
from .events import MessageEvents
from .listing import MAX_PAGES, PAGE, model_list, next_page
from .names import Aliases
from .options import AnthropicOptions
from .stream import MessageDecoder
from .translate import translate

BASE_URL = "https://api.anthropic.com/v1"
MAX_BODY = 32 << 20
MODELS_TTL = 60.0

_NONE: Mapping[str, str] = MappingProxyType({})
_VERSION = b"anthropic-version"
_BETA = b"anthropic-beta"
_DEFAULT_VERSION = "2023-06-01"
_IS_VERSION = re.compile(r"\d{4}-\d\d-\d\d")
_RECEIVE = ((b"Accept", b"application/json"),)
_SEND = ((b"Content-Type", b"application/json"),)
_NO_COUNT = (404, 405, 501)


class AnthropicProvider:
    """Chats and models of one upstream that speaks the Messages API: Claude's own, or another at `base_url`.

    What a client of the Messages API wrote goes up as it came, except for `model`, and the upstream's own answer comes
    down. Of a client's headers `anthropic-version` goes up, and with such a request `anthropic-beta`.

    Args:
        api_key: Sent as `x-api-key`; None sends none.
        base_url: Up to and including `/v1`, or what the upstream has instead.
        headers: Sent with every request, such as `Authorization` for upstreams that want a bearer token. Their values
            are treated as secrets.
        timeouts: `first` also bounds the wait for the first block of a stream, `idle` the wait between two events.
        tls: Whom to trust, and with which certificate to identify ourselves.
        proxy, http2, max_connections, transport, instrument: See `Upstream`.
        errors: Whose fault its errors are, before the table of this package says it. The first that holds counts.
        options: About the translation.

    Raises:
        ValueError: For an address, a header or a file that cannot be used.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str = BASE_URL,
        headers: Mapping[str, str] = _NONE,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 -- frozen
        tls: TLS = TLS(),  # noqa: B008 -- frozen
        proxy: str | None = None,
        http2: bool = False,
        max_connections: int = 1000,
        errors: Sequence[ErrorRule] = (),
        name: str = "anthropic",
        transport: httpx.AsyncBaseTransport | None = None,
        instrument: Instrument | None = None,
        options: AnthropicOptions = AnthropicOptions(),  # noqa: B008 -- frozen
    ) -> None:
        self.name = name
        credential = {"x-api-key": api_key} if api_key else {}
        self._upstream = Upstream(
            base_url,
            headers={"User-Agent": USER_AGENT, **credential, **headers},
            timeouts=timeouts,
            tls=tls,
            proxy=proxy,
            http2=http2,
            max_connections=max_connections,
            transport=transport,
            instrument=instrument,
        )
        self._timeouts, self._options = timeouts, options
        self._errors = ErrorReader(Redaction([api_key or "", *headers.values()], hosts=[self._upstream.host]), errors)
        self._models: tuple[float, ModelList] | None = None  # until when, in the loop's time
        self._closed = False

    def __repr__(self) -> str:
        return f"AnthropicProvider(name={self.name!r})"

    def ready(self, call: Call, /) -> Unready | None:
        """None until it is closed: the upstream says itself when it is busy."""
        return Unready("closed", None, "closed") if self._closed else None

    def speaks(self, dialect: str, /) -> bool:
        """Whether it sends what a client of that dialect wrote as it is."""
        return dialect == "messages"

    async def send(self, call: Call, /) -> Reply:
        """Answer a chat. See `Provider.send()`. Raises UnsupportedOperation for embeddings."""
        request = self._chat(call)
        sent = await self._written(call, request)
        content = sent.content
        headers = self._headers(call, b"text/event-stream" if request.stream else b"application/json", sent)
        body: ChatCompletion | ChatStream
        answer: UpstreamAnswer | AnswerStream
        if request.stream:
            answer = await self._upstream.open(
                "POST", "/messages", headers=headers, content=content, deadline=call.deadline
            )
            body = await self._stream(answer, call, sent)
        else:
            answer = await self._upstream.fetch(
                "POST", "/messages", headers=headers, content=content, limit=MAX_BODY, deadline=call.deadline
            )
            body = await self._completion(answer, call, sent)
        facts = upstream_ids(answer.headers)
        return Reply(body, self.name, call.model, sent.warnings, headers=facts, as_written=sent.native)

    async def count_tokens(self, call: Call, /) -> int | None:
        """The tokens of a chat, as the upstream counts them; None if it cannot. See `TokenCounter`."""
        sent = await self._written(call, self._chat(call), counting=True)
        headers = self._headers(call, b"application/json", sent)
        answer = await self._upstream.fetch(
            "POST", "/messages/count_tokens", headers=headers, content=sent.content, deadline=call.deadline
        )
        if answer.status in _NO_COUNT:
            return None
        value = self._object(answer, call.model)
        count = value.get("input_tokens")
        return count if type(count) is int and count >= 0 else None

    async def models(self, *, deadline: float | None = None) -> ModelList:
        """The models of the upstream, remembered for a minute. See `ReadyProvider.models`."""
        if self._models is None or get_running_loop().time() >= self._models[0]:
            pages: list[dict[str, Any]] = []
            after: str | None = ""
            while after is not None and len(pages) < MAX_PAGES:
                query = urlencode({"limit": PAGE, **({"after_id": after} if after else {})})
                headers = [*_RECEIVE, (_VERSION, _DEFAULT_VERSION.encode())]
                path = f"/models?{query}"
                answer = await self._upstream.fetch("GET", path, headers=headers, limit=MAX_BODY, deadline=deadline)
                pages.append(await by_size(len(answer.body), self._object, answer, ""))
                after = next_page(pages[-1])
            self._models = get_running_loop().time() + MODELS_TTL, model_list(pages, owner=self.name)
        return self._models[1]

    async def aclose(self) -> None:
        self._closed = True
        await self._upstream.aclose()

    def _chat(self, call: Call) -> ChatRequest:
        if isinstance(call.request, ChatRequest):
            return call.request
        raise UnsupportedOperation("The Messages API has no embeddings. Ask another model for them.", param="model")

    async def _written(self, call: Call, request: ChatRequest, *, counting: bool = False) -> _Written:
        if (original := call.original) is not None and self.speaks(original.dialect):
            model, document = {"model": call.model}, original.forwarded
            content = await by_size(_size(call), splice, document.data, document.value, model)
            return _Written(content, original.warnings, Aliases(), native=True)
        translated = await by_size(_size(call), translate, request, model=call.model, options=self._options)
        body = translated.counted if counting else translated.body
        return _Written(await by_size(_size(call), encode, body), translated.warnings, translated.names, native=False)

    def _headers(self, call: Call, accept: bytes, sent: _Written) -> HeaderList:
        version = call.header(_VERSION) or ""
        if not _IS_VERSION.fullmatch(version):
            version = _DEFAULT_VERSION
        betas = [(name, value) for name, value in call.headers if name == _BETA and sent.native]
        return [*_SEND, (b"Accept", accept), (_VERSION, version.encode()), *betas, *call.trace_headers]

    async def _stream(self, answer: AnswerStream, call: Call, sent: _Written) -> ChatStream:
        if answer.status >= 400 or "json" in answer.headers.get("content-type", ""):
            whole = UpstreamAnswer(answer.status, answer.fields, await answer.read(MAX_BODY))
            return await ChatStream.replay([chunks_of(await self._completion(whole, call, sent))])
        events = MessageEvents(model=call.request.model, errors=self._errors, names=sent.names)
        decoder: ChunkDecoder = NativeDecoder(events) if sent.native else MessageDecoder(events)
        return await start_stream(Batches(answer, decoder, idle=self._timeouts.idle), self._timeouts)

    async def _completion(self, answer: UpstreamAnswer, call: Call, sent: _Written) -> ChatCompletion:
        return await by_size(len(answer.body), self._read, answer, call, sent)

    def _read(self, answer: UpstreamAnswer, call: Call, sent: _Written) -> ChatCompletion:
        value = self._object(answer, call.model)
        whole = completion(value, model=call.request.model, names=sent.names, errors=self._errors)
        if sent.native:
            whole.native = answer.body
        else:
            _ = whole.data  # encoded here, because on the loop a long one would take long
        return whole

    def _object(self, answer: UpstreamAnswer, model: str) -> dict[str, Any]:
        """The object that an answer holds. Raises XRouterError for a status of 400 or more, and for another body."""
        if answer.status >= 400:
            said = self._errors.read(answer.body)
            raise refusal(answer.status, said, model=model, errors=self._errors, headers=answer.headers)
        return json_object(answer.body)


class _Written(NamedTuple):
    """A request as it is sent.

    Attributes:
        native: It is what the client wrote.
    """

    content: bytes
    warnings: Sequence[str]
    names: Aliases
    native: bool


def _size(call: Call) -> int:
    """How long the request is, as the client wrote it."""
    document = call.document if call.original is None else call.original.document
    return len(document.data)

"""Any upstream that speaks OpenAI's API. The client's own bytes go up, the upstream's own bytes come down."""

from __future__ import annotations

import logging
from asyncio import get_running_loop
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import httpx

from ...errors import UpstreamError
from ...wire import ChatCompletion, ChatRequest, Document, EmbeddingList, ModelList
from ...wire.embeddings import answer_limit
from ...wire.members import splice
from ...wire.reading import LARGE, SMALL, off_loop
from ...wire.stream import ChatStream
from ..base import Call, Reply, Request, Unready
from ..http import (
    TLS,
    USER_AGENT,
    Batches,
    ErrorReader,
    ErrorRule,
    Instrument,
    Redaction,
    Timeouts,
    Upstream,
    UpstreamAnswer,
    start_stream,
)
from . import whole
from .answers import models_of
from .chunks import ChunkReader
from .members import CHAT, COMPLETIONS, EMBEDDINGS, Members, ignored_words, without_members
from .mending import with_argument_texts
from .options import OpenAIOptions
from .responding import respond
from .sniffing import SniffingReader
from .spelling import spelled

MAX_BODY = 32 << 20
MODELS_TTL = 60.0

logger = logging.getLogger("xrouter")

_NONE: Mapping[str, str] = MappingProxyType({})
_OPENAI = ("api.openai.com", ".openai.azure.com")  # hosts
_RECEIVE_JSON = ((b"Accept", b"application/json"),)
_SEND_JSON = ((b"Content-Type", b"application/json"), *_RECEIVE_JSON)
_SEND_FOR_STREAM = ((b"Content-Type", b"application/json"), (b"Accept", b"text/event-stream"))


class OpenAIProvider:
    """Chat completions, embeddings and models of one OpenAI-compatible upstream.

    None of a client's headers goes up. Its body goes up as it came, except for `model`, for
    `stream_options.include_usage`, which is always set because limits and metrics need it, and for members that are
    neither OpenAI's nor known to be harmless: they are taken out, each with a warning such as `route_ignored`. The
    stream keeps the chunk with the usage alone; the router drops it if the client did not ask for it.

    Args:
        base_url: Up to and including `/v1`, or what the upstream has instead.
        api_key: Sent as a bearer token; None sends none.
        headers: Sent with every request, such as `api-key` for Azure. Their values are treated as secrets.
        timeouts: `first` also bounds the wait for the first event of a stream, `idle` the wait between two events.
        tls: Whom to trust, and with which certificate to identify ourselves.
        proxy, http2, max_connections, transport, instrument: See `Upstream`.
        responses: Whether the upstream has OpenAI's Responses, so that what their clients wrote goes up in the place of
            a translation, and its own events come down. None: at OpenAI and Azure. One that turns out not to have them
            is sent translations from then on.
        ask_usage: Ask for the usage of a stream. Turn it off for an upstream that refuses `stream_options`.
        errors: Whose fault its errors are, before the table of this package says it. The first that holds counts.
        members: Names of members that pass as well, such as `store`, without which `"store": true` does not.
        options: How the upstream wants to be sent what other dialects than chat ask for.

    Raises:
        ValueError: For an address, a header or a file that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] = _NONE,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 -- frozen
        tls: TLS = TLS(),  # noqa: B008 -- frozen
        proxy: str | None = None,
        http2: bool = False,
        responses: bool | None = None,
        ask_usage: bool = True,
        errors: Sequence[ErrorRule] = (),
        members: Iterable[str] = (),
        max_connections: int = 1000,
        name: str = "openai",
        transport: httpx.AsyncBaseTransport | None = None,
        instrument: Instrument | None = None,
        options: OpenAIOptions = OpenAIOptions(),  # noqa: B008 -- frozen
    ) -> None:
        self.name = name
        bearer = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._upstream = Upstream(
            base_url,
            headers={"User-Agent": USER_AGENT, **bearer, **headers},
            timeouts=timeouts,
            tls=tls,
            proxy=proxy,
            http2=http2,
            max_connections=max_connections,
            transport=transport,
            instrument=instrument,
        )
        self._timeouts, self._ask_usage = timeouts, ask_usage
        self._members = Members(members)
        self._responses = has_responses(base_url) if responses is None else responses
        self._options = _known(options, self._upstream.host)
        self._errors = ErrorReader(Redaction([api_key or "", *headers.values()], hosts=[self._upstream.host]), errors)
        self._models: tuple[float, ModelList] | None = None  # until when, in the loop's time
        self._closed = False

    def __repr__(self) -> str:
        return f"OpenAIProvider(name={self.name!r})"

    def ready(self, call: Call, /) -> Unready | None:
        """None until it is closed: an upstream that speaks OpenAI takes any number of calls."""
        return Unready("closed", None, "closed") if self._closed else None

    def speaks(self, dialect: str, /) -> bool:
        """Whether it sends what a client of that dialect wrote as it is."""
        return {"completions": self._options.completions, "responses": self._responses}.get(dialect, False)

    async def send(self, call: Call, /) -> Reply:
        original = call.original
        if original is not None and original.dialect == "responses" and self._responses:
            stream, upstream = isinstance(call.request, ChatRequest) and bool(call.request.stream), self._upstream
            try:
                answer = await respond(
                    call, original, stream=stream, upstream=upstream, timeouts=self._timeouts, errors=self._errors
                )
                return Reply(answer, self.name, call.model, original.warnings, as_written=True)
            except UpstreamError as error:
                if error.code != "upstream_not_found" or original.untranslatable is not None:
                    raise  # nobody knows whether the endpoint is missing, or something that the request names
                self._responses = False
                logger.warning("'%s' does not have Responses: they are translated", self.name)
        path, document, warnings = self._written(call)
        ignored = self._members.ignored(path, document)
        if ignored:
            document = await without_members(document, ignored)
            warnings = [*warnings, *ignored_words(ignored)]
        request = call.request
        body: ChatStream | ChatCompletion | EmbeddingList
        if isinstance(request, ChatRequest) and request.stream:
            body = await self._stream(call, request, path, document)
        else:
            body = await self._ask(call, request, path, document)
        return Reply(body, self.name, call.model, warnings)

    async def models(self, *, deadline: float | None = None) -> ModelList:
        """The models of the upstream, remembered for a minute. See `ReadyProvider.models`."""
        if self._models is not None and get_running_loop().time() < self._models[0]:
            return self._models[1]
        answer = await self._upstream.fetch("GET", "/models", headers=_RECEIVE_JSON, limit=MAX_BODY, deadline=deadline)
        models = await off_loop(models_of, answer, owner=self.name, errors=self._errors)
        self._models = get_running_loop().time() + MODELS_TTL, models
        return models

    async def aclose(self) -> None:
        self._closed = True
        await self._upstream.aclose()

    def _written(self, call: Call) -> tuple[str, Document, Sequence[str]]:
        """Where a request goes, what is sent, and what that leaves out."""
        original = call.original
        if original is not None and self.speaks(original.dialect):
            return COMPLETIONS, original.forwarded, original.warnings
        if not call.translated:
            return CHAT if isinstance(call.request, ChatRequest) else EMBEDDINGS, call.document, ()
        return CHAT, *spelled(call.document, self._options, model=call.model)

    async def _stream(self, call: Call, request: ChatRequest, path: str, document: Document) -> ChatStream:
        asked = (document.value.get("stream_options") or {}).get("include_usage")
        ask_usage = self._ask_usage and not asked
        content = await _content(document, call.model, ask_usage=ask_usage)
        answer = await self._upstream.open(
            "POST",
            path,
            shared=_SEND_FOR_STREAM,
            headers=call.trace_headers,
            content=content,
            deadline=call.deadline,
        )
        if answer.status >= 400:
            refused = UpstreamAnswer(answer.status, answer.fields, await answer.read(MAX_BODY))
            errors = self._errors
            await off_loop(whole.completion, refused, choices=1, legacy=False, model=call.model, errors=errors)
        chunks = ChunkReader(choices=request.n or 1, hide_usage=ask_usage, model=call.model, errors=self._errors)
        reader = SniffingReader(answer, chunks, model=call.model, errors=self._errors, limit=MAX_BODY)
        batches = Batches(answer, reader, idle=self._timeouts.idle)
        stream = await start_stream(batches, self._timeouts)
        if reader.kind == "events":
            batches.decoder = chunks  # what it is has been told, so nothing stands between the pieces and their events
        return stream

    async def _ask(self, call: Call, request: Request, path: str, document: Document) -> ChatCompletion | EmbeddingList:
        """Ask for a whole answer, and read it. Events, of which a few bytes make much work, are read off the loop."""
        answer = await self._upstream.fetch(
            "POST",
            path,
            shared=_SEND_JSON,
            headers=call.trace_headers,
            content=await _content(document, call.model),
            limit=MAX_BODY if isinstance(request, ChatRequest) else answer_limit(request.inputs),
            deadline=call.deadline,
        )
        body, model, errors = answer.body, call.model, self._errors
        if len(body) > SMALL or not body.startswith(b"{"):
            return await off_loop(_read, answer, request, path, model, errors)
        return _read(answer, request, path, model, errors)


def _read(
    answer: UpstreamAnswer, request: Request, path: str, model: str, errors: ErrorReader
) -> ChatCompletion | EmbeddingList:
    if isinstance(request, ChatRequest):
        legacy = path == COMPLETIONS
        return whole.completion(answer, choices=request.n or 1, legacy=legacy, model=model, errors=errors)
    return whole.embeddings(answer, inputs=request.inputs, model=model, errors=errors)


def has_responses(base_url: str) -> bool:
    """Whether an address is known to have Responses: OpenAI's, or Azure's."""
    return httpx.URL(base_url).host.endswith(_OPENAI)


def _known(options: OpenAIOptions, host: str) -> OpenAIOptions:
    """The options with what is known about a host."""
    if options.output_limit is None and host.endswith(_OPENAI):
        return replace(options, output_limit="max_completion_tokens")
    return options


async def _content(document: Document, model: str, *, ask_usage: bool = False) -> bytes:
    """The bytes of the document, with the model and, if `ask_usage`, `stream_options.include_usage` spliced in.

    Only a history with arguments that are no text is encoded again.
    """
    value = document.value
    changes: dict[str, Any] = {}
    if value.get("model") != model:
        changes["model"] = model
    if ask_usage:
        changes["stream_options"] = {**(value.get("stream_options") or {}), "include_usage": True}
    messages = value.get("messages") or ()
    called = [message for message in messages if "tool_calls" in message or "function_call" in message]
    if not (changes or called):
        return document.data
    work = partial(_changed, document, changes, messages if called else ())
    return await off_loop(work) if document.size > LARGE else work()


def _changed(document: Document, changes: Mapping[str, Any], messages: Sequence[dict[str, Any]]) -> bytes:
    mended = [with_argument_texts(message) for message in messages]
    if any(new is not old for new, old in zip(mended, messages, strict=True)):
        changes = {**changes, "messages": mended}
    return splice(document.data, document.value, changes)

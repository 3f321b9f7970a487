"""Chat completions: one request under way, from its attachments to its answer."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import httpx

from ...queueing.slots import Slots
from ...wire import ChatCompletion, ChatRequest
from ...wire.codec import encode
from ...wire.reading import SMALL, by_size, off_loop
from ...wire.stream import ChatStream
from ..base import Call, Reply
from ..http import AnswerStream, Batches, Timeouts, json_object, start_stream
from .auth.client import GigaChatClient
from .auth.credentials import digest
from .compatibility import Repairs, repaired, without_native
from .files.uploads import Uploads
from .headers import fact, fit, passed_on, upstream_ids
from .options import GigaChatOptions, StructuredOutput
from .request.attachments import Attachment, attachments
from .request.translate import Translation, translate
from .response.completion import answer_warning, completion
from .response.errors import upstream_error
from .response.stream import EventDecoder, StreamTranslation, UntilStopped

_LIMIT = 32 << 20
_ERROR_LIMIT = 64 << 10
_SESSION = b"x-session-id"


class Chat:
    """Chat completions of one account. The salt keeps its sessions apart from those of others with equal prompts."""

    def __init__(
        self,
        client: GigaChatClient,
        slots: Slots,
        uploads: Uploads,
        *,
        options: GigaChatOptions,
        timeouts: Timeouts,
        salt: str,
        name: str,
    ) -> None:
        self._client = client
        self._slots = slots
        self._uploads = uploads
        self._options = options
        self._timeouts = timeouts
        self._salt = salt
        self._name = name
        # Both hold models that GigaChat has or had, so they stay small whatever clients ask for.
        self._without_native: set[str] = set()  # models that know no `response_format`
        self._successors: dict[str, str] = {}  # models that are gone -> what answered in their place

    async def send(self, call: Call, request: ChatRequest) -> Reply:
        """See `Provider.send()`."""
        found = await by_size(len(call.document.data), attachments, request)
        files = await self._uploads.ids(found, deadline=call.deadline)
        # Held until the body is read or closed.
        slot = await self._slots.acquire(call.context.caller, deadline=call.deadline)
        try:
            reply = await self._reply(call, request, found, files)
        except BaseException:
            slot.release()
            raise
        reply.when_ended(lambda error: slot.release())
        return reply

    async def _reply(
        self, call: Call, request: ChatRequest, found: Sequence[Attachment], files: Mapping[str, str]
    ) -> Reply:
        answer, sent, plan = await self._ask(call, request, found, files)
        facts = upstream_ids(answer.headers)
        request_id = fit(answer.headers.get("x-request-id")) or str(uuid.uuid4())
        warnings = sent.warnings
        body: ChatCompletion | ChatStream
        build: object
        if request.stream and _is_stream(answer.headers):
            translation = StreamTranslation(sent.asked, request_id=request_id)
            decoder = EventDecoder(translation)
            pieces = UntilStopped(answer, translation, drain=request.include_usage)
            body = await start_stream(Batches(pieces, decoder, idle=self._timeouts.idle), self._timeouts)
            build = decoder.build
        else:
            data = await answer.read(_LIMIT)
            value = await by_size(len(data), json_object, data)
            build = value.get("model")
            facts += _bill(value)
            if request.stream:
                translation = StreamTranslation(sent.asked, request_id=request_id)
                body = await ChatStream.replay([[*translation.feed(value), *translation.close(whole=True)]])
            else:
                body = await by_size(len(data), completion, value, sent.asked, request_id=request_id)
                warnings += answer_warning(value, sent.asked)
        facts += fact("x-gigachat-model", build)
        return Reply(body, provider=self._name, model=plan.model, warnings=warnings, headers=facts)

    async def _ask(
        self, call: Call, request: ChatRequest, found: Sequence[Attachment], files: Mapping[str, str]
    ) -> tuple[AnswerStream, Translation, Repairs]:
        """Send the request, and once more for each repair, until GigaChat takes it.

        Raises:
            XRouterError: GigaChat refused it, and there is no repair left.
        """
        first = plan = self._plan(call, request)
        while True:
            errors = self._client.errors
            work = partial(_translated, request, plan, options=self._options, files=files, errors=errors)
            sent, content = await off_loop(work) if _takes_long(call, request) else work()
            headers = self._headers(call, request, sent)
            answer = await self._client.open(
                "POST", "/chat/completions", headers=headers, content=content, deadline=call.deadline
            )
            if answer.status == 200:
                self._learn(first, plan)
                return answer, sent, plan
            said = await answer.read(_ERROR_LIMIT)
            better = repaired(plan, request, sent.body, status=answer.status, said=said)
            if better is None or (better.fresh_files > plan.fresh_files and not self._uploads.forget(files.values())):
                raise upstream_error(answer.status, answer.headers, said, model=plan.model, errors=errors)
            if better.fresh_files > plan.fresh_files:
                files = await self._uploads.ids(found, deadline=call.deadline)
            plan = better

    def _plan(self, call: Call, request: ChatRequest) -> Repairs:
        options = self._options
        model = options.aliases.get(call.model, call.model)
        model = self._successors.get(model, model)
        if options.structured_output != "auto":
            return Repairs(model, options.structured_output, replay_state=options.replay_state)
        known = model in self._without_native
        way: StructuredOutput = without_native(request) if known else "native"
        return Repairs(model, way, adaptive=not known, replay_state=options.replay_state)

    def _learn(self, first: Repairs, plan: Repairs) -> None:
        """Remember what made a difference, once it has."""
        if plan.model != first.model:
            self._successors[first.model] = plan.model
        if plan.format_unknown:
            self._without_native.add(plan.model)

    def _headers(self, call: Call, request: ChatRequest, sent: Translation) -> list[tuple[bytes, bytes]]:
        fields = [(b"Content-Type", b"application/json")]
        if request.stream:
            fields += [(b"Accept", b"text/event-stream"), (b"Cache-Control", b"no-store")]
        else:
            fields.append((b"Accept", b"application/json"))
        session = fit(call.header(_SESSION))
        if session is None and sent.session is not None:
            # With the account in it: two accounts never share a session because their prompts are alike.
            session = digest(self._salt, sent.session)[:32]
        if session is not None:
            fields.append((b"X-Session-ID", session.encode()))
        return [*fields, *passed_on(call)]


def _takes_long(call: Call, request: ChatRequest) -> bool:
    """Whether there is much to translate, or a schema, which may expand to much more than it is."""
    has_schema = bool(request.tools or request.functions or request.response_format)
    return has_schema or len(call.document.data) > SMALL


def _translated(request: ChatRequest, plan: Repairs, **how: Any) -> tuple[Translation, bytes]:
    """The translation, and its body as it is sent."""
    sent = translate(request, plan, **how)
    return sent, encode(sent.body)


def _is_stream(headers: httpx.Headers) -> bool:
    kind = headers.get("content-type", "")
    return "json" not in kind and "html" not in kind


def _bill(value: dict[str, Any]) -> list[tuple[str, str]]:
    """What is paid for: GigaChat's `total_tokens`, which leave out cached ones."""
    usage = value.get("usage")
    billed = usage.get("total_tokens") if isinstance(usage, dict) else None
    return [("x-gigachat-billed-tokens", str(billed))] if isinstance(billed, int) else []

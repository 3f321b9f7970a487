"""Chat completions: one request under way, from its attachments to its answer."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import httpx

from ...wire import ChatChunk, ChatCompletion, ChatRequest
from ...wire.codec import encode
from ...wire.stream import ChatStream
from ..base import Call, Reply
from ..http import AnswerStream, Timeouts, start_stream
from .auth.client import GigaChatClient
from .auth.credentials import digest
from .compatibility import Repairs, repaired, without_native
from .files.uploads import Files
from .headers import fact, fit, passed_on, upstream_ids
from .options import Options
from .request.translate import Attachment, Translation, attachments, translate
from .response.errors import upstream_error
from .response.reader import Events, as_event, read_object
from .slots import Slots

_LIMIT = 32 << 20
_ERROR_LIMIT = 64 << 10
_SESSION = b"x-session-id"


class Chat:
    """Chat completions of one account.

    Args:
        salt: Distinguishes the sessions of this account from those of others with equal prompts.
    """

    def __init__(
        self,
        account: GigaChatClient,
        *,
        slots: Slots,
        files: Files,
        options: Options,
        timeouts: Timeouts,
        salt: str,
        name: str,
    ) -> None:
        self._account = account
        self._slots = slots
        self._files = files
        self._aliases = options.aliases
        # Names are looked up once, in `_plan()`: a translation that did it again would follow chains of them.
        self._options = replace(options, aliases={})
        self._timeouts = timeouts
        self._salt = salt
        self._name = name
        # Both hold models that GigaChat has, or had, so they stay small whatever clients ask for.
        self._without_native: set[str] = set()  # know no `response_format`
        self._successors: dict[str, str] = {}  # are gone -> what answered in their place

    async def send(self, call: Call, request: ChatRequest) -> Reply:
        """Answer a chat completion request. See `Provider.send()`."""
        found = attachments(request)
        files = await self._files.ids(found)
        async with AsyncExitStack() as held:
            # Held until the body is read or closed: a stream takes both along.
            held.callback((await self._slots.acquire()).release)
            answer, sent, plan = await self._ask(call, request, found, files)
            held.push_async_callback(answer.aclose)
            facts = upstream_ids(answer.headers)
            warnings = sent.warnings
            body: ChatCompletion | ChatStream
            kind = answer.headers.get("content-type", "")
            if request.stream and "json" not in kind and "html" not in kind:
                translation = sent.stream(request_id=_id(answer.headers))
                events = Events(answer, translation, idle=self._timeouts.idle, drain=request.include_usage)
                body = await start_stream(events.batches(held.pop_all()), self._timeouts)
                build: object = events.build
            else:
                value = read_object(await answer.read(_LIMIT))
                build = value.get("model")
                facts += _bill(value)
                if request.stream:
                    body = await ChatStream.start(_at_once(value, sent, _id(answer.headers)))
                else:
                    body = sent.complete(value, request_id=_id(answer.headers))
                    warnings = sent.warnings_with(value)
        facts += fact("x-gigachat-model", build)
        return Reply(body, provider=self._name, model=plan.model, warnings=warnings, headers=facts)

    async def _ask(
        self, call: Call, request: ChatRequest, found: Sequence[Attachment], files: Mapping[str, str]
    ) -> tuple[AnswerStream, Translation, Repairs]:
        """Put the request to GigaChat until it is taken, or cannot be put better.

        Raises:
            XRouterError: What it was refused with at last.
        """
        first = plan = self._plan(call, request)
        while True:
            sent = translate(
                request,
                model=plan.model,
                options=self._options,
                files=files,
                structured=plan.structured,
                replay_state=plan.replay_state,
                plain_calls=plan.plain_calls,
                redact=self._account.redact,
            )
            headers = self._headers(call, request, sent)
            answer = await self._account.open("POST", "/chat/completions", headers=headers, content=encode(sent.body))
            if answer.status == 200:
                self._learn(first, plan)
                return answer, sent, plan
            said = await answer.read(_ERROR_LIMIT)
            better = repaired(plan, request, sent, status=answer.status, said=said)
            if better is None or (better.fresh_files > plan.fresh_files and not self._files.forget(files.values())):
                redact = self._account.redact
                raise upstream_error(answer.status, answer.headers, said, model=plan.model, redact=redact)
            if better.fresh_files > plan.fresh_files:
                files = await self._files.ids(found)
            plan = better

    def _plan(self, call: Call, request: ChatRequest) -> Repairs:
        model = self._aliases.get(call.model, call.model)
        model = self._successors.get(model, model)
        structured = self._options.structured_output
        if structured != "auto":
            return Repairs(model, structured, adaptive=False)
        known = model in self._without_native
        return Repairs(model, without_native(request) if known else "native", adaptive=not known)

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


async def _at_once(value: dict[str, Any], sent: Translation, request_id: str) -> AsyncIterator[list[ChatChunk]]:
    """A stream of what came in one piece."""
    stream = sent.stream(request_id=request_id)
    yield [*stream.feed(as_event(value)), *stream.close()]


def _id(headers: httpx.Headers) -> str:
    return fit(headers.get("x-request-id")) or str(uuid.uuid4())


def _bill(value: dict[str, Any]) -> list[tuple[str, str]]:
    """`total_tokens` of GigaChat, which leaves cached tokens out, is what is paid for."""
    usage = value.get("usage")
    billed = usage.get("total_tokens") if isinstance(usage, dict) else None
    return [("x-gigachat-billed-tokens", str(billed))] if isinstance(billed, int) else []

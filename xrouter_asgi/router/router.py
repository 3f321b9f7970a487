"""The hinge: the only place where bytes become a typed call and a typed reply becomes bytes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

from starlette.types import Receive, Scope, Send

from ..asgi.body import read_body
from ..asgi.disconnect import DisconnectGuard
from ..asgi.responses import id_headers, send_json, stream_head
from ..asgi.routes import Endpoint, Routes
from ..asgi.sending import Outgoing
from ..context import RequestContext
from ..dialects import DIALECTS
from ..dialects.base import Counting, Dialect, ParsedRequest, Reader, estimate_tokens
from ..dialects.responses import RESPONSES
from ..errors import ModelNotFound, NotReady, PermissionDenied, XRouterError
from ..kept import MemoryResponses, ResponseStore
from ..providers.base import Call, Provider
from ..providers.target import Attempting
from ..wire.codec import encode
from ..wire.reading import read_request
from .chat_call import ChatCall
from .counting import count_tokens
from .exchange import EXPLAIN, Keep, enter, note, own_headers, send_reply, unknown_upstream, warnings_header
from .listing import ModelLists
from .openapi import openapi
from .stored import StoredResponses
from .table import ModelTable
from .usage import OwnUsage, UsageEndpoint

_OWN = cast(ResponseStore, object())  # stands for a new store, so that no two routers share a default

logger = logging.getLogger("xrouter")


class LLMRouter:
    """An OpenAI-compatible ASGI application: a mapping from model names to providers.

    Serves its dialects, kept responses, `/v1/models` and `/v1/models/{id}`, each also without `/v1`, and `/health`,
    `/ready`, `/openapi.json`; at the root, or mounted anywhere. Everything opens at first use. The last `lifespan` that
    is left closes the providers, and so does `aclose()`.

    Args:
        models: Providers by the names that clients use; a name may hold one `*`.
        max_body: The largest request that is accepted, in bytes.
        explain: Whether callers who send `x-xrouter-explain: 1` are told how their request was routed. With API keys,
            only callers whose key has the scope `explain`, or all scopes.
        version: Which configuration this is, for explanations.
        commit_after: Seconds of silence in a stream after which a comment tells every hop that the stream is alive. If
            the comment goes out first, the status is 200, and a later error comes as an event. None: never.
        dialects: Which client APIs are served: some of `xrouter_asgi.dialects.DIALECTS`, or one of your own.
        responses: Keeps responses for clients that refer to them; whoever makes it closes it. None keeps nothing.
            Without it each router has a `MemoryResponses` of its own.
        usage: Tells callers what their own keys have used. None tells nobody.
    """

    def __init__(
        self,
        models: Mapping[str, Provider],
        *,
        max_body: int = 32 << 20,
        explain: bool = False,
        version: str | None = None,
        commit_after: float | None = 15.0,
        dialects: Sequence[Dialect] = DIALECTS,
        responses: ResponseStore | None = _OWN,
        usage: OwnUsage | None = None,
    ) -> None:
        if commit_after is not None and not commit_after > 0:
            raise ValueError(f"'commit_after' is {commit_after!r}. Write a number above 0.")
        self.models: ModelTable = models if isinstance(models, ModelTable) else ModelTable(models)
        self._max_body = max_body
        self._explain = explain
        self._version = version
        self._commit_after = commit_after
        self._dialects = dialects
        self._usage = usage
        self._draining = False
        self._running: set[DisconnectGuard] = set()
        self._entered = 0
        self._warned = False
        self._stored = StoredResponses(MemoryResponses() if responses is _OWN else responses, max_body=max_body)
        self._routes = Routes(self._paths(), lifespan=self.lifespan)

    def _paths(self) -> dict[str, dict[str, Endpoint]]:
        versioned: dict[str, dict[str, Endpoint]] = {
            **{dialect.path: {"POST": partial(self._answer, dialect)} for dialect in self._dialects},
            **{
                dialect.counting.path: {"POST": partial(self._count, dialect, dialect.counting)}
                for dialect in self._dialects
                if dialect.counting is not None
            },
            **(self._stored.paths() if RESPONSES in self._dialects else {}),
            **ModelLists(self.models).paths(),
            **(UsageEndpoint(self._usage).paths() if self._usage is not None else {}),
        }
        unversioned = {"/health": self._health, "/ready": self._ready, "/openapi.json": self._openapi}
        return {
            **versioned,
            **{"/v1" + path: methods for path, methods in versioned.items()},
            # Some monitors can only ask for the head.
            **{path: {"GET": endpoint, "HEAD": endpoint} for path, endpoint in unversioned.items()},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if not (self._entered or self._warned) and scope["type"] == "http":
            self._warned = True
            logger.warning(
                "LLMRouter is mounted without its lifespan: clients will not be closed at shutdown. "
                "Pass lifespan=router.lifespan to the host app."
            )
        await self._routes(scope, receive, send)

    def chat(self, messages: Sequence[Mapping[str, Any]], *, model: str, **parameters: Any) -> ChatCall:
        """Ask a model from this program: `await` it for a whole answer, iterate over it for a stream. See `ChatCall`.

        What is inside the router takes part: its policies and their deadlines. What stands around it does not: keys,
        limits, log, metrics, spans. To have them, let `in_process` ask the outermost app.

        Args:
            messages, parameters: Members of OpenAI's request, such as `temperature=0.2`.
        """
        return ChatCall(self.models, {"model": model, "messages": messages, **parameters})

    @property
    def in_flight(self) -> int:
        """Requests to models that are read and not yet answered to their ends."""
        return len(self._running)

    def drain(self) -> None:
        """Make `/ready` say no, so that a load balancer looks elsewhere. Requests are still answered."""
        self._draining = True

    def stop(self, why: str = "This process is shutting down.") -> None:
        """End the calls that still run: one without an answer is a 503, a stream ends with an error event."""
        for guard in self._running:
            guard.interrupt(f"{why} Send the request again.")

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Close the providers at shutdown: `FastAPI(lifespan=router.lifespan)`, or inside a lifespan of your own.

        Several hosts may enter it; the last one to leave closes the providers.
        """
        self._entered += 1
        try:
            yield
        finally:
            self._entered -= 1
            if not self._entered:
                await self.aclose()

    async def aclose(self) -> None:
        """Close every provider once. A provider that fails to close goes to the log and keeps no other open."""
        for provider in {id(provider): provider for provider in self.models.values()}.values():
            try:
                await provider.aclose()
            except Exception:
                logger.exception("The provider '%s' could not be closed", provider.name)

    async def _answer(
        self, dialect: Dialect, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext
    ) -> None:
        """Read a request, ask the provider of its model, and write the reply."""
        explained = self._explains(scope, context)
        context.envelope = dialect.envelope
        send.error_headers = partial(own_headers, context, explained=explained)
        enter(context, dialect.name, scope=dialect.scope)
        context.decision.version = self._version
        parsed = await self._read(dialect.read, scope, receive, context)
        note(context, parsed)
        keep = self._stored.keeping(parsed.conversation, scope, context)
        provider, stem = self._find(parsed.request.model, context)
        send.writer = parsed.writer()
        if send.writer is not None:
            context.admit_stream()
        call = _call_for(parsed, stem, scope, context)
        async with DisconnectGuard(receive) as guard:
            self._running.add(guard)
            try:
                if context.reserve_tokens is not None and context.estimate is not None:
                    await context.reserve_tokens(context.estimate)
                answering = _ask(provider, call, dialect, parsed, send, explained=explained, keep=keep)
                # A stream may take minutes: what waits for its end holds nothing of the request, here and below.
                del call, parsed
                if send.writer is None or self._commit_after is None:
                    await answering
                else:
                    head = stream_head(id_headers(context))
                    async with send.kept_awake(head, send.writer.keep_alive, every=self._commit_after):
                        await answering
            finally:
                self._running.discard(guard)

    async def _count(
        self,
        dialect: Dialect,
        counting: Counting,
        scope: Scope,
        receive: Receive,
        send: Outgoing,
        context: RequestContext,
    ) -> None:
        """Count the tokens of a request that no model is asked: as the provider says, else by their size."""
        context.envelope = dialect.envelope
        enter(context, dialect.name, scope=dialect.scope)
        parsed = await self._read(counting.read, scope, receive, context)
        provider, stem = self._find(parsed.request.model, context)
        counted = await count_tokens(provider, _call_for(parsed, stem, scope, context))
        warnings = [*parsed.warnings, *(["tokens_estimated"] if counted is None else [])]
        headers = [*id_headers(context), *([warnings_header(warnings)] if warnings else [])]
        tokens = estimate_tokens(parsed.document) if counted is None else counted
        await send_json(send, encode(counting.answer(tokens)), headers=headers)

    async def _read(self, read: Reader, scope: Scope, receive: Receive, context: RequestContext) -> ParsedRequest:
        """Read a request, and whatever it refers to."""
        body = await read_body(scope, receive, limit=self._max_body)
        parsed = await read_request(body, read, scope["headers"])
        if parsed.conversation is not None:
            await self._stored.complete(parsed.conversation, scope, context)
        return parsed

    def _find(self, model: str, context: RequestContext) -> tuple[Attempting, str]:
        """The provider of a model, and what `*` stands for in its name. Raises PermissionDenied, ModelNotFound."""
        context.model = model
        if context.principal is not None and not context.principal.may_use(model):
            raise PermissionDenied(f"This key may not use the model {model[:128]!r}.", param="model")
        found = self.models.find(model)
        if found is None:
            raise ModelNotFound(model)
        return found

    async def _health(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        context.endpoint = "health"
        await send_json(send, b'{"status":"ok"}', headers=id_headers(context))

    async def _ready(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        context.endpoint = "ready"
        if self._draining:
            raise NotReady("This process is shutting down and takes no new work.")
        await send_json(send, b'{"status":"ready"}', headers=id_headers(context))

    async def _openapi(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        context.endpoint = "openapi"
        # Litestar leaves `root_path` empty: only the path as it was requested tells the mount.
        asked = (scope.get("raw_path") or b"").decode("latin-1")
        mount = scope.get("root_path") or asked.rpartition("/openapi.json")[0]
        document = openapi("/" + mount.strip("/"), self._dialects, usage=self._usage is not None)
        await send_json(send, encode(document), headers=id_headers(context))

    def _explains(self, scope: Scope, context: RequestContext) -> bool:
        if not self._explain or (EXPLAIN, b"1") not in scope["headers"]:
            return False
        return context.principal is None or context.principal.has_scope("explain")


def _call_for(parsed: ParsedRequest, stem: str, scope: Scope, context: RequestContext) -> Call:
    """The call that asks what a client asked. Its headers go along for the few that a provider reads."""
    request, headers = parsed.request, scope["headers"]
    document, original = parsed.document, parsed.original
    return Call(request, request.model, stem, document=document, original=original, headers=headers, context=context)


async def _ask(
    provider: Provider,
    call: Call,
    dialect: Dialect,
    parsed: ParsedRequest,
    send: Outgoing,
    *,
    explained: bool,
    keep: Keep | None,
) -> None:
    """Hand the call to the provider, and its reply to the client."""
    try:
        reply = await provider.send(call)
    except ModelNotFound as error:
        if call.stem:
            raise  # the client chose the name
        raise unknown_upstream(error, call) from error
    except XRouterError as error:
        if (told := dialect.named_back(error)) is error:
            raise
        raise told from error
    sending = send_reply(send, call.context, parsed, reply, explained=explained, keep=keep)
    del call, parsed
    try:
        await sending
    finally:
        await reply.aclose()

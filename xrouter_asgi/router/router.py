"""The hinge: the only place where bytes become a typed call and a typed reply becomes bytes."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeAlias

from starlette.types import Receive, Scope, Send

from ..asgi.body import AmbiguousLength
from ..asgi.disconnect import ClientDisconnected, DisconnectGuard, Interrupted
from ..asgi.responses import Headers, id_header, send_break, send_error, send_json, stream_head
from ..asgi.scope import local_path
from ..asgi.sending import Outgoing
from ..context import RequestContext
from ..errors import (
    MethodNotAllowed,
    ModelNotFound,
    NotFound,
    NotReady,
    PayloadTooLarge,
    PermissionDenied,
    UnsupportedMediaType,
    UpstreamError,
    XRouterError,
)
from ..providers.base import Call, Provider
from ..wire import ChatRequest, EmbeddingsRequest
from ..wire.codec import encode
from ..wire.stream import ChatStream
from .incoming import SCOPES, Posted, demand, read_request
from .openapi import openapi
from .replies import EXPLAIN, own_headers, send_reply
from .table import ModelTable

Endpoint: TypeAlias = Callable[[Scope, Receive, Outgoing, RequestContext], Awaitable[None]]

_ONE_MODEL = re.compile(r"(?:/v1)?/models/(.+)", re.DOTALL)
_UNREAD = (AmbiguousLength, PayloadTooLarge, UnsupportedMediaType)  # the rest of the request stays on the connection

logger = logging.getLogger("xrouter")


class LLMRouter:
    """An OpenAI-compatible ASGI application: a mapping from model names to providers.

    Serves `/v1/chat/completions`, `/v1/embeddings`, `/v1/models` and `/v1/models/{id}`, each also without `/v1`, and
    `/health`, `/ready`, `/openapi.json`; at the root, or mounted anywhere. Everything opens at first use. The providers
    are closed when the last `lifespan` is left, or by `aclose()`.

    Args:
        models: Providers by the names that clients use; a name may hold one `*`.
        max_body: Bytes that a request may have.
        explain: Whether callers who send `x-xrouter-explain: 1` are told how their request was routed. With API keys,
            those whose key has the scope `explain`, or all scopes.
        version: Which configuration this is, for explanations.
        commit_after: Seconds of silence in a stream after which a comment tells everybody on the way that it lives. If
            it is the first thing to be sent, the status is 200 from then on, and an error comes as an event. None:
            never.
    """

    def __init__(
        self,
        models: Mapping[str, Provider],
        *,
        max_body: int = 32 << 20,
        explain: bool = False,
        version: str | None = None,
        commit_after: float | None = 15.0,
    ) -> None:
        if commit_after is not None and not commit_after > 0:
            raise ValueError(f"'commit_after' is {commit_after!r}. Write a number above 0.")
        self.models = models if isinstance(models, ModelTable) else ModelTable(models)
        self._max_body = max_body
        self._explain = explain
        self._version = version
        self._commit_after = commit_after
        self._draining = False
        self._running: set[DisconnectGuard] = set()
        self._entered = 0
        self._warned = False
        versioned: dict[str, dict[str, Endpoint]] = {
            "/chat/completions": {"POST": partial(self._post, ChatRequest)},
            "/embeddings": {"POST": partial(self._post, EmbeddingsRequest)},
            "/models": {"GET": self._list_models},
        }
        self._routes: dict[str, dict[str, Endpoint]] = {
            **versioned,
            **{"/v1" + path: methods for path, methods in versioned.items()},
            "/health": {"GET": self._health},
            "/ready": {"GET": self._ready},
            "/openapi.json": {"GET": self._openapi},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._run_lifespan(receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": "There is no WebSocket here."})
            case kind:
                raise ValueError(f"LLMRouter cannot answer an ASGI scope of type {kind!r}.")

    def drain(self) -> None:
        """From now on `/ready` says no, so that a load balancer looks elsewhere. Requests are still answered."""
        self._draining = True

    def stop(self, why: str = "This process is shutting down.") -> None:
        """End the calls that still run: one without an answer is a 503, a stream ends with an error event."""
        for guard in self._running:
            guard.interrupt(f"{why} Send the request again.")

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Close the providers at shutdown: `FastAPI(lifespan=router.lifespan)`, or inside a lifespan of your own.

        Counted, so that several hosts may enter it; the last one to leave closes.
        """
        self._entered += 1
        try:
            yield
        finally:
            self._entered -= 1
            if not self._entered:
                await self.aclose()

    async def aclose(self) -> None:
        """Close every provider, each once. One that fails to close goes to the log and keeps no other open."""
        for provider in {id(provider): provider for provider in self.models.values()}.values():
            try:
                await provider.aclose()
            except Exception:
                logger.exception("The provider '%s' could not be closed", provider.name)

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self.lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = RequestContext.of(scope)
        outgoing = Outgoing(send)
        if not self._entered and not self._warned:
            self._warn_of_missing_lifespan()
        try:
            await self._endpoint(scope)(scope, receive, outgoing, context)
        except ClientDisconnected:
            pass
        except Interrupted as error:
            context.fail(error)
            with suppress(OSError):  # the client left, too
                if not outgoing.started:
                    await send_error(send, error, headers=self._error_headers(scope, error, context))
                elif outgoing.open:
                    await send_break(send, error)
        except XRouterError as error:
            if outgoing.started and not outgoing.early:
                raise
            _log(error, context)
            await self._fail(scope, outgoing, error, context)
        except Exception:
            if outgoing.started and not outgoing.early:
                raise
            logger.exception("A request failed by a defect of this program", extra=context.facts)
            defect = XRouterError(f"An internal error happened. Tell the operator the id {context.request_id}.")
            await self._fail(scope, outgoing, defect, context)
        context.release()

    async def _fail(self, scope: Scope, outgoing: Outgoing, error: XRouterError, context: RequestContext) -> None:
        """Answer with an error: by its status, or as an event where a head went out early."""
        context.fail(error)
        with suppress(ClientDisconnected):
            if not outgoing.early:
                await send_error(outgoing, error, headers=self._error_headers(scope, error, context))
            elif outgoing.open:
                await send_break(outgoing, error)

    def _endpoint(self, scope: Scope) -> Endpoint:
        path = local_path(scope)
        methods = self._routes.get(path)
        if methods is None and (match := _ONE_MODEL.fullmatch(path)):
            methods = {"GET": partial(self._get_model, match[1])}
        if methods is None:
            raise NotFound(
                f"Unknown request URL: {scope['method'][:16]} {path[:256]}. See /openapi.json for what is served."
            )
        endpoint = methods.get(scope["method"])
        if endpoint is None:
            allow = ", ".join(methods)
            raise MethodNotAllowed(f"Not allowed to {scope['method'][:16]} on {path[:256]}. Use {allow}.", allow=allow)
        return endpoint

    async def _post(
        self, kind: Posted, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext
    ) -> None:
        _enter(context, SCOPES[kind])
        context.decision.version = self._version
        request, document = await read_request(kind, scope, receive, limit=self._max_body)
        context.model = request.model
        if context.principal is not None and not context.principal.may_use(request.model):
            raise PermissionDenied(f"This key may not use the model {request.model[:128]!r}.", param="model")
        found = self.models.find(request.model)
        if found is None:
            raise ModelNotFound(request.model)
        provider, stem = found
        call = Call(request, request.model, stem, document=document, headers=scope["headers"], context=context)
        async with DisconnectGuard(receive) as guard:
            self._running.add(guard)
            try:
                if context.reserve_tokens is not None:
                    await context.reserve_tokens(demand(request, document))
                explained = self._explains(scope, context)
                if self._commit_after is None or not (isinstance(request, ChatRequest) and request.stream):
                    await _pass(provider, call, send, explained=explained)
                else:
                    head = stream_head([id_header(context.request_id)])
                    async with send.kept_awake(head, every=self._commit_after):
                        await _pass(provider, call, send, explained=explained)
            finally:
                self._running.discard(guard)

    async def _list_models(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        _enter(context, "models")
        models = await self.models.list()
        if context.principal is not None:
            models = [model for model in models if context.principal.may_use(model["id"])]
        await send_json(send, encode({"object": "list", "data": models}), headers=[id_header(context.request_id)])

    async def _get_model(self, name: str, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        _enter(context, "models")
        allowed = context.principal is None or context.principal.may_use(name)
        model = await self.models.describe(name) if allowed else None
        if model is None:
            raise ModelNotFound(name)
        await send_json(send, encode(model), headers=[id_header(context.request_id)])

    async def _health(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        context.endpoint = "health"
        await send_json(send, b'{"status":"ok"}', headers=[id_header(context.request_id)])

    async def _ready(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        context.endpoint = "ready"
        if self._draining:
            raise NotReady("This process is shutting down and takes no new work.")
        await send_json(send, b'{"status":"ready"}', headers=[id_header(context.request_id)])

    async def _openapi(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        context.endpoint = "openapi"
        # Litestar leaves `root_path` empty: there only what was asked for tells the mount.
        asked = (scope.get("raw_path") or b"").decode("latin-1")
        mount = scope.get("root_path") or asked.rpartition("/openapi.json")[0]
        await send_json(send, encode(openapi("/" + mount.strip("/"))), headers=[id_header(context.request_id)])

    def _explains(self, scope: Scope, context: RequestContext) -> bool:
        if not self._explain or (EXPLAIN, b"1") not in scope["headers"]:
            return False
        return context.principal is None or context.principal.has_scope("explain")

    def _error_headers(self, scope: Scope, error: XRouterError, context: RequestContext) -> Headers:
        if context.endpoint in SCOPES.values():
            headers = own_headers(context, explained=self._explains(scope, context))
        else:
            headers = [id_header(context.request_id)]
        if isinstance(error, _UNREAD):
            headers.append((b"connection", b"close"))
        return headers

    def _warn_of_missing_lifespan(self) -> None:
        self._warned = True
        logger.warning(
            "LLMRouter is mounted without its lifespan: clients will not be closed at shutdown. "
            "Pass lifespan=router.lifespan to the host app."
        )


async def _pass(provider: Provider, call: Call, send: Outgoing, *, explained: bool) -> None:
    """Hand the call to the provider, and its reply to the client."""
    reply = await provider.send(call)
    try:
        await send_reply(send, call, reply, explained=explained)
    finally:
        if isinstance(reply.body, ChatStream):
            await reply.body.aclose()


def _enter(context: RequestContext, endpoint: str) -> None:
    """Note which endpoint is asked. Raises PermissionDenied when the caller's key is not for it."""
    context.endpoint = endpoint
    if context.principal is not None and not context.principal.has_scope(endpoint):
        raise PermissionDenied(f"This key lacks the scope '{endpoint}'.", code="insufficient_scope")


def _log(error: XRouterError, context: RequestContext) -> None:
    # What the caller did wrong is told to the caller alone: an upstream's words about it may quote the prompt.
    if error.status >= 500 or isinstance(error, UpstreamError):
        cause = error.detail or error.message
        logger.warning("%s %s: %s", error.status, error.code, cause, extra=context.facts)

"""The way back of one exchange: a typed reply becomes bytes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias

from ..asgi.responses import Headers, header, id_headers, send_json, send_stream
from ..asgi.sending import Outgoing
from ..context import RequestContext
from ..dialects.base import ParsedRequest
from ..errors import ModelNotFound, PermissionDenied
from ..providers.base import Call, Reply
from ..wire import Document
from ..wire.reading import SMALL, off_loop
from ..wire.stream import ChatStream

Keep: TypeAlias = Callable[[], Awaitable[None]]
"""Keeps the answer that was written."""

EXPLAIN = b"x-xrouter-explain"

_WARNINGS = 50

logger = logging.getLogger("xrouter")


def enter(context: RequestContext, endpoint: str, *, scope: str) -> None:
    """Note which endpoint is asked. Raises PermissionDenied if the caller's key lacks the scope."""
    context.endpoint = endpoint
    if context.principal is not None and not context.principal.has_scope(scope):
        raise PermissionDenied(f"This key lacks the scope '{scope}'.", code="insufficient_scope")


def note(context: RequestContext, parsed: ParsedRequest) -> None:
    """Note what observers may want to know of a request besides its model."""
    context.estimate = parsed.estimate()
    written = parsed.document if parsed.original is None else parsed.original.document
    context.metadata = written.value.get("metadata")


async def send_reply(
    send: Outgoing, context: RequestContext, parsed: ParsedRequest, reply: Reply, *, explained: bool, keep: Keep | None
) -> None:
    """Send what the provider replied, and note in the context who it was and what it counted.

    Args:
        explained: Whether the client is told how its request was routed.
        keep: Called before the client knows that the answer is whole.

    Raises:
        TypeError: The provider replied with another kind of body than the request asks for.
        UpstreamError: The reply cannot be written.
    """
    context.provider = reply.provider
    context.decision.served = reply.attempt
    context.upstream_model = reply.model
    match reply.body:
        case ChatStream() as stream if send.writer is not None:
            context.streamed = True
            # At the end of the stream, before the client knows of it.
            stream.when_ended(partial(_note_stream, context, stream))
            comment = partial(_explanation, context) if explained else None
            headers = _reply_headers(reply, parsed, context, explained=explained)
            del parsed
            broken = await send_stream(
                send, stream, send.writer, context=context, headers=headers, comment=comment, before_end=keep
            )
            if broken is not None:
                context.fail(broken)
        case Document() as answer if send.writer is None and isinstance(answer, parsed.answer_type):
            context.usage = (reply.usage or answer.usage) if reply.attempt is None else reply.attempt.usage
            data = await off_loop(parsed.whole, answer) if answer.size > SMALL else parsed.whole(answer)
            if keep is not None:
                await keep()
            await send_json(send, data, headers=_reply_headers(reply, parsed, context, explained=explained))
        case body:
            asked, given = type(parsed.request).__name__, type(body).__name__
            raise TypeError(f"The provider '{reply.provider}' answered a {asked} with a {given}.")


def _note_stream(context: RequestContext, stream: ChatStream, error: BaseException | None) -> None:
    context.usage = stream.usage
    context.characters = stream.characters


def _reply_headers(reply: Reply, parsed: ParsedRequest, context: RequestContext, *, explained: bool) -> Headers:
    headers = [header("x-xrouter-provider", reply.provider), *own_headers(context, explained=explained)]
    if reply.model:
        headers.append(header("x-xrouter-model", reply.model))
    if warnings := [*(() if reply.as_written else parsed.warnings), *reply.warnings]:
        headers.append(warnings_header(warnings))
    for name, value in reply.headers:
        headers.append(header(name, value))
    return headers


def warnings_header(warnings: Sequence[str]) -> tuple[bytes, bytes]:
    """`x-xrouter-warnings`, without repetitions, and cut after 50 words: a client can cause any number of them."""
    words = list(dict.fromkeys(warnings))
    return header("x-xrouter-warnings", ", ".join([*words[:_WARNINGS], *(["more"] if len(words) > _WARNINGS else ())]))


def own_headers(context: RequestContext, *, explained: bool) -> list[tuple[bytes, bytes]]:
    """The id of the request, how many attempts it took and, if it is to be explained, how it was routed."""
    headers = [*id_headers(context), (b"x-xrouter-attempts", b"%d" % len(context.attempts))]
    if explained:
        # Bypasses the cache of `header`: every value is unique.
        headers.append((EXPLAIN, context.decision.to_json().encode("ascii")))
    return headers


def _explanation(context: RequestContext) -> bytes:
    return EXPLAIN + b" " + context.decision.to_json().encode("ascii")


def unknown_upstream(error: ModelNotFound, call: Call) -> ModelNotFound:
    """What to tell a client that asks for a model of the table which the upstream does not know."""
    context = call.context
    hints = "; ".join(filter(None, (attempt.hint for attempt in context.attempts)))
    logger.warning("%s (%s)", hints, error.detail or error.message, extra=context.facts)
    message = (
        f"The model '{call.model[:256]}' is listed here, but its upstream does not know it. "
        f"Tell the operator the id {context.request_id}."
    )
    return error.but(message=message)

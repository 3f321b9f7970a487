"""Both directions of one exchange: the bytes of a request become typed, a typed reply becomes bytes."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from starlette.types import Receive, Scope

from ..asgi.body import read_body
from ..asgi.responses import Headers, header, id_headers, send_json, send_stream
from ..asgi.sending import Outgoing
from ..context import RequestContext
from ..dialects.base import ParsedRequest, Reader
from ..errors import XRouterError
from ..providers.base import Call, Reply
from ..providers.target import Attempting
from ..wire import Document
from ..wire.codec import parse_request
from ..wire.stream import ChatStream

logger = logging.getLogger("xrouter")

EXPLAIN = b"x-xrouter-explain"

_PATIENCE = 10.0  # seconds for a count of tokens, which an estimate can replace
_LARGE = 256 << 10  # bytes; parsing more than this would hold up every other request on the event loop


async def read_request(read: Reader, scope: Scope, receive: Receive, *, limit: int) -> ParsedRequest:
    """Read a request as its dialect does.

    Args:
        limit: The largest body that is accepted, in bytes.

    Raises:
        InvalidRequest, PayloadTooLarge, UnsupportedMediaType: The request is wrong.
        ClientDisconnected: The client left before its body was complete.
    """
    body = await read_body(scope, receive, limit=limit)
    if len(body) > _LARGE:
        return await asyncio.to_thread(_parse, read, body, scope["headers"])
    return _parse(read, body, scope["headers"])


def _parse(read: Reader, body: bytes, headers: Headers) -> ParsedRequest:
    return read(parse_request(body), body, headers)


async def count_tokens(provider: Attempting, call: Call) -> int | None:
    """How many tokens the provider says that the call has; None if it cannot say, or not in time."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    try:
        async with asyncio.timeout_at(deadline):
            return await provider.count_tokens(call.until(deadline))
    except (XRouterError, TimeoutError) as error:
        logger.warning("The tokens of a request could not be counted: %s", error, extra=call.context.facts)
        return None


async def send_reply(
    send: Outgoing, context: RequestContext, parsed: ParsedRequest, reply: Reply, *, explained: bool
) -> None:
    """Send what the provider replied, and note in the context who it was and what it counted.

    Args:
        explained: Whether the client is told how its request was routed.

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
            comment = partial(_explanation, context) if explained else None
            headers = _reply_headers(reply, parsed, context, explained=explained)
            try:
                broken = await send_stream(send, stream, send.writer, context=context, headers=headers, comment=comment)
                if broken is not None:
                    context.fail(broken)
            finally:
                context.usage = stream.usage
                context.characters = stream.characters
        case Document() as answer if send.writer is None and isinstance(answer, parsed.answer_type):
            context.usage = answer.usage
            written = parsed.whole(answer)
            await send_json(send, written, headers=_reply_headers(reply, parsed, context, explained=explained))
        case body:
            asked, given = type(parsed.request).__name__, type(body).__name__
            raise TypeError(f"The provider '{reply.provider}' answered a {asked} with a {given}.")


def _reply_headers(reply: Reply, parsed: ParsedRequest, context: RequestContext, *, explained: bool) -> Headers:
    headers = [header("x-xrouter-provider", reply.provider), *own_headers(context, explained=explained)]
    if reply.model:
        headers.append(header("x-xrouter-model", reply.model))
    if warnings := [*parsed.warnings, *reply.warnings]:
        headers.append(header("x-xrouter-warnings", ", ".join(warnings)))
    for name, value in reply.headers:
        headers.append(header(name, value))
    return headers


def own_headers(context: RequestContext, *, explained: bool) -> list[tuple[bytes, bytes]]:
    """The id of the request, how many attempts it took and, if it is to be explained, how it was routed."""
    headers = [*id_headers(context), (b"x-xrouter-attempts", b"%d" % len(context.attempts))]
    if explained:
        # Bypasses the cache of `header`: every value is unique.
        headers.append((EXPLAIN, context.decision.to_json().encode("ascii")))
    return headers


def _explanation(context: RequestContext) -> bytes:
    return EXPLAIN + b" " + context.decision.to_json().encode("ascii")

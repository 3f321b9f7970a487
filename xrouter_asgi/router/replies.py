"""A provider's reply as an ASGI answer: who answered in the headers, the bytes in the body."""

from __future__ import annotations

from functools import partial

from starlette.types import Send

from ..asgi.responses import Headers, header, id_header, send_json, send_stream
from ..context import RequestContext
from ..providers.base import Call, Reply
from ..wire import ChatCompletion, ChatRequest, EmbeddingList, EmbeddingsRequest
from ..wire.embeddings import in_format
from ..wire.stream import ChatStream

EXPLAIN = b"x-xrouter-explain"


async def send_reply(send: Send, call: Call, reply: Reply, *, explained: bool) -> None:
    """Send what the provider replied, and note in the context who it was and what it counted.

    Args:
        explained: Whether the client is told how its request was routed.

    Raises:
        TypeError: The provider replied with another kind of body than was asked for.
    """
    context = call.context
    context.provider = reply.provider
    context.decision.served = reply.attempt
    context.upstream_model = reply.model
    headers = _headers(reply, context, explained=explained)
    match call.request, reply.body:
        case ChatRequest(stream=True) as request, ChatStream() as stream:
            context.streamed = True
            try:
                broken = await send_stream(
                    send,
                    stream,
                    include_usage=request.include_usage,
                    facts=context.facts,
                    headers=headers,
                    comment=partial(_explanation, context) if explained else None,
                )
                if broken is not None:
                    context.fail(broken)
            finally:
                context.usage = stream.usage
                context.characters = stream.characters
        case ChatRequest(stream=False | None), ChatCompletion() as answer:
            context.usage = answer.usage
            await send_json(send, answer.data, headers=headers)
        case EmbeddingsRequest() as request, EmbeddingList() as answer:
            context.usage = answer.usage
            data = in_format(answer, request.encoding_format or "float").data
            await send_json(send, data, headers=headers)
        case _:
            asked, given = type(call.request).__name__, type(reply.body).__name__
            raise TypeError(f"The provider '{reply.provider}' answered a {asked} with a {given}.")


def _headers(reply: Reply, context: RequestContext, *, explained: bool) -> Headers:
    headers = [header("x-xrouter-provider", reply.provider), *own_headers(context, explained=explained)]
    if reply.model:
        headers.append(header("x-xrouter-model", reply.model))
    if reply.warnings:
        headers.append(header("x-xrouter-warnings", ", ".join(reply.warnings)))
    for name, value in reply.headers:
        headers.append(header(name, value))
    return headers


def own_headers(context: RequestContext, *, explained: bool) -> list[tuple[bytes, bytes]]:
    """Which request it was, how often upstreams were asked and, for those who may know, why it went as it did."""
    headers = [id_header(context.request_id), (b"x-xrouter-attempts", b"%d" % len(context.attempts))]
    if explained:
        # Not by `header`, which remembers: no two are alike.
        headers.append((EXPLAIN, context.decision.to_json().encode("ascii")))
    return headers


def _explanation(context: RequestContext) -> bytes:
    return EXPLAIN + b" " + context.decision.to_json().encode("ascii")

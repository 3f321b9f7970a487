"""A request of a client of Responses, passed on to an upstream that speaks it."""

from __future__ import annotations

from functools import partial

from ...wire import ChatCompletion, Original
from ...wire.members import splice
from ...wire.reading import by_size
from ...wire.stream import ChatStream
from ..base import Call
from ..http import Batches, ErrorReader, NativeDecoder, Timeouts, Upstream, UpstreamAnswer, start_stream
from .answers import chunks_of
from .response_events import ResponseEvents
from .responses import completion

RESPONSES = "/responses"
MAX_BODY = 32 << 20

_JSON = (b"Accept", b"application/json")
_EVENTS = (b"Accept", b"text/event-stream")
_SEND = (b"Content-Type", b"application/json")


async def respond(
    call: Call, original: Original, *, stream: bool, upstream: Upstream, timeouts: Timeouts, errors: ErrorReader
) -> ChatCompletion | ChatStream:
    """The upstream's own answer, read as that of a chat. Raises XRouterError."""
    document = original.forwarded
    content = await by_size(len(document.data), splice, document.data, document.value, {"model": call.model})
    headers = [_SEND, _EVENTS if stream else _JSON, *call.trace_headers]
    read = partial(completion, name=call.request.model, model=call.model, errors=errors)
    if not stream:
        whole = await upstream.fetch(
            "POST", RESPONSES, headers=headers, content=content, limit=MAX_BODY, deadline=call.deadline
        )
        return await by_size(len(whole.body), read, whole)
    answer = await upstream.open("POST", RESPONSES, headers=headers, content=content, deadline=call.deadline)
    if answer.status >= 400 or "json" in answer.headers.get("content-type", ""):
        whole = UpstreamAnswer(answer.status, answer.fields, await answer.read(MAX_BODY))
        return await ChatStream.replay([chunks_of((await by_size(len(whole.body), read, whole)).value)])
    events = ResponseEvents(model=call.request.model, errors=errors)
    return await start_stream(Batches(answer, NativeDecoder(events), idle=timeouts.idle), timeouts)

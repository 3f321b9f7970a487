"""How many tokens a chat has, by GigaChat's own tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from ...errors import UpstreamError
from ...wire import ChatRequest
from ...wire.chat_messages import AssistantMessage
from ...wire.codec import decode, encode
from ..base import Call
from .auth.client import GigaChatClient
from .headers import passed_on
from .response.errors import upstream_error

_JSON = [(b"Content-Type", b"application/json"), (b"Accept", b"application/json")]


async def count_tokens(client: GigaChatClient, call: Call, request: ChatRequest, *, model: str) -> int:
    """The tokens of the texts in the messages, and four bytes of JSON for each token of the tools.

    GigaChat counts texts only: no functions, no pictures, nothing that stands around a message.

    Raises:
        UpstreamError: GigaChat could not be asked, or gave no counts.
    """
    content = encode({"model": model, "input": [*_texts(request)] or [""]})
    headers = [*_JSON, *passed_on(call)]
    answer = await client.fetch("POST", "/tokens/count", headers=headers, content=content, deadline=call.deadline)
    if answer.status != 200:
        raise upstream_error(answer.status, answer.headers, answer.body, model=model, errors=client.errors)
    try:
        counted = sum(each["tokens"] for each in decode(answer.body))
    except (ValueError, TypeError, KeyError) as error:
        raise UpstreamError("GigaChat's answer holds no counts of tokens.", code="bad_body") from error
    tools = call.document.value.get("tools")
    return max(1, int(counted) + (ceil(len(encode(tools)) / 4) if tools else 0))


def _texts(request: ChatRequest) -> Iterator[str]:
    for message in request.messages:
        if isinstance(message.content, str):
            yield message.content
        else:
            yield from (text for part in message.content or () if (text := getattr(part, "text", None)))
        if isinstance(message, AssistantMessage):
            yield from (call.function.arguments for call in message.tool_calls or () if call.function is not None)

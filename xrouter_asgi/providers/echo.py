"""A provider that needs no upstream: it says what it was told. Also the example of the Protocol."""

from __future__ import annotations

import asyncio
import math
import os
import re
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ..errors import ModelNotFound, UpstreamTimeout
from ..wire import ChatChunk, ChatCompletion, ChatRequest, EmbeddingList, EmbeddingsRequest, ModelList
from ..wire.stream import ChatStream
from .base import Call, Reply, Unready

_DIMENSIONS = 8
_WORD = re.compile(r"\S+\s*|\s+")


class EchoProvider:
    """Answers with the last user message, streamed word by word, under the model names it is given.

    Args:
        models: The names it serves.
        delay: Seconds between two words of a stream.
    """

    def __init__(self, *, models: Sequence[str] = ("echo",), name: str = "echo", delay: float = 0.0) -> None:
        self.name = name
        self._models = tuple(models)
        self._delay = delay

    def ready(self, call: Call, /) -> Unready | None:
        """None: an echo is always there."""
        return None

    async def send(self, call: Call, /) -> Reply:
        match call.request:
            case _ if call.model not in self._models:
                raise ModelNotFound(call.model)
            case EmbeddingsRequest() as request:
                body: Any = _embed(request, call.model)
            case ChatRequest(stream=True) as request:
                body = await ChatStream.start(self._stream(request, call))
            case ChatRequest() as request:
                body = _complete(request, call.model)
        return Reply(body, provider=self.name, model=call.model)

    async def models(self, *, deadline: float | None = None) -> ModelList:
        """The names it serves."""
        models = [{"id": model, "object": "model", "created": 0, "owned_by": self.name} for model in self._models]
        return ModelList({"object": "list", "data": models})

    async def aclose(self) -> None:
        """There is nothing to close."""

    async def _stream(self, request: ChatRequest, call: Call) -> AsyncIterator[list[ChatChunk]]:
        head = _head("chat.completion.chunk", call.model)
        text = _last_user_text(request)

        def chunk(delta: dict[str, Any], finish: str | None = None) -> list[ChatChunk]:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return [ChatChunk({**head, "choices": [choice]})]

        yield chunk({"role": "assistant", "content": "", "refusal": None})
        for word in _WORD.findall(text):
            if self._delay:
                await self._pause(call.deadline)
            yield chunk({"content": word})
        yield chunk({}, "stop")
        yield [ChatChunk({**head, "choices": [], "usage": _usage(request, text)})]

    async def _pause(self, deadline: float | None) -> None:
        left = math.inf if deadline is None else deadline - asyncio.get_running_loop().time()
        await asyncio.sleep(min(self._delay, left))
        if self._delay > left:
            message = "The echo was not whole in the time of this call."
            raise UpstreamTimeout(message, code="total_timeout", trips=False)


def _complete(request: ChatRequest, model: str) -> ChatCompletion:
    text = _last_user_text(request)
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return ChatCompletion({**_head("chat.completion", model), "choices": [choice], "usage": _usage(request, text)})


def _embed(request: EmbeddingsRequest, model: str) -> EmbeddingList:
    """Unit vectors that depend on the text alone, so that equal texts are equal vectors."""
    inputs = request.input
    texts = inputs if isinstance(inputs, list) and not isinstance(inputs[0], int) else [inputs]
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(str(text), request.dimensions or _DIMENSIONS)}
        for index, text in enumerate(texts)
    ]
    count = sum(len(_WORD.findall(str(text))) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return EmbeddingList({"object": "list", "data": data, "model": model, "usage": usage})


def _vector(text: str, dimensions: int) -> list[float]:
    seed = zlib.crc32(text.encode("utf-8", "replace"))
    numbers = [zlib.crc32(b"%d" % index, seed) / 2**31 - 1 for index in range(dimensions)]
    length = math.hypot(*numbers) or 1.0
    return [number / length for number in numbers]


def _head(kind: str, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{os.urandom(12).hex()}", "object": kind, "created": int(time.time()), "model": model}


def _last_user_text(request: ChatRequest) -> str:
    for message in reversed(request.messages):
        if message.role == "user":
            if isinstance(message.content, str):
                return message.content
            return "".join(getattr(part, "text", "") for part in message.content)
    return ""


def _usage(request: ChatRequest, answer: str) -> dict[str, int]:
    contents = [message.content for message in request.messages]
    prompt = sum(len(_WORD.findall(content)) for content in contents if isinstance(content, str))
    completion = len(_WORD.findall(answer))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

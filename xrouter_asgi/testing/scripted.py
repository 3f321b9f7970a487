"""A provider that does what a test tells it, and counts what it opened and what was closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeAlias

from ..decision import Unready
from ..providers import Call, Reply
from ..wire import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    ChatStream,
    EmbeddingList,
    EmbeddingsRequest,
    ModelList,
)

Step: TypeAlias = Sequence[ChatChunk] | asyncio.Event | BaseException
"""A batch to send, an event to wait for, or an error to raise."""

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chat(model: str = "scripted", *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """The smallest chat request."""
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream, **more}


def chunk(text: str | None = None, *, finish: str | None = None, **more: Any) -> ChatChunk:
    """One chunk with one choice."""
    delta = {} if text is None else {"content": text}
    return ChatChunk({**_head("chat.completion.chunk"), "choices": [_choice(finish, delta=delta)], **more})


def usage_chunk() -> ChatChunk:
    """The chunk after the last one."""
    return ChatChunk({**_head("chat.completion.chunk"), "choices": [], "usage": USAGE})


def completion(text: str = "hello") -> ChatCompletion:
    message = {"role": "assistant", "content": text, "refusal": None}
    return ChatCompletion({**_head("chat.completion"), "choices": [_choice("stop", message=message)], "usage": USAGE})


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "scripted"}


def _choice(finish: str | None, **more: Any) -> dict[str, Any]:
    return {"index": 0, "logprobs": None, "finish_reason": finish, **more}


ANSWER: Sequence[Step] = ([chunk("hel"), chunk("lo")], [chunk(finish="stop")], [usage_chunk()])


class ScriptedProvider:
    """Follows `steps`, for a plain answer only the waits and errors among them.

    Args:
        body: The answer, whatever was asked.
        models: What it lists.

    Attributes:
        steps: What happens, in this order.
        calls: What it was asked.
        opened, closed: Upstream exchanges begun and ended.
        reached: Set when a script waits for the first time.
        settled: Set when an exchange has ended.
        closings: How often the provider itself was closed.
        listings: How often it was asked for its models.
        unready: What `ready` says.
    """

    def __init__(
        self, *steps: Step, name: str = "scripted", body: Any = None, models: Sequence[str] = ("scripted",)
    ) -> None:
        self.name = name
        self.calls: list[Call] = []
        self.opened = 0
        self.closed = 0
        self.closings = 0
        self.listings = 0
        self.unready: Unready | None = None
        self.reached = asyncio.Event()
        self.settled = asyncio.Event()
        self.steps = steps or ANSWER
        self._body = body
        self._models = models

    async def send(self, call: Call, /) -> Reply:
        self.calls.append(call)
        body = self._body
        match call.request:
            case ChatRequest(stream=True) if body is None:
                body = await ChatStream.start(self._stream())
            case ChatRequest() | EmbeddingsRequest():
                await self._run()
                body = body or (completion() if isinstance(call.request, ChatRequest) else embeddings())
        return Reply(body, provider=self.name, model="upstream-model")

    def ready(self, call: Call, /) -> Unready | None:
        return self.unready

    async def models(self, *, deadline: float | None = None) -> ModelList:
        self.listings += 1
        await self._run()
        models = [{"id": model, "object": "model", "created": 7, "owned_by": self.name} for model in self._models]
        return ModelList({"object": "list", "data": models})

    async def aclose(self) -> None:
        self.closings += 1

    async def _run(self) -> None:
        async for _ in self._stream():
            pass

    async def _stream(self) -> AsyncIterator[Sequence[ChatChunk]]:
        self.opened += 1
        try:
            await asyncio.sleep(0)  # the connection
            for step in self.steps:
                match step:
                    case asyncio.Event():
                        self.reached.set()
                        await step.wait()
                    case BaseException():
                        raise step
                    case batch:
                        await asyncio.sleep(0)  # the read
                        yield batch
        finally:
            self.closed += 1
            self.settled.set()


def embeddings() -> EmbeddingList:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return EmbeddingList({"object": "list", "data": data, "model": "scripted", "usage": usage})

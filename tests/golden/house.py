"""A provider as somebody writes one for a model in the own house, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from tests.golden.recording import pieces
from xrouter_asgi import Call, LLMRouter, Provider, Reply, Target
from xrouter_asgi.wire import ChatChunk, ChatCompletion, ChatStream, EmbeddingList

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}

Batch: TypeAlias = Sequence[ChatChunk]
Step: TypeAlias = Batch | float | BaseException | Callable[[], object]
"""A batch of chunks; seconds of silence; what the upstream fails with; something that happens meanwhile."""


class House:
    """Says the same to everybody.

    Args:
        says: An answer, the steps of a stream, or what to fail with.
        after: Seconds before that.
        warnings, headers: Of its replies.
    """

    def __init__(
        self,
        says: ChatCompletion | EmbeddingList | Sequence[Step] | BaseException,
        *,
        name: str = "house",
        after: float = 0,
        warnings: Sequence[str] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.name = name
        self._says = says
        self._after = after
        self._warnings = warnings
        self._headers = headers

    async def send(self, call: Call, /) -> Reply:
        async for _ in pieces([self._after]):
            pass
        says = self._says
        if isinstance(says, BaseException):
            raise says
        body: Any = await ChatStream.start(pieces(says)) if isinstance(says, Sequence) else says
        return Reply(body, provider=self.name, model=call.model, warnings=self._warnings, headers=self._headers)

    async def aclose(self) -> None: ...


def routed(provider: Provider, **options: Any) -> LLMRouter:
    """A router with one model, `m`, that is `house-1` at the provider."""
    return LLMRouter({"m": Target(provider, model="house-1")}, **options)


def hello(**more: Any) -> dict[str, Any]:
    """A request."""
    return {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **more}


def streamed(**more: Any) -> dict[str, Any]:
    return hello(stream=True, **more)


def choice(message: object, finish: str | None = "stop", *, index: int = 0) -> dict[str, Any]:
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}


def says(text: str, *, index: int = 0) -> dict[str, Any]:
    """A choice that says something."""
    return choice({"role": "assistant", "content": text, "refusal": None}, index=index)


def completion(*choices: Mapping[str, Any], **more: Any) -> ChatCompletion:
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "house-1"}
    return ChatCompletion({**head, "choices": list(choices or [says("Hello!")]), "usage": USAGE, **more})


def chunk(delta: Mapping[str, Any], finish: str | None = None, *, index: int = 0, **more: Any) -> ChatChunk:
    """A chunk with one choice."""
    return chunk_of({"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}, **more)


def chunk_of(*choices: Mapping[str, Any], **more: Any) -> ChatChunk:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "house-1"}
    return ChatChunk({**head, "choices": list(choices), **more})


def word(text: str) -> ChatChunk:
    return chunk({"content": text})


FIRST = chunk({"role": "assistant", "content": ""})
STOP = chunk({}, "stop")
COUNTED = chunk_of(usage=USAGE)
ANSWER: Sequence[Step] = ([FIRST], [word("Hel"), word("lo")], [word("!")], [STOP], [COUNTED])


def embeddings(*vectors: object, **more: Any) -> EmbeddingList:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return EmbeddingList({"object": "list", "data": data, "model": "house-1", "usage": usage, **more})

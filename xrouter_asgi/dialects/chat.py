"""`POST /v1/chat/completions`, OpenAI's Chat Completions: the JSON of the client is the canonical form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ..context import CostEstimate
from ..envelopes import openai
from ..wire import ChatChunk, ChatCompletion, ChatRequest, Document
from ..wire.answers import ChatCompletionAnswer
from ..wire.sse import DONE, encode_event
from .base import Dialect, Headers, Operation, event_schema, prompt_bound
from .writers import DataEvents


@dataclass(slots=True)
class ParsedChat:
    """A chat completion request with the client's own bytes."""

    original: ClassVar[None] = None
    warnings: ClassVar[tuple[str, ...]] = ()
    conversation: ClassVar[None] = None
    answer_type: ClassVar[type[Document]] = ChatCompletion

    request: ChatRequest
    document: Document

    @classmethod
    def read(cls, value: dict[str, Any], body: bytes, headers: Headers) -> Self:
        """Validate the JSON object. Raises InvalidRequest."""
        return cls(ChatRequest.of(value), Document(value, body))

    def estimate(self) -> CostEstimate:
        """The size of the body, and the bound that the client set to the output of all choices."""
        request = self.request
        choices = request.n or 1
        # Of two bounds nobody knows which one the upstream keeps.
        bound = max(request.max_completion_tokens or 0, request.max_tokens or 0) * choices
        return CostEstimate(request.model, prompt_bound(len(self.document.data)), bound or None, choices)

    def whole(self, answer: Document, /) -> bytes:
        """The completion as the provider gave it."""
        return answer.data

    def writer(self) -> ChatWriter | None:
        """A writer if the request says `"stream": true`."""
        return ChatWriter(include_usage=self.request.include_usage) if self.request.stream else None


class ChatWriter(DataEvents):
    """Writes each chunk as an event, and `[DONE]` at the end.

    The usage comes in a chunk of its own at the end, wherever the upstream put it, and only with `include_usage`.
    """

    def __init__(self, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._usage: ChatChunk | None = None

    def feed(self, chunks: Sequence[ChatChunk], /) -> bytes:
        """The chunks as events, without their usage."""
        return b"".join([self._encode(chunk) if chunk.text is None else encode_event(chunk.data) for chunk in chunks])

    def end(self) -> bytes:
        """The usage chunk if the client asked for it, and `[DONE]`."""
        if self._usage is None or not self._include_usage:
            return DONE
        # OpenAI's own SDK fails on a chunk without `choices`, others fail on one with a choice in it.
        return encode_event(self._usage.replace(choices=[]).data) + DONE

    def _encode(self, chunk: ChatChunk) -> bytes:
        if chunk.value.get("usage"):
            self._usage = chunk
            if chunk.only_usage:
                return b""
            # The client sees the usage once, because some clients add up what they see.
            chunk = chunk.replace(usage=None) if self._include_usage else chunk.without("usage")
        return encode_event(chunk.data)


CHAT = Dialect(
    name="chat",
    path="/chat/completions",
    scope="chat",
    read=ParsedChat.read,
    envelope=openai,
    operation=Operation(
        id="createChatCompletion",
        tag="Chat",
        summary="Answer a conversation",
        request=ChatRequest,
        answer=ChatCompletionAnswer,
        example={"model": "echo", "messages": [{"role": "user", "content": "Say hello."}], "stream": False},
        answered={
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "echo",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        },
        event=event_schema("A chat.completion.chunk or an error envelope as JSON, or `[DONE]`."),
        stream=(
            'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"echo","choices":'
            '[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}\n\ndata: [DONE]\n\n'
        ),
    ),
)

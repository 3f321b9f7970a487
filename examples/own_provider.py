"""A provider of one's own: no base class, no registration, just the three members.

uvicorn --app-dir examples own_provider:app
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from xrouter_asgi import Call, LLMRouter, Reply
from xrouter_asgi.errors import UnsupportedOperation
from xrouter_asgi.wire import ChatChunk, ChatCompletion, ChatRequest, ChatStream


class Parrot:
    """Says everything twice."""

    name = "parrot"

    async def send(self, call: Call, /) -> Reply:
        if not isinstance(call.request, ChatRequest):
            raise UnsupportedOperation("A parrot can only chat.")
        text = f"{call.request.messages[-1].content}! "
        if call.request.stream:
            # `start` waits for the first chunk: what fails before it is an error with a status of its own.
            return Reply(await ChatStream.start(self._repeat(text, call.model)), provider=self.name, model=call.model)
        choice = {"index": 0, "message": {"role": "assistant", "content": text + text}, "finish_reason": "stop"}
        body = ChatCompletion({**self._head("chat.completion", call.model), "choices": [choice]})
        return Reply(body, provider=self.name, model=call.model)

    async def aclose(self) -> None:
        """There is nothing to close."""

    async def _repeat(self, text: str, model: str) -> AsyncIterator[list[ChatChunk]]:
        head = self._head("chat.completion.chunk", model)
        for delta, finish in (({"role": "assistant", "content": text}, None), ({"content": text}, None), ({}, "stop")):
            yield [ChatChunk({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})]

    def _head(self, kind: str, model: str) -> dict[str, Any]:
        return {"id": "chatcmpl-parrot", "object": kind, "created": 0, "model": model}


app = LLMRouter({"parrot": Parrot()})

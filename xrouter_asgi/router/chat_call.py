"""A chat that the program itself asks, with no client and no bytes in between."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..context import RequestContext
from ..errors import ModelNotFound, UpstreamError
from ..providers.base import Call, Reply
from ..wire import ChatCompletion, ChatRequest, Document
from ..wire.answers import ChatChunkAnswer, ChatCompletionAnswer
from .exchange import unknown_upstream
from .table import ModelTable

Answer = TypeVar("Answer", bound=BaseModel)


class ChatCall:
    """A chat to await or to iterate over, which sends it. Doing so twice sends it twice.

        answer = await router.chat(messages, model="assistant")
        print(answer.choices[0].message.content)

        async for chunk in router.chat(messages, model="assistant"):
            print(chunk.choices[0].delta.content or "", end="")

    Whoever leaves the loop early closes the upstream with it. To have it closed before the next line, iterate inside
    `contextlib.aclosing(aiter(…))`.

    Both raise what a client would be told: an XRouterError, with its status and code. Nobody is asked before a request
    that is wrong is refused.

    Args:
        models: Where the model is looked up.
        members: The request as OpenAI has it, without `stream`.

    Raises:
        TypeError: `members` has `stream`.
    """

    def __init__(self, models: ModelTable, members: dict[str, Any]) -> None:
        if "stream" in members:
            raise TypeError("Leave 'stream' out: await the chat for a whole answer, iterate over it for a stream.")
        self._models = models
        self._members = members

    def __await__(self) -> Generator[Any, None, ChatCompletionAnswer]:
        return self._whole().__await__()

    def __aiter__(self) -> AsyncGenerator[ChatChunkAnswer, None]:
        return self._chunks()

    async def _whole(self) -> ChatCompletionAnswer:
        reply = await self._send(ChatRequest.of(self._members))
        if not isinstance(reply.body, ChatCompletion):
            await reply.aclose()
            raise _unexpected(reply)
        return _typed(ChatCompletionAnswer, reply, reply.body, kind="chat.completion")

    async def _chunks(self) -> AsyncGenerator[ChatChunkAnswer, None]:
        request = ChatRequest.of({**self._members, "stream": True})
        reply = await self._send(request)
        if (stream := reply.stream) is None:
            raise _unexpected(reply)
        try:
            async for batch in stream:
                for chunk in batch:
                    if request.include_usage or not chunk.only_usage:
                        yield _typed(ChatChunkAnswer, reply, chunk, kind="chat.completion.chunk")
        finally:
            await stream.aclose()

    async def _send(self, request: ChatRequest) -> Reply:
        found = self._models.find(request.model)
        if found is None:
            raise ModelNotFound(request.model)
        provider, stem = found
        call = Call(request, request.model, stem, context=RequestContext(endpoint="chat", model=request.model))
        try:
            return await provider.send(call)
        except ModelNotFound as error:
            if stem:
                raise
            raise unknown_upstream(error, call) from error


def _typed(answer: type[Answer], reply: Reply, document: Document, *, kind: str) -> Answer:
    """The document with attributes. Raises UpstreamError for one that lacks choices, or has them in a wrong form."""
    head = {"id": "", "object": kind, "created": 0, "model": reply.model}
    try:
        return answer.model_validate({**head, **document.value})
    except ValidationError as error:
        where = [".".join(map(str, each["loc"])) for each in error.errors()]
        raise UpstreamError(
            "The upstream's answer is not one of a chat.", detail=f"Wrong: {', '.join(where)}"
        ) from None


def _unexpected(reply: Reply) -> TypeError:
    return TypeError(f"The provider '{reply.provider}' answered a chat with a {type(reply.body).__name__}.")

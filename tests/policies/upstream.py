"""An upstream that plays one scene after another, each with its own waits and errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from xrouter_asgi.context import Principal, RequestContext
from xrouter_asgi.decision import Unready
from xrouter_asgi.events import AttemptEnded, AttemptStarted
from xrouter_asgi.providers import Call, Reply
from xrouter_asgi.testing.scripted import chat, chunk, completion
from xrouter_asgi.testing.virtual import now
from xrouter_asgi.wire import ChatChunk, ChatRequest, ChatStream, ModelList

Step: TypeAlias = float | str | BaseException
"""Seconds to wait, a text to send, or an error to raise."""

HANG = 1e9
WHOLE: Sequence[Step] = ("hi",)


@dataclass
class Asked:
    """A call that came, and when."""

    at: float
    call: Call


class Upstream:
    """A provider as a user writes one. Each call gets the next scene; the last one is played for ever.

    Attributes:
        asked: What came.
        open: How many are being answered.
        most: How many were so at once.
        closings: How often it was closed.
    """

    def __init__(self, *scenes: Sequence[Step], name: str = "up") -> None:
        self.name = name
        self.asked: list[Asked] = []
        self.open = 0
        self.most = 0
        self.closings = 0
        self._scenes = list(scenes) or [WHOLE]

    @property
    def times(self) -> list[float]:
        return [asked.at for asked in self.asked]

    async def send(self, call: Call, /) -> Reply:
        self.asked.append(Asked(now(), call))
        scene = self._scenes[min(len(self.asked), len(self._scenes)) - 1]
        if isinstance(call.request, ChatRequest) and call.request.stream:
            return Reply(await ChatStream.start(self._play(scene)), provider=self.name)
        async for _ in self._play(scene):
            pass
        return Reply(completion(), provider=self.name)

    async def aclose(self) -> None:
        self.closings += 1

    async def _play(self, scene: Sequence[Step]) -> AsyncIterator[Sequence[ChatChunk]]:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            for step in scene:
                match step:
                    case float():
                        await asyncio.sleep(step)
                    case str():
                        yield [chunk(step)] if step else []
                    case error:
                        raise error
            yield [chunk(finish="stop")]
        finally:
            self.open -= 1


class ReadyUpstream(Upstream):
    """The same as a `ReadyProvider`.

    Attributes:
        listings: The deadline of each list of models that was asked for.
        unready: What `ready` says.
    """

    def __init__(self, *scenes: Sequence[Step], name: str = "up", models: Sequence[str] = ("m",)) -> None:
        super().__init__(*scenes, name=name)
        self.listings: list[float | None] = []
        self.unready: Unready | None = None
        self._models = models

    def ready(self, call: Call, /) -> Unready | None:
        return self.unready

    async def models(self, *, deadline: float | None = None) -> ModelList:
        self.listings.append(deadline)
        return ModelList({"object": "list", "data": [{"id": name, "object": "model"} for name in self._models]})


def call(*, stream: bool = False, deadline: float | None = None, caller: str | None = None, **more: Any) -> Call:
    context = RequestContext(principal=None if caller is None else Principal(caller))
    request = ChatRequest.model_validate(chat(stream=stream, **more))
    return Call(request, context=context, deadline=deadline)


def events_of(one: Call) -> list[object]:
    """What observers of the call are told from now on, beside the attempts."""
    told: list[object] = []

    def observe(event: object) -> None:
        if not isinstance(event, (AttemptStarted, AttemptEnded)):
            told.append(event)

    one.context.observers.append(observe)
    return told


async def stream_of(reply: Reply) -> ChatStream:
    assert isinstance(reply.body, ChatStream)
    return reply.body


async def text_of(reply: Reply) -> str:
    """The text of a stream that ends well."""
    stream = await stream_of(reply)
    text = ""
    async for batch in stream:
        for one in batch:
            text += "".join(choice["delta"].get("content", "") for choice in one.value["choices"])
    return text

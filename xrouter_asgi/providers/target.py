"""A model at a provider: each call through it is an attempt."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial

from ..context import Attempt, RequestContext, stem
from ..errors import XRouterError
from ..events import AttemptEnded, AttemptStarted
from ..wire import ModelList, ModelsRequest
from ..wire.stream import ChatStream
from .base import Call, Provider, Reply


class Target:
    """A model at a provider. Each call through it is an attempt, noted in the context and told to its observers.

    Args:
        inner: The provider.
        model: The upstream's name of the model. A `*` in it stands for what the pattern in the table matched.
    """

    def __init__(self, inner: Provider, *, model: str) -> None:
        self.inner = inner
        self.model = model

    @property
    def name(self) -> str:
        return self.inner.name

    async def send(self, call: Call, /) -> Reply:
        """Pass the call on with the upstream's model. The list of models is answered by what `*` may stand for."""
        if isinstance(call.request, ModelsRequest):
            return await self._stems(call)
        attempt = Attempt(self.name, self.model.replace("*", call.stem))
        call.context.attempts.append(attempt)
        if call.context.observers:
            call.context.emit(AttemptStarted(call.context, attempt))
        ended = partial(_end, call.context, attempt)
        try:
            reply = await self.inner.send(call.to(attempt))
        except BaseException as error:
            ended(error)
            raise
        attempt.first = time.perf_counter()
        if isinstance(reply.body, ChatStream):
            reply.body.when_ended(ended)
        else:
            ended(None)
        return reply

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def _stems(self, call: Call) -> Reply:
        if "*" not in self.model:
            return Reply(ModelList({"object": "list", "data": []}), provider=self.name)
        reply = await self.inner.send(call)
        data = [{**model, "id": name} for model in reply.models if (name := stem(self.model, model["id"]))]
        return replace(reply, body=ModelList({"object": "list", "data": data}))


def _end(context: RequestContext, attempt: Attempt, error: BaseException | None) -> None:
    attempt.ended = time.perf_counter()
    match error:
        case asyncio.CancelledError(args=(XRouterError() as reason, *_)):
            attempt.error = reason  # a policy gave the attempt up, and said why: `task.cancel(error)`
        case _:
            attempt.error = error
    if context.observers:
        context.emit(AttemptEnded(context, attempt))

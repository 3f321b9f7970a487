"""An upstream in memory, in moods that change: it answers, refuses, stalls and breaks off as the dice say."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from xrouter_asgi.errors import (
    ModelNotFound,
    RequestRejected,
    UpstreamError,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    XRouterError,
)
from xrouter_asgi.providers.base import Call, Reply
from xrouter_asgi.testing.scripted import chunk, completion, usage_chunk
from xrouter_asgi.testing.virtual import now
from xrouter_asgi.wire import ChatChunk, ChatRequest
from xrouter_asgi.wire.stream import ChatStream

Step: TypeAlias = float | str | XRouterError
"""Seconds to wait, a text to send, or an error to raise."""

FOREVER = 1e9
WHOLE = "whole"
DEAD = ("refused", "failed", "empty", "bad")
AFTER_SOME_TEXT = ("broken", "stalled", "cut")

MOODS: Sequence[Mapping[str, float]] = (
    {WHOLE: 1},
    {WHOLE: 6, "refused": 1, "failed": 1, "busy": 1, "broken": 1, "stalled": 1, "cut": 1, "silent": 1, "rejected": 1},
    {"refused": 3, "failed": 3, "silent": 1, "empty": 1, "bad": 1},
    {WHOLE: 2, "busy": 2, "busy for long": 1, "busy for some time": 1, "unauthorized": 1, "used up": 1, "missing": 1},
)
"""How often each scene is played."""
NOBODY: Mapping[str, float] = {"refused": 1}


@dataclass(eq=False)
class Exchange:
    """One call that came, and what became of it.

    Attributes:
        texts: What an answer that ends well holds.
        ended: When the upstream was done with it, or was closed.
    """

    request_id: str
    began: float
    scene: str
    texts: Sequence[str]
    ended: float | None = None


class SimulatedUpstream:
    """A provider.

    Args:
        dead: Whether nobody is there, whatever happens.

    Attributes:
        exchanges: All that came.
        open: How many are under way.
        in_vain: How many failed since it last was anything else than dead, as far as that is certain.
    """

    def __init__(self, name: str, dice: random.Random, *, dead: bool = False) -> None:
        self.name = name
        self.dead = dead
        self.exchanges: list[Exchange] = []
        self.open = 0
        self.in_vain = 0
        self._alive = 0  # exchanges under way in which it is not dead
        self.closings = 0
        self._dice = dice
        self._mood = NOBODY if dead else MOODS[0]

    def change_mood(self) -> None:
        if not self.dead:
            self._mood = self._dice.choice(MOODS)

    async def send(self, call: Call, /) -> Reply:
        scene = self._dice.choices(list(self._mood), list(self._mood.values()))[0]
        tag = f"{self.name}{len(self.exchanges)}"
        texts = [f"{tag}.{index} " for index in range(self._dice.randint(1, 4))]
        exchange = Exchange(call.context.request_id, now(), scene, texts)
        self.exchanges.append(exchange)
        playing = self._play(exchange)
        if isinstance(call.request, ChatRequest) and call.request.stream:
            return Reply(await ChatStream.start(playing), provider=self.name, model=call.model)
        async for _ in playing:
            pass
        if scene == "cut":
            raise UpstreamUnavailable("The answer is cut off.", code="truncated")
        return Reply(completion("".join(texts)), provider=self.name, model=call.model)

    async def aclose(self) -> None:
        self.closings += 1

    async def _play(self, exchange: Exchange) -> AsyncIterator[Sequence[ChatChunk]]:
        self.open += 1
        alive = exchange.scene not in DEAD
        self._note_life(alive, 1)
        try:
            for step in self._steps(exchange):
                match step:
                    case float():
                        await asyncio.sleep(step)
                    case str():
                        yield [chunk(step)]
                    case error:
                        self.in_vain += not self._alive
                        raise error
            if exchange.scene == WHOLE:
                yield [chunk(finish="stop"), usage_chunk()]
        finally:
            self.open -= 1
            self._note_life(alive, -1)
            exchange.ended = now()

    def _note_life(self, alive: bool, change: int) -> None:
        if alive:
            self._alive += change
            self.in_vain = 0

    def _steps(self, exchange: Exchange) -> Sequence[Step]:
        dice = self._dice
        connecting = dice.choice((0.0, dice.uniform(0.0, 2.0)))
        if exchange.scene != WHOLE and exchange.scene not in AFTER_SOME_TEXT:
            return (connecting, self._refusal(exchange.scene))
        steps: list[Step] = [connecting]
        for text in exchange.texts:
            steps += [text, dice.choice((0.0, dice.uniform(0.0, 1.0)))]
        if exchange.scene == "broken":
            steps.append(UpstreamUnavailable("The connection is lost.", code="connection_lost"))
        if exchange.scene == "stalled":
            steps.append(FOREVER)
        return steps

    def _refusal(self, scene: str) -> Step:
        match scene:
            case "silent":
                return FOREVER
            case "refused":
                return UpstreamUnavailable("Nobody listens.", code="connect_refused")
            case "failed":
                return UpstreamUnavailable("It failed.", code="upstream_error")
            case "empty":
                return UpstreamUnavailable("It sent nothing.", code="empty_stream")
            case "bad":
                return UpstreamError("It sent nonsense.", code="bad_body")
            case "busy":
                return UpstreamRateLimited("Slower.", retry_after=self._dice.uniform(0.1, 5.0))
            case "busy for long":
                return UpstreamRateLimited("Slower.", retry_after=30.0)
            case "busy for some time":
                return UpstreamRateLimited("Slower.")
            case "unauthorized":
                return UpstreamUnauthorized("Who are you?")
            case "used up":
                return UpstreamQuotaExceeded("No money.")
            case "missing":
                return ModelNotFound("m")
        return RequestRejected("No.")

"""A client: what it asks and when, how fast it reads, when it leaves, and what it was answered."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.asgi_client import Exchange, body_messages, http_scope
from xrouter_asgi.testing.scripted import chat
from xrouter_asgi.testing.virtual import now

BEGINNING = 40.0  # seconds in which clients come
SLOW = 0.5  # seconds at most for a message


@dataclass(frozen=True)
class Plan:
    """What a client is going to do.

    Attributes:
        leaves: Seconds after its beginning; None when it stays.
        leaves_after: Messages of the answer after which it leaves.
        takes: Seconds it needs for a message.
        minds: Whether the server says that it has left by an error.
    """

    number: int
    begins: float
    streamed: bool
    address: str
    leaves: float | None
    leaves_after: int | None
    takes: float
    minds: bool

    @classmethod
    def draw(cls, number: int, dice: random.Random) -> Plan:
        leaving = dice.random()
        return cls(
            number=number,
            begins=dice.uniform(0.0, BEGINNING),
            streamed=dice.random() < 0.7,
            address=f"10.0.0.{dice.randint(1, 3)}",
            leaves=dice.uniform(0.0, 20.0) if leaving < 0.2 else None,
            leaves_after=dice.randint(1, 4) if 0.2 <= leaving < 0.35 else None,
            takes=dice.choice((0.0, 0.0, dice.uniform(0.0, SLOW))),
            minds=dice.random() < 0.5,
        )

    @property
    def request_id(self) -> str:
        return f"r{self.number}"


@dataclass(eq=False)
class Client:
    """Carries out a plan.

    Attributes:
        began, ended, left: When.
        stopped: Whether the gateway was told to stop meanwhile. What it was just sending may then have no end.
        asked_after_answer: Upstreams that were asked although the answer had begun.
    """

    plan: Plan
    app: ASGIApp
    began: float | None = None
    ended: float | None = None
    left: float | None = None
    stopped: bool = False

    def __post_init__(self) -> None:
        plan = self.plan
        body = json.dumps(chat("m", stream=plan.streamed)).encode()
        scope = http_scope("POST", "/v1/chat/completions", client=(plan.address, 1))
        scope["headers"] = [(b"x-request-id", plan.request_id.encode())]
        self._exchange = Exchange(
            self._reading,
            scope,
            script=body_messages(body),
            leave_after=plan.leaves_after,
            send_error=OSError("It has left.") if plan.minds else None,
        )

    @property
    def runs(self) -> bool:
        return self.began is not None and self.ended is None

    @property
    def answered(self) -> bool:
        """Whether anything of an answer came."""
        return self._exchange.answer.started

    async def run(self) -> None:
        await asyncio.sleep(self.plan.begins)
        self.began = now()
        timer = None
        if self.plan.leaves is not None:
            timer = asyncio.get_running_loop().call_later(self.plan.leaves, self._leave)
        try:
            await self._exchange.run()
        except OSError:
            if self.left is None:  # else it is what servers since version 2.4 of ASGI expect
                raise
        self.ended = now()
        if timer is not None:
            timer.cancel()

    def check(self) -> Sequence[str]:
        """What is wrong with the answer, if it is whole; each with the promise it breaks."""
        answer = self._exchange.answer
        if self.left is not None:
            return ()
        if not answer.finished:
            if self.stopped and b"[DONE]" not in answer.body:
                return ()
            return ("R1: the answer has no end",)
        if answer.status != 200:
            return () if answer.error["message"] else ("R5: an error without a message",)
        if self.plan.streamed:
            return _check_stream(answer.events)
        return _check_order(answer.json["choices"][0]["message"]["content"].split(), whole=True)

    def _leave(self) -> None:
        if self.ended is None and self.left is None:
            self.left = now()
            self._exchange.leave()

    async def _reading(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, as a client of that speed reads it."""
        sent = 0

        async def send_slowly(message: Message) -> None:
            nonlocal sent
            if self.plan.takes:
                await asyncio.sleep(self.plan.takes)
            await send(message)
            sent += 1
            if sent == self.plan.leaves_after and self.left is None and not self._exchange.answer.finished:
                self.left = now()

        await self.app(scope, receive, send_slowly)


def _check_stream(events: Sequence[object]) -> Sequence[str]:
    texts: list[str] = []
    finished = broken = False
    for event in events[: -1 if events[-1] == "[DONE]" else None]:
        assert isinstance(event, dict)
        if broken:
            return ("R5: something follows an error",)
        broken = "error" in event
        for choice in event.get("choices", ()):
            texts += choice["delta"].get("content", "").split()
            finished = finished or choice["finish_reason"] is not None
    done = events[-1] == "[DONE]"
    if done == broken:
        return (f"R5: the stream is {'both' if done else 'neither'} done {'and' if done else 'nor'} broken",)
    if done and not finished:
        return ("R5: an unfinished stream says [DONE]",)
    return _check_order(texts, whole=done)


def _check_order(texts: Sequence[str], *, whole: bool) -> Sequence[str]:
    """Texts are `tag.0 tag.1 …` of one attempt."""
    tags = {text.partition(".")[0] for text in texts}
    numbers = [int(text.partition(".")[2]) for text in texts]
    if len(tags) > 1:
        return (f"R4: one answer holds texts of {sorted(tags)}",)
    if numbers != list(range(len(numbers))):
        return (f"R6: the texts came as {numbers}",)
    if whole and not texts:
        return ("R5: an empty answer looks whole",)
    return ()

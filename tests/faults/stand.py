"""The standalone app in front of an upstream with a fault, and what the fault matrix expects of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Literal, TypeVar

import pytest

from tests.asgi_client import Answer, Exchange, body_messages, http_scope
from xrouter_asgi.context import RequestContext
from xrouter_asgi.conventions import error_type
from xrouter_asgi.errors import CooldownKind
from xrouter_asgi.events import AttemptEnded
from xrouter_asgi.policies.breaker import CircuitBreaker
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.stack import stack
from xrouter_asgi.policies.timeout import Deadline, Timeout
from xrouter_asgi.providers.base import Provider
from xrouter_asgi.settings import Settings, models
from xrouter_asgi.standalone import assemble
from xrouter_asgi.testing.http import Handler
from xrouter_asgi.testing.openai import FakeOpenAI

MANY = 20
"""As many calls as a circuit breaker wants to have seen before it judges."""

Event = TypeVar("Event")


@dataclass(frozen=True)
class Row:
    """One fault before the first byte, and its columns.

    Attributes:
        upstream: What it does with each request.
        attempts: How often it is asked for one request while nobody else can be.
        elsewhere_first: Whether another target is asked before it is again.
        falls_back: Whether another target answers in its place.
        breaker: Whether its circuit breaker counts the failure; else what rests, and for how many seconds.
        rests: What rests although the failure counts.
        label: What metrics call it, if not by its code.
        modes: Whether whole answers, streams or both are asked for.
        timeouts: Clocks of the provider, in seconds.
    """

    name: str
    upstream: Handler
    status: int
    code: str
    attempts: int = 1
    elsewhere_first: bool = False
    falls_back: bool = True
    breaker: Literal["counts", "ignores"] | tuple[CooldownKind, float] = "counts"
    rests: tuple[CooldownKind, float] | None = None
    label: str | None = None
    modes: tuple[Literal["whole", "stream"], ...] = ("whole", "stream")
    timeouts: Mapping[str, float] | None = None


def each(*rows: Row) -> pytest.MarkDecorator:
    """A test of each row, in each of its modes, as `row` and `stream`."""
    return pytest.mark.parametrize(
        ("row", "stream"),
        [pytest.param(row, mode == "stream", id=f"{row.name}, {mode}") for row in rows for mode in row.modes],
    )


class Told:
    """What came of one request: its answer, and what observers were told."""

    def __init__(self, answer: Answer, context: RequestContext, events: list[object]) -> None:
        self.answer = answer
        self.attempts = context.attempts
        self.usage = context.usage
        self._events = events

    def of(self, kind: type[Event]) -> list[Event]:
        """The events of a kind."""
        return [event for event in self._events if isinstance(event, kind)]

    @property
    def stream(self) -> list[Any]:
        """The payloads of a stream: JSON, or the text `[DONE]`. An event may have several lines."""
        *events, rest = self.answer.body.decode().split("\n\n")
        assert rest == ""
        payloads = [event.replace("\ndata: ", "\n").removeprefix("data: ") for event in events]
        return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]

    @property
    def text(self) -> str:
        """What a stream said."""
        chunks = [event for event in self.stream if event != "[DONE]" and "error" not in event]
        return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])

    @property
    def labels(self) -> list[str | None]:
        """What metrics call the end of each attempt; None for a good one."""
        errors = [event.attempt.error for event in self.of(AttemptEnded)]
        return [None if error is None else error_type(error) for error in errors]


class Stand:
    """The app with two models: `alone` has only the upstream, `pair` has another target behind it.

    Args:
        provider: The table of the upstream; `env:KEY` in it is `key`.
        model: Which model is asked for there.
        patience: The `patience` of both models.
    """

    def __init__(
        self,
        provider: Mapping[str, Any],
        *,
        model: str = "chat",
        patience: Mapping[str, float] | None = None,
        key: str = "sk-of-ours",
    ) -> None:
        more = {"patience": patience or {}}
        document = {
            "providers": {"first": provider, "second": {"kind": "echo", "models": ["parrot"]}},
            "models": {
                "alone": {"targets": [f"first/{model}"], **more},
                "pair": {"targets": [f"first/{model}", "second/parrot"], **more},
            },
            "access_log": {"format": "off"},
        }
        self._app, self._router, *_ = assemble(Settings.parse(document, environment={"KEY": key}))

    async def ask(self, model: str, *, stream: bool = False, text: str = "one two", **members: Any) -> Told:
        """One chat."""
        events: list[object] = []
        context = RequestContext(observers=[events.append])
        body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream, **members}
        script = body_messages(json.dumps(body).encode())
        exchange = Exchange(self._app, http_scope("POST", "/v1/chat/completions", xrouter=context), script=script)
        return Told(await exchange.run(), context, events)

    async def ask_many(self, model: str, *, stream: bool = False) -> list[Told]:
        """As many chats at once as a circuit breaker wants to have seen."""
        return await asyncio.gather(*[self.ask(model, stream=stream) for _ in range(MANY)])

    def breaker(self, model: str) -> CircuitBreaker:
        """That of the upstream, for one model."""
        layer: Provider = self._router.models[model]
        while not isinstance(layer, CircuitBreaker):
            assert isinstance(layer, Deadline | Fallback | Timeout | Retry)
            layer = layer.candidates[0].provider if isinstance(layer, Fallback) else layer.inner
        return layer

    async def aclose(self) -> None:
        await self._router.aclose()


class AtOnce(Random):
    """Jitter that is always as short as can be: no test waits for a retry that nobody asked to wait for."""

    def uniform(self, a: float, b: float) -> float:
        return a


@asynccontextmanager
async def standing(provider: Mapping[str, Any], **more: Any) -> AsyncIterator[Stand]:
    """The app, closed in the end. Its retries come at once."""
    with pytest.MonkeyPatch.context() as patch:
        # Settings have no word for the jitter of retries.
        patch.setattr(models, "stack", partial(stack, random=AtOnce()))
        stand = Stand(provider, **more)
    try:
        yield stand
    finally:
        await stand.aclose()


@asynccontextmanager
async def facing(fake: FakeOpenAI, **more: Any) -> AsyncIterator[Stand]:
    """The same before a fake upstream; `more` are members of its table, and `patience`."""
    patience = more.pop("patience", None)
    async with standing({"kind": "openai", "base_url": fake.base_url, **more}, patience=patience) as stand:
        yield stand


@asynccontextmanager
async def facing_row(row: Row) -> AsyncIterator[tuple[Stand, FakeOpenAI]]:
    """The app before an upstream that has nothing to show but the fault."""
    async with FakeOpenAI() as fake:
        fake.next(*[row.upstream] * 4 * MANY)
        async with facing(fake, timeouts=row.timeouts or {}, patience={"total": 10.0}) as stand:
            yield stand, fake

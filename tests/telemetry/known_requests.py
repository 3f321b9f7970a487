"""Events whose every number is known: what the golden files of metrics were recorded from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.telemetry.measured import ended
from xrouter_asgi.context import Attempt, RequestContext, Usage
from xrouter_asgi.decision import CandidateVerdict, Unready
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.events import (
    AttemptEnded,
    AttemptRetried,
    AttemptStarted,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    CooldownStarted,
    LimiterDegraded,
    Observer,
    ProviderReplaced,
    RequestStarted,
)

ODD = 'odd "name" \\ of\ntwo lines, модель'
"""A model's name that each format must escape."""
REFUSALS = {"loop_lag": 0, "memory": 7}
BACKLOG = 3


class Models:
    """A router's table with two names and a pattern."""

    def entry(self, name: str) -> str | None:
        if name.startswith("local-"):
            return "local-*"
        return name if name in ("assistant", ODD) else None


def tell(observer: Observer) -> None:
    """Tell an observer of all of them."""
    asyncio.run(_tell(observer))


async def _tell(observer: Observer) -> None:
    due = _hold_timers(asyncio.get_running_loop())
    failed = UpstreamUnavailable("No.", code="connect_refused")
    for context, more in (
        (_request("assistant", _attempt(0.5), usage=Usage(300, 40)), {"duration": 0.53125}),
        (_request("assistant", _attempt(3.0), usage=Usage(2000, 1)), {"duration": 3.015625}),
        (_request("assistant", _attempt(2.0, first=0.125), streamed=True), {"duration": 2.25, "first_byte": 0.25}),
        (_request(ODD, _attempt(0.25, error=failed), _attempt(0.25, provider="other")), {"duration": 4.0}),
        (_request("local-llama", _attempt(100.0), endpoint="embeddings", usage=Usage(1)), {"duration": 101.0}),
        (_request("unknown", endpoint="responses"), {"duration": 0.001, "status": 404}),
        (_request(None, endpoint=None), {"duration": 0.0, "status": None, "complete": False}),
    ):
        observer(RequestStarted(context))
        for attempt in context.attempts:
            observer(AttemptStarted(context, attempt))
            observer(AttemptEnded(context, attempt))
        observer(ended(context, **more))
    for late in (0.0, 0.003, 2.0):
        due(late)
    running = _request("assistant", _attempt(1.0))
    observer(RequestStarted(running))
    observer(AttemptStarted(running, running.attempts[0]))
    for event in (
        AttemptRetried(running, "up", 1, 0.1, failed, "up/m"),
        AttemptRetried(running, "up", 2, 0.1, failed),
        CircuitOpened(running, "up", 5.0, "up/m"),
        CircuitHalfOpened(running, "up", "up/m"),
        CircuitOpened(running, "other", 5.0, "other/m"),
        CircuitOpened(running, "gone", 5.0, "gone/m"),
        CircuitClosed(running, "gone", "gone/m"),
        ProviderReplaced("gone"),
        CooldownStarted(running, "up", "quota", 600.0, "up/m"),
        LimiterDegraded(running),
    ):
        observer(event)
    went_round = _request("assistant")
    went_round.decision.hedges = 2
    went_round.decision.candidates = (
        CandidateVerdict("up/m"),
        CandidateVerdict("other/m", excluded=Unready("circuit_open", 3.2, "circuit open for 3.2 s")),
    )
    observer(ended(went_round, duration=0.0625))


def _request(model: str | None, *attempts: Attempt, endpoint: str | None = "chat", **more: Any) -> RequestContext:
    provider = attempts[-1].provider if attempts else None
    return RequestContext(endpoint=endpoint, model=model, attempts=list(attempts), provider=provider, **more)


def _attempt(
    seconds: float, *, provider: str = "up", first: float | None = None, error: Exception | None = None
) -> Attempt:
    first = None if first is None else 64.0 + first
    return Attempt(provider, "there", started=64.0, first=first, ended=64.0 + seconds, error=error)


def _hold_timers(loop: asyncio.AbstractEventLoop) -> Callable[[float], None]:
    """Hold up what the loop is asked to call, and stop its clock. Returns what makes the next call so much too late."""
    held: list[tuple[float, Callable[..., None], tuple[object, ...]]] = []
    now = 64.0

    def call_at(when: float, callback: Callable[..., None], *args: object) -> None:
        held.append((when, callback, args))

    def call_next(late: float) -> None:
        nonlocal now
        when, callback, args = held.pop(0)
        now = when + late
        callback(*args)

    loop.call_at, loop.time = call_at, lambda: now  # type: ignore[method-assign, assignment]
    return call_next

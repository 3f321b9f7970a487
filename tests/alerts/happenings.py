"""Events as they come from requests, and alerts as they go to a channel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from xrouter_asgi.alerts import Alert, Alerts, Rule
from xrouter_asgi.context import Attempt, RequestContext
from xrouter_asgi.errors import XRouterError
from xrouter_asgi.events import AttemptEnded, RequestEnded


def ended(
    status: int | None = 200,
    *,
    endpoint: str | None = "chat",
    error: XRouterError | None = None,
    first_byte: float | None = 0.1,
    own_keys: Iterable[str] = (),
) -> RequestEnded:
    context = RequestContext(endpoint=endpoint, error=error, own_keys=frozenset(own_keys))
    return RequestEnded(
        context=context,
        method="POST",
        path="/v1/chat/completions",
        status=status,
        complete=error is None,
        duration=0.2,
        first_byte=first_byte,
        received=1,
        sent=1,
        client=None,
    )


def attempted(
    error: BaseException | None = None,
    *,
    provider: str = "up",
    started: float = 0.0,
    after: float = 1.0,
    own_keys: Iterable[str] = (),
) -> AttemptEnded:
    attempt = Attempt(provider, "m", started=started, ended=started + after, error=error)
    return AttemptEnded(RequestContext(attempts=[attempt], own_keys=frozenset(own_keys)), attempt)


class Watched:
    """Alerts, and what they told."""

    def __init__(self, *rules: Rule, cooldown: float = 600.0) -> None:
        self.told: list[Alert] = []
        self.alerts = Alerts(rules, [self.told.append], cooldown=cooldown)

    async def see(self, *events: object) -> list[str]:
        """Texts of what is told because of these events."""
        before = len(self.told)
        for event in events:
            self.alerts(event)
        await self.alerts.aclose()
        return [("ok: " if alert.recovered else "") + alert.text for alert in self.told[before:]]

    async def see_later(self, seconds: float, *events: object) -> list[str]:
        await asyncio.sleep(seconds)
        return await self.see(*events)


def times(count: int, make: Callable[[], object]) -> Iterable[object]:
    return (make() for _ in range(count))

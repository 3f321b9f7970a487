"""The observer that keeps rules and has channels told."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from inspect import isawaitable

from ..checks import require_positive
from .channels import Alert, Channel, Undelivered
from .rules import Rule

PATIENCE = 10.0
"""Seconds for each channel and alert, and for `aclose()`."""

_QUEUE = 100  # alerts that wait for a channel that is slow

logger = logging.getLogger("xrouter")


@dataclass(slots=True)
class _Trouble:
    """What is known of one rule and subject."""

    text: str = ""
    wrong: bool = False
    told: bool = False
    quiet_until: float = -math.inf


class Alerts:
    """Tells channels when something is wrong, again after each `cooldown` while it lasts, and when it is over.

    What comes and goes within a cooldown is told once. What is wrong when a cooldown ends is told with the next event.
    Each process watches itself.

        alerts = Alerts([ErrorShare(), CircuitsOpen()], [slack(os.environ["SLACK_WEBHOOK"])])
        app = RequestEventsMiddleware(router, observers=[AccessLog(), alerts])

    Args:
        rules: What to watch. Names must differ.
        channels: Whom to tell. One that fails, or takes longer than 10 s, loses this alert, which then goes to
            the log; the others and the requests do not notice.
        cooldown: Seconds between two alerts of the same rule and subject. Above 0.

    Channels are told by a task that runs only while there is something to tell.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        channels: Iterable[Channel],
        *,
        cooldown: float = 600.0,
    ) -> None:
        require_positive(cooldown=cooldown)
        self._rules = tuple(rules)
        self._channels = tuple(channels)
        names = [rule.name for rule in self._rules]
        if len(set(names)) < len(names):
            raise ValueError(f"Two rules have the same name: {', '.join(sorted(names))}. Give each a name of its own.")
        self._cooldown = cooldown
        self._troubles: dict[tuple[str, str], _Trouble] = {}
        self._waiting: deque[Alert] = deque()
        self._delivering: asyncio.Task[None] | None = None

    def __call__(self, event: object) -> None:
        """Look at an event."""
        now = asyncio.get_running_loop().time()
        for rule in self._rules:
            found = rule(event, now)
            if found is None:
                continue
            key = (rule.name, found.subject)
            if found.once:
                self._tell(key, found.text, recovered=False)
            elif found.wrong:
                trouble = self._troubles.setdefault(key, _Trouble())
                trouble.wrong, trouble.text = True, found.text
            elif (over := self._troubles.get(key)) is not None and over.wrong:
                over.wrong = False
                if over.told:
                    self._tell(key, found.text, recovered=True)
                over.told = False
        for key, trouble in self._troubles.items():
            if trouble.wrong and now >= trouble.quiet_until:
                trouble.told, trouble.quiet_until = True, now + self._cooldown
                self._tell(key, trouble.text, recovered=False)

    async def aclose(self) -> None:
        """Deliver what waits, for 10 seconds at most."""
        if self._delivering is None:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await self._delivering
        except TimeoutError:
            logger.warning("Alerts could not be delivered in time: %d are lost", 1 + len(self._waiting))

    def _tell(self, key: tuple[str, str], text: str, *, recovered: bool) -> None:
        rule, subject = key
        alert = Alert(rule, subject, text, recovered, time.time())
        if len(self._waiting) >= _QUEUE:
            logger.warning("An alert is lost, because %d wait for slow channels: %s", _QUEUE, text)
            return
        self._waiting.append(alert)
        if self._delivering is None or self._delivering.done():
            # In a context of its own: it does not belong to the trace of the request that gave the occasion.
            context = contextvars.Context()
            self._delivering = asyncio.get_running_loop().create_task(self._deliver(), context=context)

    async def _deliver(self) -> None:
        while self._waiting:
            alert = self._waiting.popleft()
            await asyncio.gather(*(self._hand_over(alert, channel) for channel in self._channels))

    async def _hand_over(self, alert: Alert, channel: Channel) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                handed = channel(alert)
                if isawaitable(handed):
                    await handed
        except TimeoutError:
            logger.warning("%s took more than %g s for the alert: %s", _name(channel), PATIENCE, alert.text)
        except Undelivered as error:
            logger.warning("An alert was not delivered. %s It was: %s", error, alert.text)
        except Exception:
            logger.exception("%s failed on the alert: %s", _name(channel), alert.text)


def _name(channel: Channel) -> str:
    # Not its `repr`: that of a partial function shows its arguments, such as a token.
    return getattr(channel, "__qualname__", type(channel).__name__)

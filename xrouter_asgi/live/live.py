"""The observer that remembers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from ..events import IncidentObserver, RequestEnded
from .minutes import MINUTES, Minute
from .problems import Problem, Problems
from .requests import KEPT, Plain, RecentRequest, plain, recalled, remember

_QUIET = frozenset({"health", "ready", "openapi", "index", "admin"})  # what monitors and the operator ask
_AT_ONCE = 100  # requests that are added to the sums of their minute


class Seen(NamedTuple):
    """How many requests, and how many beginnings of problems, somebody has seen."""

    requests: int
    problems: int


class Happenings(NamedTuple):
    """What happened since somebody looked: `dropped` is how much more it was than what is told."""

    seen: Seen
    requests: Sequence[RecentRequest]
    problems: Sequence[Problem]
    dropped: int


class Live(IncidentObserver):
    """The observer that remembers the last 2,000 requests, the sums of 24 hours, and what is wrong.

        live = Live()
        app = RequestEventsMiddleware(router, observers=[live])

    Args:
        now: The wall clock.

    Attributes:
        started: When it was made, in seconds of the wall clock.
        problems: What is wrong.
    """

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.started = now()
        self._recent: deque[RecentRequest] = deque(maxlen=KEPT)
        self._unseen: deque[RecentRequest | Plain] = deque(maxlen=KEPT)  # that nobody has looked at
        self._fresh: list[RecentRequest | Plain] = []  # that are not in the sums of the running minute, nor in these
        self.problems = Problems(now=now)
        self._count = 0  # without the fresh ones
        self._minutes: deque[Minute] = deque(maxlen=MINUTES)
        self._minute, self._minute_ends = Minute(0), 0.0

    def __call__(self, event: object) -> None:
        if not isinstance(event, RequestEnded):
            self.problems(event)
        elif event.context.endpoint not in _QUIET:
            now = self._now()
            if now >= self._minute_ends:
                self._begin_minute(now, event.running + 1)
            fresh = self._fresh
            fresh.append(plain(event, now) or remember(event, now))
            if len(fresh) >= _AT_ONCE:
                self._sum_up()

    @property
    def recent(self) -> Sequence[RecentRequest]:
        """The last requests, the latest last. Probes, and what the operator asks, are not among them."""
        self._sum_up()
        first = self._count - len(self._unseen) + 1
        self._recent.extend(recalled(each, number) for number, each in enumerate(self._unseen, first))
        self._unseen.clear()
        return self._recent

    def minutes(self, most: int = MINUTES) -> list[Minute]:
        """The sums of the last minutes, the oldest first, the running one included; empty ones for those without."""
        self._sum_up()
        last = int(self._now() // 60)
        known = {minute.number: minute for minute in self._minutes}
        return [known.get(number) or Minute(number) for number in range(last - most + 1, last + 1)]

    @property
    def complete_since(self) -> float:
        """Since when all requests that ended are remembered, in seconds of the wall clock."""
        recent = self.recent
        return recent[0].at if len(recent) >= KEPT else self.started

    @property
    def seen(self) -> Seen:
        """All that has happened so far."""
        return Seen(self._count + len(self._fresh), self.problems.begun)

    def since(self, seen: Seen, most: int) -> Happenings:
        """What happened after what was seen: the last of it, and so many at most of either kind."""
        now = self.seen
        # Somebody may have seen more of a process that was here before this one.
        new = [there - before if before <= there else there for there, before in zip(now, seen, strict=True)]
        requests = list(islice(reversed(self.recent), min(new[0], most)))[::-1]
        problems = self.problems.latest(min(new[1], most))
        return Happenings(now, requests, problems, sum(new) - len(requests) - len(problems))

    def _begin_minute(self, now: float, in_flight: int) -> None:
        self._sum_up()
        number = int(now // 60)
        self._minute, self._minute_ends = Minute(number, in_flight=in_flight), (number + 1) * 60.0
        self._minutes.append(self._minute)

    def _sum_up(self) -> None:
        """Add what has ended to the sums of its minute: many at once, because one by one that takes twice as long."""
        fresh = self._fresh
        if not fresh:
            return
        self._minute.add(fresh)
        self._count += len(fresh)
        self._unseen.extend(fresh)
        fresh.clear()
        for _ in range(min(len(self._recent), len(self._recent) + len(self._unseen) - KEPT)):
            self._recent.popleft()

"""The observer that remembers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from ..context import RequestContext
from ..events import IncidentObserver, RequestEnded, RequestStarted
from .minutes import MINUTES, Minute
from .problems import Problem, Problems
from .requests import KEPT, Plain, RecentRequest, plain, remember, remember_plain

_QUIET = frozenset({"health", "ready", "openapi", "index", "admin"})  # what monitors and the operator ask
_AT_ONCE = 500  # requests that are added to the sums of their minute


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
        self._fresh: deque[RecentRequest | Plain] = deque(maxlen=KEPT)  # that have ended since somebody looked
        self.problems = Problems(now=now)
        self._count = 0
        self._running: set[RequestContext] = set()
        self._unsummed: list[Plain] = []  # of the running minute
        self._minutes: deque[Minute] = deque(maxlen=MINUTES)
        self._minute, self._minute_ends = Minute(0), 0.0

    def __call__(self, event: object) -> None:
        if isinstance(event, RequestStarted):
            self._running.add(event.context)
        elif isinstance(event, RequestEnded):
            self._request_ended(event)
        else:
            self.problems(event)

    @property
    def recent(self) -> Sequence[RecentRequest]:
        """The last requests, the latest last. Probes, and what the operator asks, are not among them."""
        fresh = [each if isinstance(each, RecentRequest) else remember_plain(each) for each in self._fresh]
        self._fresh.clear()
        self._recent.extend(fresh)
        return self._recent

    @property
    def in_flight(self) -> int:
        """Requests that run now, without probes and what the operator asks."""
        return sum(context.endpoint not in _QUIET for context in self._running)

    def minutes(self, most: int = MINUTES) -> list[Minute]:
        """The sums of the last minutes, the oldest first, the running one included; empty ones for those without."""
        self._sum_up()
        last = int(self._now() // 60)
        known = {minute.number: minute for minute in self._minutes}
        return [known.get(number) or Minute(number) for number in range(last - most + 1, last + 1)]

    @property
    def complete_since(self) -> float:
        """Since when all requests that ended are remembered, in seconds of the wall clock."""
        return self.recent[0].at if self._count >= KEPT else self.started

    @property
    def seen(self) -> Seen:
        """All that has happened so far."""
        return Seen(self._count, self.problems.begun)

    def since(self, seen: Seen, most: int) -> Happenings:
        """What happened after what was seen: the last of it, and so many at most of either kind."""
        now = self.seen
        # Somebody may have seen more of a process that was here before this one.
        new = [there - before if before <= there else there for there, before in zip(now, seen, strict=True)]
        requests = list(islice(reversed(self.recent), min(new[0], most)))[::-1]
        problems = self.problems.latest(min(new[1], most))
        return Happenings(now, requests, problems, sum(new) - len(requests) - len(problems))

    def _request_ended(self, event: RequestEnded) -> None:
        context = event.context
        if context.endpoint in _QUIET:
            self._running.discard(context)
            return
        now = self._now()
        if now >= self._minute_ends:
            self._begin_minute(now)
        self._running.discard(context)
        self._count += 1
        request = plain(event, self._count, now)
        if request is None:
            other = remember(event, self._count, now)
            self._fresh.append(other)
            self._minute.add(other)
        else:
            self._fresh.append(request)
            self._unsummed.append(request)
            if len(self._unsummed) >= _AT_ONCE:
                self._sum_up()
        if self._recent and len(self._recent) + len(self._fresh) > KEPT:
            self._recent.popleft()

    def _begin_minute(self, now: float) -> None:
        self._sum_up()
        number = int(now // 60)
        self._minute, self._minute_ends = Minute(number, in_flight=self.in_flight), (number + 1) * 60.0
        self._minutes.append(self._minute)

    def _sum_up(self) -> None:
        """Add what has ended to the sums of its minute."""
        if self._unsummed:
            self._minute.add_plain(self._unsummed)
            self._unsummed.clear()

"""This process, as the operator's app sees it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from ..inspection import sample_request
from ..limits.rules import Subject
from ..live import Live, Minute, Problem, RecentAttempt, RecentRequest, Seen
from ..reloading import ReloadableRouter
from ..router import LLMRouter
from .api.answers import DetailFacts, ProbeFacts, ProblemFacts, StateFacts
from .api.explaining import Explained, ExplainQuery
from .api.filters import RequestFilter
from .api.key_answers import LimitUse
from .api.operation import at
from .limits_used import LimitsUsed
from .remembered import came_in, candidate_entry, request_detail, request_facts
from .upstream_facts import provider_facts, state_facts, target_facts
from .upstreams import TargetView, plan_of, upstreams_of
from .watched import MinuteFacts, News, ProcessStatus, Remembered, Upstreams

SHOWN = 60
"""Minutes."""

NEWS = 10
"""What is told of at most at once, of requests and of problems."""

_HOUR = 3600.0


class ThisProcess:
    """What this process serves and remembers.

    Args:
        router: What is being served.
        live: What happened of late; an observer, to be given to RequestEventsMiddleware, too.
        currency: Of the prices.
        limits: How far they are used up; None where nothing limits callers.
    """

    number = 1

    def __init__(
        self,
        router: LLMRouter | ReloadableRouter,
        live: Live,
        *,
        currency: str = "USD",
        limits: LimitsUsed | None = None,
    ) -> None:
        self._router = router
        self._live = live
        self._currency = currency
        self._limits = limits

    async def status(self) -> ProcessStatus:
        live = self._live
        return {
            "started": at(live.started),
            "currency": self._currency,
            "in_flight": self._router.in_flight,
            "minutes": [_minute_facts(each) for each in live.minutes(SHOWN)],
            "problems": [_problem_facts(each) for each in live.problems.present],
        }

    async def requests(self, which: RequestFilter, /) -> Remembered:
        matching = (each for each in reversed(self._live.recent) if _matches(which, each))
        latest = sorted(matching, key=came_in, reverse=True)  # they are remembered in the order of their ends
        return {
            "requests": [request_facts(each, self._currency) for each in islice(latest, which.limit + 1)],
            "complete_since": at(self._live.complete_since),
        }

    async def request(self, id: str, /) -> DetailFacts | None:
        found = next((each for each in reversed(self._live.recent) if each.id == id), None)
        return None if found is None else request_detail(found, self._currency)

    async def upstreams(self) -> Upstreams:
        views = upstreams_of(self._router.models)
        attempts = self._attempts_by_name()
        providers: dict[str, list[TargetView]] = {}
        for view in _all(views.values()):
            providers.setdefault(view.provider.name, []).append(view)
        return {
            "targets": [
                target_facts(name, view, attempts.get(name, ())) for name, found in views.items() for view in found
            ],
            "providers": [provider_facts(name, found, self._live.recent) for name, found in providers.items()],
        }

    async def limits(self, subjects: Sequence[Subject], /) -> list[list[LimitUse]] | None:
        return [[] for _ in subjects] if self._limits is None else await self._limits.of(subjects)

    async def explain(self, query: ExplainQuery, /) -> Explained | None:
        request = sample_request(
            query.model, tokens=query.tokens, tools=query.tools, vision=query.vision, json_schema=query.json_schema
        )
        planned = plan_of(self._router.models, query.model, request)
        if planned is None:
            return None
        strategy, candidates = planned
        return {"strategy": strategy, "candidates": [candidate_entry(each) for each in candidates]}

    async def probe(self, provider: str, /) -> ProbeFacts | None:
        view = next((each for each in self._views() if each.provider.name == provider), None)
        return None if view is None else await view.probe()

    async def close(self, target: str, /) -> StateFacts | None:
        found = [each for each in self._views() if each.name == target]
        if not found:
            return None
        for each in found:  # a target may stand below several names, with a circuit each
            if each.breaker is not None:
                each.breaker.try_now()
        self._live.problems.settle(target)
        return state_facts(found[0])

    async def news(self, seen: Seen | None, /) -> News:
        happened = self._live.since(self._live.seen if seen is None else seen, NEWS)
        return {
            "seen": happened.seen,
            "requests": [request_facts(each, self._currency) for each in happened.requests],
            "problems": [_problem_facts(each) for each in happened.problems],
            "dropped": happened.dropped,
        }

    def _views(self) -> Iterator[TargetView]:
        return _all(upstreams_of(self._router.models).values())

    def _attempts_by_name(self) -> dict[str, list[RecentAttempt]]:
        """The attempts of the last hour that are remembered, by the name or pattern that they were made for."""
        table, since, found = self._router.models, time.time() - _HOUR, dict[str, list[RecentAttempt]]()
        for request in self._live.recent:
            name = None if request.model is None or request.at < since else table.entry(request.model)
            if name is not None:
                found.setdefault(name, []).extend(request.attempts)
        return found


def _all(found: Iterable[Iterable[TargetView]]) -> Iterator[TargetView]:
    return (view for views in found for view in views)


def _matches(which: RequestFilter, request: RecentRequest) -> bool:
    principal = request.principal
    return (
        (which.before is None or at(came_in(request)) < which.before)
        and (which.model is None or request.model == which.model)
        and (which.key is None or (principal is not None and principal.id == which.key))
        and (which.owner is None or (principal is not None and principal.owner == which.owner))
        and which.has_outcome(request.status, request.error)
    )


def _minute_facts(minute: Minute) -> MinuteFacts:
    return {
        "number": minute.number,
        "requests": minute.requests,
        "failed": minute.failed,
        "refused": minute.refused,
        "prompt_tokens": minute.prompt_tokens,
        "completion_tokens": minute.completion_tokens,
        "cost": minute.cost,
        "in_flight": minute.in_flight,
        "durations": minute.durations.tolist(),
        "first_bytes": minute.first_bytes.tolist(),
    }


def _problem_facts(problem: Problem) -> ProblemFacts:
    return {
        "kind": problem.kind,
        "subject": problem.subject,
        "since": at(problem.since),
        "until": None if problem.until is None else at(problem.until),
        "text": problem.text,
    }

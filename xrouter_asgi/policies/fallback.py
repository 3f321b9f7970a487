"""Which upstream: ask the best candidate, and another one if it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import NamedTuple

from ..decision import CandidateVerdict
from ..errors import CircuitOpen, ConcurrencyExceeded, UnsupportedOperation, UpstreamError, XRouterError
from ..events import AttemptRetried
from ..providers.base import Call, Reply, Unready, uses_client_credential
from ..providers.target import Wrapper
from ..wire import ModelList
from .affinity import SessionAffinity
from .backoff import Backoff
from .base import ATTEMPTS
from .candidates import TOO_LONG, Candidate, CandidateStats, Capabilities, Requirements, refusal_of_all
from .strategies import Ranked, Strategy, in_order

_CONTENT = frozenset({"content_filter", "content_policy_violation"})  # codes of Azure and of OpenAI
_NOT_ASKED = (CircuitOpen, ConcurrencyExceeded, UnsupportedOperation)
_OWN_KEY = Unready("own_key", None, "own key")
_BACKOFF = Backoff()
_ALL_LEFT_OUT = "The strategy left out every candidate. It must return one or more."


class Failure(NamedTuple):
    error: XRouterError
    stats: CandidateStats
    at: float  # in seconds of the loop's clock


@dataclass(frozen=True)
class Plan:
    """In which order candidates are to be asked, and which are not.

    Attributes:
        order: Those to ask. Those that are not ready come last: each refuses for itself, or has a queue to wait in.
        unready: Those that are not ready.
        unable: Those that lack a capability or, within a budget, a price. They are not in the order.
        strategy: How the order came about.
    """

    order: Sequence[Ranked]
    unready: Sequence[tuple[CandidateStats, Unready]]
    unable: Sequence[tuple[CandidateStats, Unready]]
    strategy: str

    @cached_property
    def considered(self) -> tuple[CandidateVerdict, ...]:
        """The plan as a `Decision` tells it."""
        excluded = (*self.unready, *self.unable)
        told = {id(stats) for stats, _ in excluded}
        asked = [CandidateVerdict(stats.candidate.name, score) for stats, score in self.order if id(stats) not in told]
        return (*asked, *(CandidateVerdict(stats.candidate.name, None, why) for stats, why in excluded))


class Fallback(Wrapper):
    """Asks candidates one after another until one of them answers. Until then, nothing has reached the client.

    If nobody did, it waits for the one that told the shortest wait, and asks that one once more. It waits for nobody
    while a fallback above it has others to ask (`call.elsewhere`).

    The error says whether it moves on (`falls_back`): the upstream's faults do, a mistake of the caller's does not. A
    conversation that is too long moves only to a model whose context is known to be longer. Where a candidate takes
    callers' own keys, a caller who pays the upstream with one (`x-provider-key`) is sent to the first and to no other.

    Args:
        candidates: At least one.
        strategy: In which order they are asked.
        attempts: Calls to upstreams for one request in all, repetitions below included. No candidate is asked once they
            are used up.
        session_affinity: Keep a conversation with the candidate that answered it last, whose cache of the prompt is
            warm. A conversation is known by `prompt_cache_key`, else by how it begins. Each process remembers 10,000.
        content_policy: Whether what one upstream refused for its content may be shown to another one.
        backoff: How long to wait for one that told to, when nobody has answered; None does not wait.
        random: For strategies and waits.

    Raises:
        ValueError: For no candidates, or less than one attempt.

    It stands above everything else, so that the next candidate has retries, a breaker and time-outs of its own.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        strategy: Strategy = in_order,
        attempts: int = ATTEMPTS,
        session_affinity: bool = False,
        content_policy: bool = False,
        backoff: Backoff | None = _BACKOFF,
        random: Random | None = None,
    ) -> None:
        if not candidates:
            raise ValueError("A Fallback without candidates can answer nothing. Give at least one.")
        if attempts < 1:
            raise ValueError(f"'attempts' is {attempts}. Write at least 1.")
        super().__init__(candidates[0].provider)
        self.candidates = tuple(candidates)
        self._stats = [CandidateStats(candidate) for candidate in candidates]
        self._strategy = strategy
        self._attempts = attempts
        self._content_policy = content_policy
        self._backoff = backoff
        self._random = random or Random()  # noqa: S311 -- it spreads load and guards nothing
        self._affinity = SessionAffinity() if session_affinity else None
        self._only = self._only_plan()

    def speaks(self, dialect: str, /) -> bool:
        """Whether one candidate does."""
        return any(each.provider.speaks(dialect) for each in self._stats)

    def ready(self, call: Call, /) -> Unready | None:
        """None if one candidate is ready; else what the first says."""
        reasons = [each.provider.ready(call) for each in self._stats]
        return reasons[0] if all(reasons) else None

    def plan(self, call: Call) -> Plan:
        """Where the call would go now. Asks nobody."""
        if self._only is not None and self.candidates[0].is_affordable(call):
            return self._only
        if uses_client_credential(call) and any(candidate.own_key for candidate in self.candidates):
            first, *others = self._stats
            return Plan([Ranked(first)], [], [(each, _OWN_KEY) for each in others], "own key")
        requirements = Requirements(call)
        ready, unready, unable = [], [], []
        for stats in self._stats:
            if (lack := stats.candidate.why_unable(call, requirements)) is not None:
                unable.append((stats, lack))
            elif (why := stats.provider.ready(call)) is not None:
                unready.append((stats, why))
            else:
                ready.append(stats)
        name = getattr(self._strategy, "__name__", "own")
        plan = self._kept_together(call, Plan(self._ordered(ready, requirements), unready, unable, name))
        if not unready:
            return plan
        last = self._ordered([stats for stats, _ in unready], requirements)
        return replace(plan, order=[*plan.order, *last])

    async def send(self, call: Call, /) -> Reply:
        """Answer the call by the first candidate that can.

        Raises:
            UnsupportedOperation: No candidate can do what the request needs.
            ModelUnpriced: There is a budget, and no candidate has a price.
            InvalidRequest: `context_length_exceeded`: it is too long for all of them.
            XRouterError: What the last upstream that failed said.
        """
        plan = self.plan(call)
        decision = call.context.decision
        if not decision.candidates:  # else this one stands below another, which decided
            decision.strategy = plan.strategy
            decision.candidates = plan.considered
        if not plan.order:
            raise (
                refusal_of_all(call, [why for _, why in plan.unable])
                if len(plan.unable) == len(self._stats)
                else ValueError(_ALL_LEFT_OUT)
            )
        failures: list[Failure] = []
        elsewhere = call.elsewhere
        if len(plan.order) > 1:
            call = call.among_others(elsewhere=True, repeats=call.repeats)
        try:
            for ranked in plan.order:
                if failures and not self._may_follow(ranked.stats.candidate, failures, call):
                    continue
                if (reply := await self._ask(call, ranked.stats, failures)) is not None:
                    return reply
            if not elsewhere and (reply := await self._ask_again(call, failures)) is not None:
                return reply
            raise _telling(failures)
        finally:
            failures.clear()  # an error's traceback holds a frame that holds this list, which must not hold the error

    @property
    def context_window(self) -> int | None:
        """That of the candidate that holds most: the others are passed over by calls that need it."""
        return max(each.capabilities.context or 0 for each in self.candidates) or None

    async def models(self, names: str = "*", *, deadline: float | None = None) -> ModelList:
        """What the first candidate lists that does not fail."""
        *others, last = self._stats
        for each in others:
            try:
                return await each.provider.models(names, deadline=deadline)
            except XRouterError as error:
                if not error.falls_back:
                    raise
        return await last.provider.models(names, deadline=deadline)

    async def aclose(self) -> None:
        """Close every candidate. One that fails to keeps no other open."""
        failures = []
        for provider in {id(each.provider): each.provider for each in self.candidates}.values():
            try:
                await provider.aclose()
            except Exception as error:
                failures.append(error)
        if failures:
            raise ExceptionGroup("Not every candidate could be closed.", failures)

    async def _ask(self, call: Call, stats: CandidateStats, failures: list[Failure]) -> Reply | None:
        """The reply; None if there is one failure more."""
        began = asyncio.get_running_loop().time()
        stats.load += 1
        try:
            reply = await stats.provider.send(call)
        except BaseException as error:
            stats.ended(error)
            if not isinstance(error, XRouterError):
                raise
            failures.append(Failure(error, stats, asyncio.get_running_loop().time()))
            return None
        stats.answered_after(asyncio.get_running_loop().time() - began)
        if self._affinity is not None:
            self._affinity.answered(call, stats)
        reply.when_ended(stats.ended)
        return reply

    async def _ask_again(self, call: Call, failures: list[Failure]) -> Reply | None:
        """Wait for the candidate that told the shortest wait, and ask it once more; None if that is of no use."""
        shortest = sorted(failures, key=lambda each: (each.error.retry_after is None, each.error.retry_after))
        for error, stats, at in shortest:
            wait = self._wait(error, at)
            if wait is None or not self._may_follow(stats.candidate, failures, call):
                continue
            then = asyncio.get_running_loop().time() + wait
            repeated = call.among_others(elsewhere=False, repeats=error)
            if (call.deadline is not None and then >= call.deadline) or not _ready_by(then, stats, repeated):
                continue
            await asyncio.sleep(wait)
            if _ready_by(then, stats, repeated):  # else it refuses: others took the last retry meanwhile
                retried = AttemptRetried(call.context, stats.provider.name, 1, wait, error, stats.candidate.name)
                call.context.emit(retried)
            return await self._ask(repeated, stats, failures)
        return None

    def _wait(self, error: XRouterError, at: float) -> float | None:
        """Seconds from now until the candidate that failed at that time may be asked again; None for never."""
        repeatable = error.retryable and error.tells_to_wait and error.should_retry is not False
        if self._backoff is None or not repeatable:
            return None
        wait = self._backoff.wait(error, 1, self._random)
        return None if wait is None else max(0.0, at + wait - asyncio.get_running_loop().time())

    def _may_follow(self, candidate: Candidate, failures: Sequence[Failure], call: Call) -> bool:
        """Whether the candidate may be asked after these failures."""
        asked = sum(not isinstance(error, _NOT_ASKED) for error, *_ in failures)
        if max(asked, len(call.context.attempts)) >= self._attempts:
            return False
        if call.deadline is not None and call.deadline <= asyncio.get_running_loop().time():
            return False
        too_long = [stats.candidate for error, stats, _ in failures if error.code == TOO_LONG]
        if not all(candidate.holds_more_than(failed) for failed in too_long):
            return False
        error = failures[-1].error
        return error.falls_back or error.code == TOO_LONG or (self._content_policy and error.code in _CONTENT)

    def _only_plan(self) -> Plan | None:
        """The plan for every call, where there is nothing to choose and nothing to find out."""
        (first, *others) = self._stats
        candidate = first.candidate
        simple = not (others or candidate.own_key or self._affinity)
        if not simple or candidate.capabilities != Capabilities() or self._strategy is not in_order:
            return None
        return Plan([Ranked(first)], [], [], in_order.__name__)

    def _ordered(self, candidates: Sequence[CandidateStats], requirements: Requirements) -> Sequence[Ranked]:
        return self._strategy(candidates, requirements, self._random) if candidates else ()

    def _kept_together(self, call: Call, plan: Plan) -> Plan:
        """The plan with the candidate in front that answered this conversation before, if it is in it at all."""
        if self._affinity is None:
            return plan
        before = self._affinity.last(call)
        order = sorted(plan.order, key=lambda each: each.stats is not before)
        if not order or order[0].stats is not before:
            return plan
        return replace(plan, order=order, strategy=f"{plan.strategy}, session affinity")


def _ready_by(then: float, stats: CandidateStats, call: Call) -> bool:
    unready = stats.provider.ready(call)  # who is full has a queue to wait in
    return unready is None or unready.kind == "queue_full" or (unready.until is not None and unready.until <= then)


def _telling(failures: Sequence[Failure]) -> XRouterError:
    """The last failure of an upstream that was asked: a refusal of ours, or a 404 after it, would say less."""
    errors = [error for error, *_ in failures]
    asked = [error for error in errors if isinstance(error, UpstreamError) and not isinstance(error, _NOT_ASKED)]
    return (asked or errors)[-1]

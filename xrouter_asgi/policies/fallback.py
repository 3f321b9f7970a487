"""Which upstream: ask the best candidate, and another one if it fails."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import NamedTuple

from ..decision import CandidateVerdict
from ..errors import CircuitOpen, ConcurrencyExceeded, InvalidRequest, UnsupportedOperation, UpstreamError, XRouterError
from ..providers.base import Call, Reply
from ..wire import ModelsRequest
from ..wire.stream import ChatStream
from .affinity import SessionAffinity
from .base import ATTEMPTS
from .candidates import Candidate, CandidateStats, Capabilities, Requirements, uses_client_credential
from .strategies import Ranked, Strategy, in_order

_TOO_LONG = "context_length_exceeded"
_CONTENT = frozenset({"content_filter", "content_policy_violation"})  # codes of Azure and of OpenAI
_LACKS = "lacks "
_NOT_ASKED = (CircuitOpen, ConcurrencyExceeded)


class Failure(NamedTuple):
    """What a candidate failed with, and when."""

    error: XRouterError
    standing: CandidateStats
    at: float


@dataclass(frozen=True)
class Plan:
    """In which order candidates are to be asked, and which are not.

    Attributes:
        order: Those to ask. Those that are not available come last: each refuses for itself, or has a line to stand in.
        excluded: Those that are not available, and those that lack something, each with the reason.
        strategy: How the order came about.
    """

    order: Sequence[Ranked]
    excluded: Sequence[tuple[CandidateStats, str]]
    strategy: str

    @cached_property
    def considered(self) -> tuple[CandidateVerdict, ...]:
        """The plan as a `Decision` tells it."""
        told = {id(standing) for standing, _ in self.excluded}
        asked = [CandidateVerdict(each.candidate.name, score) for each, score in self.order if id(each) not in told]
        return (*asked, *(CandidateVerdict(each.candidate.name, None, why) for each, why in self.excluded))


class Fallback:
    """Asks candidates one after another until one of them answers. Until then, nothing has reached the client.

    If nobody did, the one that told the shortest wait is waited for and asked once more (`Candidate.again`).

    An error decides itself whether it moves on (`falls_back`): the upstream's faults do, a mistake of the caller's does
    not. A conversation that is too long moves only to a model whose context is known to be longer. Whoever pays the
    upstream with a key of his own (`x-provider-key`) is sent to the first candidate and to no other.

    Args:
        candidates: At least one.
        strategy: In which order they are asked.
        attempts: Calls to upstreams for one request in all, repetitions below included. A candidate is not asked once
            they are used up.
        sticky: Keep a conversation with the candidate that answered it last, whose cache of the prompt is warm. A
            conversation is known by `prompt_cache_key`, else by how it begins. Each process remembers 10,000.
        content_policy: Whether what one upstream refused for its content may be shown to another one.
        clock: Monotonic seconds, for latencies.

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
        sticky: bool = False,
        content_policy: bool = False,
        random: Random | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if not candidates:
            raise ValueError("A Fallback without candidates can answer nothing. Give at least one.")
        if attempts < 1:
            raise ValueError(f"'attempts' is {attempts}. Write at least 1.")
        self.candidates = tuple(candidates)
        self._standings = [CandidateStats(candidate) for candidate in candidates]
        self._strategy = strategy
        self._attempts = attempts
        self._content_policy = content_policy
        self._random = random or Random()  # noqa: S311 -- it spreads load and guards nothing
        self._clock = clock
        self._conversations = SessionAffinity() if sticky else None
        self._only = self._only_plan()

    @property
    def name(self) -> str:
        """The first candidate's."""
        return self.candidates[0].provider.name

    def plan(self, call: Call) -> Plan:
        """Where the call would go now. Asks nobody."""
        if self._only is not None:
            return self._only
        if uses_client_credential(call):
            first, *others = self._standings
            return Plan([Ranked(first)], [(each, "own key") for each in others], "own key")
        need = Requirements(call)
        free, excluded, lacking = [], [], []
        for standing in self._standings:
            candidate = standing.candidate
            if missing_capability := candidate.missing_capability(need):
                lacking.append((standing, _LACKS + missing_capability))
                continue
            if candidate.available is not None and (why := candidate.available()) is not None:
                excluded.append((standing, why))
            else:
                free.append(standing)
        name = getattr(self._strategy, "__name__", "own")
        plan = self._kept_together(call, Plan(self._ordered(free, need), [*excluded, *lacking], name))
        if not excluded:
            return plan
        last = self._ordered([standing for standing, _ in excluded], need)
        return replace(plan, order=[*plan.order, *last])

    async def send(self, call: Call, /) -> Reply:
        """Answer the call by the first candidate that can.

        Raises:
            UnsupportedOperation: No candidate can do what the request needs.
            InvalidRequest: `context_length_exceeded`: it is too long for all of them.
            XRouterError: What the last upstream that failed said.
        """
        if isinstance(call.request, ModelsRequest):
            return await self._first_list(call)
        plan = self.plan(call)
        decision = call.context.decision
        if not decision.candidates:  # else this one stands below another, which decided
            decision.strategy = plan.strategy
            decision.candidates = plan.considered
        if not plan.order:
            raise _unable(call, plan)
        failures: list[Failure] = []
        for standing, _ in plan.order:
            if failures and not self._may_follow(standing.candidate, failures, call):
                continue
            sending = standing.candidate.provider.send(call)
            if (reply := await self._ask(call, standing, sending, failures)) is not None:
                return reply
        if (reply := await self._ask_again(call, failures)) is not None:
            return reply
        try:
            raise _telling(failures)
        finally:
            failures.clear()  # the error's traceback holds this frame, which must not hold the error

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

    async def _ask(
        self, call: Call, standing: CandidateStats, sending: Awaitable[Reply], failures: list[Failure]
    ) -> Reply | None:
        """The reply; None if there is one failure more."""
        began = self._clock()
        standing.load += 1
        try:
            reply = await sending
        except XRouterError as error:
            standing.load -= 1
            failures.append(Failure(error, standing, self._clock()))
            return None
        except BaseException:
            standing.load -= 1
            raise
        standing.heard_after(self._clock() - began)
        if self._conversations is not None:
            self._conversations.answered(call, standing)
        if isinstance(reply.body, ChatStream):
            reply.body.when_ended(lambda _: standing.ended())
        else:
            standing.ended()
        return reply

    async def _ask_again(self, call: Call, failures: list[Failure]) -> Reply | None:
        """Ask the candidate that told the shortest wait once more, if there is any such; None if that is of no use."""
        for error, standing, at in sorted(failures, key=_told_wait):
            candidate = standing.candidate
            if candidate.again is None or not self._may_follow(candidate, failures, call):
                continue
            sending = candidate.again(call, error, self._clock() - at)
            if sending is not None:
                return await self._ask(call, standing, sending, failures)
        return None

    async def _first_list(self, call: Call) -> Reply:
        """The models of the first candidate that lists any."""
        *others, last = self.candidates
        for candidate in others:
            try:
                return await candidate.provider.send(call)
            except XRouterError as error:
                if not error.falls_back:
                    raise
        return await last.provider.send(call)

    def _may_follow(self, candidate: Candidate, failures: Sequence[Failure], call: Call) -> bool:
        """Whether the candidate may be asked after these failures."""
        asked = sum(not isinstance(error, _NOT_ASKED) for error, *_ in failures)
        if max(asked, len(call.context.attempts)) >= self._attempts:
            return False
        if call.deadline is not None and call.deadline <= asyncio.get_running_loop().time():
            return False
        too_long = [standing.candidate for error, standing, _ in failures if error.code == _TOO_LONG]
        if not all(_holds_more(candidate, failed) for failed in too_long):
            return False
        error = failures[-1].error
        return error.falls_back or error.code == _TOO_LONG or (self._content_policy and error.code in _CONTENT)

    def _only_plan(self) -> Plan | None:
        """The plan for every call, where there is nothing to choose and nothing to find out."""
        (first, *others) = self._standings
        candidate = first.candidate
        simple = not (others or candidate.own_key or candidate.available or self._conversations)
        if not simple or candidate.capabilities != Capabilities() or self._strategy is not in_order:
            return None
        return Plan([Ranked(first)], [], in_order.__name__)

    def _ordered(self, standings: Sequence[CandidateStats], need: Requirements) -> Sequence[Ranked]:
        return self._strategy(standings, need, self._random) if standings else ()

    def _kept_together(self, call: Call, plan: Plan) -> Plan:
        """The plan with the candidate in front that answered this conversation before, if it is in it at all."""
        if self._conversations is None:
            return plan
        before = self._conversations.last(call)
        first = next((each for each in plan.order if each.standing is before), None)
        if first is None:
            return plan
        order = [first, *(each for each in plan.order if each is not first)]
        return replace(plan, order=order, strategy=f"{plan.strategy}, sticky")


def _told_wait(failure: Failure) -> float:
    wait = failure.error.retry_after
    return math.inf if wait is None else wait


def _holds_more(candidate: Candidate, other: Candidate) -> bool:
    ours, theirs = candidate.capabilities.context, other.capabilities.context
    return ours is not None and theirs is not None and ours > theirs


def _unable(call: Call, plan: Plan) -> XRouterError:
    lacking = {why.removeprefix(_LACKS) for _, why in plan.excluded}
    name = call.model[:128]
    if "context" in lacking:
        message = f"The conversation is longer than the context of the model '{name}'. Shorten it."
        return InvalidRequest(message, code=_TOO_LONG, param="messages")
    return UnsupportedOperation(f"The model '{name}' cannot take this request, because it lacks {_listed(lacking)}.")


def _listed(words: Iterable[str]) -> str:
    return " or ".join(sorted(words))


def _telling(failures: Sequence[Failure]) -> XRouterError:
    """The last failure of an upstream that was asked: a refusal of ours, or a 404 after it, would say less."""
    errors = [error for error, *_ in failures]
    asked = [error for error in errors if isinstance(error, UpstreamError) and not isinstance(error, _NOT_ASKED)]
    return (asked or errors)[-1]

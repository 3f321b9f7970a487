"""Which upstream: ask the best candidate, and another one if it fails."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random
from typing import TypeAlias

from ..decision import Considered
from ..errors import CircuitOpen, ConcurrencyExceeded, InvalidRequest, UnsupportedOperation, UpstreamError, XRouterError
from ..providers.base import Call, Reply
from ..streaming import ChatStream
from ..wire import ModelsRequest
from ..wire.codec import encode
from .candidates import Candidate, Need, Standing, pays_for_himself
from .strategies import Ranked, Strategy, in_order

_TOO_LONG = "context_length_exceeded"
_CONTENT = frozenset({"content_filter", "content_policy_violation"})  # codes of Azure and of OpenAI
_LACKS = "lacks "
_NOT_ASKED = (CircuitOpen, ConcurrencyExceeded)
_CONVERSATIONS = 10_000  # that are remembered; the one not heard of for longest goes first


Failure: TypeAlias = tuple[XRouterError, Candidate]


@dataclass(frozen=True, slots=True)
class Plan:
    """In which order candidates are to be asked, and which are not.

    Attributes:
        order: Those to ask. While none is available it is all that can do what is needed: each refuses for itself.
        excluded: The others, each with the reason.
        strategy: How the order came about.
    """

    order: Sequence[Ranked]
    excluded: Sequence[tuple[Standing, str]]
    strategy: str

    def considered(self) -> tuple[Considered, ...]:
        """The plan as a `Decision` tells it."""
        told = {id(standing) for standing, _ in self.excluded}
        asked = [Considered(each.candidate.name, score) for each, score in self.order if id(each) not in told]
        return (*asked, *(Considered(each.candidate.name, None, why) for each, why in self.excluded))


class Fallback:
    """Asks candidates one after another until one of them answers. Until then, nothing has reached the client.

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
        attempts: int = 4,
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
        self._standings = [Standing(candidate) for candidate in candidates]
        self._strategy = strategy
        self._attempts = attempts
        self._content_policy = content_policy
        self._random = random or Random()  # noqa: S311 -- it spreads load and guards nothing
        self._clock = clock
        self._sticky: OrderedDict[bytes, Standing] | None = OrderedDict() if sticky else None

    @property
    def name(self) -> str:
        """The first candidate's."""
        return self.candidates[0].provider.name

    def plan(self, call: Call) -> Plan:
        """Where the call would go now. Asks nobody."""
        if pays_for_himself(call):
            first, *others = self._standings
            return Plan([Ranked(first)], [(each, "own key") for each in others], "own key")
        need = Need(call)
        able, free = [], []
        excluded, lacking = [], []
        for standing in self._standings:
            candidate = standing.candidate
            if lacks := candidate.lacks(need):
                lacking.append((standing, _LACKS + lacks))
                continue
            able.append(standing)
            if candidate.available is not None and (why := candidate.available()) is not None:
                excluded.append((standing, why))
            else:
                free.append(standing)
        order = self._strategy(free or able, need, self._random) if able else []
        return self._kept_together(call, Plan(order, [*excluded, *lacking], getattr(self._strategy, "__name__", "own")))

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
            decision.candidates = plan.considered()
        if not plan.order:
            raise _unable(call, plan)
        failures: list[Failure] = []
        for standing, _ in plan.order:
            if failures and not self._may_follow(standing.candidate, failures, call):
                continue
            try:
                reply = await self._ask(standing, call)
            except XRouterError as error:
                failures.append((error, standing.candidate))
            else:
                self._remember(call, standing)
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

    async def _ask(self, standing: Standing, call: Call) -> Reply:
        began = self._clock()
        standing.load += 1
        try:
            reply = await standing.candidate.provider.send(call)
        except BaseException:
            standing.load -= 1
            raise
        standing.heard_after(self._clock() - began)
        if isinstance(reply.body, ChatStream):
            reply.body.when_ended(lambda _: standing.ended())
        else:
            standing.ended()
        return reply

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
        if max(len(failures), len(call.context.attempts)) >= self._attempts:
            return False
        if call.deadline is not None and call.deadline <= asyncio.get_running_loop().time():
            return False
        if any(error.code == _TOO_LONG and not _holds_more(candidate, failed) for error, failed in failures):
            return False
        error, _ = failures[-1]
        return error.falls_back or error.code == _TOO_LONG or (self._content_policy and error.code in _CONTENT)

    def _kept_together(self, call: Call, plan: Plan) -> Plan:
        """The plan with the candidate in front that answered this conversation before, if it is in it at all."""
        if self._sticky is None:
            return plan
        before = self._sticky.get(_conversation(call))
        first = next((each for each in plan.order if each.standing is before), None)
        if first is None:
            return plan
        order = [first, *(each for each in plan.order if each is not first)]
        return replace(plan, order=order, strategy=f"{plan.strategy}, sticky")

    def _remember(self, call: Call, standing: Standing) -> None:
        if self._sticky is None:
            return
        conversation = _conversation(call)
        self._sticky[conversation] = standing
        self._sticky.move_to_end(conversation)
        if len(self._sticky) > _CONVERSATIONS:
            self._sticky.popitem(last=False)


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
    errors = [error for error, _ in failures]
    asked = [error for error in errors if isinstance(error, UpstreamError) and not isinstance(error, _NOT_ASKED)]
    return (asked or errors)[-1]


def _conversation(call: Call) -> bytes:
    """What stays the same from one turn to the next: `prompt_cache_key`, else all up to the first of the user's words.

    For each caller apart, so that nobody learns by timing what others ask. Only a digest is kept.
    """
    value = call.document.value
    told = value.get("prompt_cache_key")
    if not isinstance(told, str):
        messages = value.get("messages") or [value.get("input")]
        until = next((index for index, each in enumerate(messages) if _is_users(each)), 0)
        told = encode(messages[: until + 1]).decode()
    principal = call.context.principal
    return blake2b(encode([principal and principal.id, told]), digest_size=16).digest()


def _is_users(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") == "user"

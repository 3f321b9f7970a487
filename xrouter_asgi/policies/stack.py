"""The inner onion: which policy stands around which, and why. A call meets the last line first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from ..providers.base import Provider
from ..queueing.slots import Slots
from .base import ATTEMPTS
from .breaker import CircuitBreaker, CircuitGroup
from .candidates import Candidate, first_of
from .concurrency import Concurrency
from .fallback import Fallback
from .hedge import Hedge, HedgeBudget
from .prebuffer import Prebuffer
from .retry import Retry, RetryBudget
from .strategies import Strategy, in_order
from .timeout import Deadline, Timeout
from .upstream_state import UpstreamState


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long and how often an upstream is tried.

    Attributes:
        attempts, retry_billed: See `Retry`.
        first, idle: See `Timeout`; None leaves them to the provider's own clocks.
        hold, hold_tokens: `seconds` and `tokens` of `Prebuffer`; None for both hands streams over at once.
        total: Seconds for everything: all attempts, all waits and the end of the stream. None for no bound.
    """

    attempts: int = 3
    retry_billed: bool = False
    first: float | None = None
    idle: float | None = None
    hold: float | None = None
    hold_tokens: int | None = None
    total: float | None = 600.0


def resilient(
    provider: Provider,
    *,
    patience: Patience = Patience(),
    parallel: int | None = None,
    account: UpstreamState | None = None,
) -> Provider:
    """One provider, or one model at it (`Target`), with clocks, a breaker and retries.

    Args:
        parallel: How many calls at once it bears; None for any number.
        account: What it shares with others at the same upstream.
    """
    bare = Candidate(provider, provider.name, parallel=parallel)
    return _within(_Upstreams(patience).candidate(bare, account or UpstreamState()).provider, patience.total)


def stack(
    candidates: Sequence[Candidate],
    *,
    strategy: Strategy = in_order,
    sticky: bool = False,
    content_policy: bool = False,
    patience: Patience = Patience(),
    hedge: float | None = None,
    accounts: dict[str, UpstreamState] | None = None,
    clock: Callable[[], float] = time.monotonic,
    random: Random | None = None,
) -> Provider:
    """All that can answer for one model, as one provider.

    Args:
        candidates: Each with nothing but a `Target` for its provider. What makes one of them unavailable besides the
            policies may be given.
        strategy, sticky, content_policy: See `Fallback`.
        hedge: The share of requests that may be hedged, such as 0.03; None for none.
        accounts: Those at providers, by the providers' names, to be shared by the stacks of several models. What is
            missing is added.
        clock: The clock of `call.deadline`: that of the event loop.
        random: For strategies and waits.
    """
    accounts = {} if accounts is None else accounts
    upstreams = _Upstreams(patience, among=len(candidates), group=CircuitGroup(), clock=clock, random=random)
    each = [
        upstreams.candidate(one, accounts.setdefault(one.provider.name, UpstreamState(clock=clock)))
        for one in candidates
    ]
    if hedge is not None and len(each) > 1:
        # Below fallback, which acts on failures: an upstream that is only slow has not failed. Above retries, so that
        # what is raced is all that an upstream will say.
        each = _hedged(each, strategy, HedgeBudget(share=hedge), clock)
    layer: Provider = Fallback(
        each, strategy=strategy, sticky=sticky, content_policy=content_policy, random=random, clock=clock
    )
    return _within(layer, patience.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Upstreams:
    """What the upstreams of one stack have in common.

    Attributes:
        among: How many can answer for one another; None for one that nothing is known about.
    """

    patience: Patience = field(kw_only=False)
    among: int | None = None
    group: CircuitGroup | None = None
    clock: Callable[[], float] = time.monotonic
    random: Random | None = None

    def candidate(self, bare: Candidate, account: UpstreamState) -> Candidate:
        """The candidate with all policies of one upstream around it."""
        layer = self.timed(bare)
        if bare.own_key:
            # Only clocks: a breaker, a line or a budget would let one caller's key spoil it for the others.
            return replace(bare, provider=layer)
        reasons = [] if bare.available is None else [bare.available]
        again = None
        # Above the clocks, which must not run while a call stands in line. First the line of one model, then that of
        # the whole account, so that nobody waits for the one while holding what others could use of the other.
        for slots in (account.slots, None if bare.parallel is None else Slots(bare.parallel, clock=self.clock)):
            if slots is not None:
                layer = Concurrency(layer, slots=slots)
                reasons.append(slots.available)
        layer = self.held(layer)
        if self.among != 1:
            # Above the line, which says nothing about the upstream, and above the clocks, because silence does. Where
            # there is nowhere else to go, the upstream's own no is worth more than one of ours.
            layer = breaker = CircuitBreaker(
                layer, group=self.group, account=account, target=bare.name, clock=self.clock
            )
            reasons.insert(0, breaker.available)
        if self.attempts > 1:
            # Above the breaker, so that every attempt counts there and none is made once it is open. Below fallback,
            # so that a failure of a moment does not move a conversation away from its warm cache. But an upstream that
            # tells a wait is left while there are others, and waited for only when all of them have failed: `again`.
            layer = retry = self.retrying(layer, account.budget, bare.name)
            again = retry.again
        return replace(bare, provider=layer, available=first_of(*reasons), again=again)

    @property
    def attempts(self) -> int:
        """How often one upstream is asked at most: each of the others is to have an attempt, too."""
        others = (self.among or 1) - 1
        return min(self.patience.attempts, max(1, ATTEMPTS - others)) if others else self.patience.attempts

    def retrying(self, layer: Provider, budget: RetryBudget, target: str) -> Retry:
        return Retry(
            layer,
            attempts=self.attempts,
            retry_billed=self.patience.retry_billed,
            elsewhere=self.among is not None and self.among > 1,
            target=target,
            budget=budget,
            clock=self.clock,
            dice=self.random,
        )

    def held(self, layer: Provider) -> Provider:
        if self.patience.hold is None and self.patience.hold_tokens is None:
            return layer
        # Below all that acts on failures, for which a stream that breaks off meanwhile has failed like one that never
        # began. Above the line, which learns from the first chunk how loaded an upstream is.
        return Prebuffer(layer, seconds=self.patience.hold, tokens=self.patience.hold_tokens)

    def timed(self, bare: Candidate) -> Provider:
        if bare.punctual and self.patience.first is None and self.patience.idle is None:
            return bare.provider
        # Next to the upstream, so that nothing but its own silence counts; and what does not end by itself when the
        # deadline has come.
        return Timeout(bare.provider, first=self.patience.first, idle=self.patience.idle, total=None)


def _hedged(
    candidates: Sequence[Candidate], strategy: Strategy, budget: HedgeBudget, clock: Callable[[], float]
) -> list[Candidate]:
    hedged = []
    for index, candidate in enumerate(candidates):
        # Two attempts: the one that is late, and the hedge. A hedge that fails is not made good, nor waited for.
        others = [replace(other, again=None) for other in (*candidates[:index], *candidates[index + 1 :])]
        second = Fallback(others, strategy=strategy, attempts=2, clock=clock)
        raced = Hedge(candidate.provider, second=second, budget=budget, clock=clock)
        hedged.append(replace(candidate, provider=raced))
    return hedged


def _within(layer: Provider, total: float | None) -> Provider:
    # Outside of everything, so that attempts, waits and other upstreams share one deadline.
    return layer if total is None else Deadline(layer, total=total)

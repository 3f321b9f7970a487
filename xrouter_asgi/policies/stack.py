"""The inner onion: which policy stands around which, and why. Read it upwards: a call meets the last line first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from ..checks import Count, Seconds, SecondsOrInf
from ..providers.base import Provider
from ..queueing.slots import Slots
from .backoff import Backoff
from .base import ATTEMPTS
from .breaker import CircuitBreaker, CircuitGroup
from .candidates import Candidate
from .concurrency import Concurrency
from .fallback import Fallback
from .hedge import Hedge, HedgeBudget
from .prebuffer import Prebuffer
from .retry import Retry
from .strategies import Strategy, in_order
from .timeout import Deadline, Timeout
from .upstream_state import UpstreamState


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long and how often an upstream is tried.

    Attributes:
        attempts: Attempts at one target, those at earlier targets included: at most 2 with three targets, 1 with four
            or more, so that each can be asked. See `Retry`.
        retry_billed: Whether to repeat a call that timed out and may have cost money.
        first: Seconds until the first chunk of a stream; by default the provider's own clock decides. See `Timeout`.
        idle: Seconds between two chunks; by default the provider's own clock decides.
        prebuffer: Keep back a stream until so many seconds after its first chunk, such as `0.5`. What fails in this
            time is made good like any other failure. See `Prebuffer`.
        prebuffer_tokens: Keep back a stream until so many chunks with text, such as `20`, or for `prebuffer`, whichever
            is first.
        total: Seconds for everything: all attempts, all waits and the end of the stream; `inf` sets no bound.
    """

    attempts: Count = 3
    retry_billed: bool = False
    first: Seconds | None = None
    idle: Seconds | None = None
    prebuffer: Seconds | None = None
    prebuffer_tokens: Count | None = None
    total: SecondsOrInf | None = 600.0

    @property
    def watches(self) -> bool:
        return self.first is not None or self.idle is not None

    @property
    def prebuffers(self) -> bool:
        return self.prebuffer is not None or self.prebuffer_tokens is not None


def resilient(provider: Provider, *, patience: Patience = Patience(), max_parallel: int | None = None) -> Provider:
    """One upstream with its policies: clocks, a queue, a breaker and retries.

    Args:
        provider: The upstream, or one model there (`Target`).
        max_parallel: How many calls at once it bears; None for any number.
    """
    column = _Column(patience=patience, attempts=patience.attempts)
    layer = column.around(Candidate(provider, provider.name, max_parallel=max_parallel), UpstreamState())
    return layer if patience.total is None else Deadline(layer, total=patience.total)


def stack(
    candidates: Sequence[Candidate],
    *,
    strategy: Strategy = in_order,
    session_affinity: bool = False,
    content_policy: bool = False,
    patience: Patience = Patience(),
    hedge: float | None = None,
    cache: Callable[[Provider], Provider] | None = None,
    upstreams: dict[str, UpstreamState] | None = None,
    random: Random | None = None,
) -> Provider:
    """One model: all upstreams that can answer for it, each with its policies, as one provider.

    Args:
        candidates: Each with nothing but a `Target` for its provider.
        strategy, session_affinity, content_policy, random: See `Fallback`.
        hedge: The share of requests that may be hedged, such as 0.03; None for none.
        cache: Puts a `Cache` around a provider, as `partial(Cache, store=…, ttl=60)` does; None for none.
        upstreams: What the models at a provider share, by the provider's name. What is missing is added.
    """
    group = CircuitGroup() if len(candidates) > 1 else None
    attempts = _attempts_each(patience.attempts, len(candidates))
    column = _Column(patience=patience, attempts=attempts, alone=group is None, group=group, random=random)
    shared = _states({} if upstreams is None else upstreams, candidates)
    layers = [replace(each, provider=column.around(each, own)) for each, own in zip(candidates, shared, strict=True)]
    # Below fallback, which acts on failures: an upstream that is only slow has not failed. Above retries, so that what
    # is raced is all that an upstream will say.
    if hedge is not None:
        layers = _hedged(layers, strategy, HedgeBudget(share=hedge))
    # Above all policies of one upstream, so that the next one has clocks, a breaker and retries of its own.
    layer = Fallback(
        layers,
        strategy=strategy,
        session_affinity=session_affinity,
        content_policy=content_policy,
        backoff=Backoff() if attempts > 1 else None,
        random=random,
    )
    return _outermost(layer, patience, cache)


def _outermost(layer: Provider, patience: Patience, cache: Callable[[Provider], Provider] | None) -> Provider:
    """All upstreams of a model, with what stands around them."""
    # Around all that asks an upstream, so that attempts, waits and other upstreams share one deadline.
    if patience.total is not None:
        layer = Deadline(layer, total=patience.total)
    # Outside of everything: a hit asks nobody, so it waits for no queue and starts no clock.
    return layer if cache is None else cache(layer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """What the upstreams of one model have in common."""

    patience: Patience
    attempts: int
    alone: bool = False
    group: CircuitGroup | None = None
    random: Random | None = None

    def around(self, candidate: Candidate, shared: UpstreamState) -> Provider:
        """One upstream with its policies."""
        layer = candidate.provider
        # Next to the upstream, so that nothing but its own silence counts.
        if self.patience.watches:
            layer = Timeout(layer, first=self.patience.first, idle=self.patience.idle)
        if candidate.own_key:
            return layer  # a queue, a breaker or a budget would let one caller's key spoil it for the others
        # Above the clocks, which must not run while a call waits in a queue. First the queue of one model, then that of
        # the whole account: nobody waits for the one while holding what others could use of the other.
        if shared.slots is not None:
            layer = Concurrency(layer, slots=shared.slots)
        if candidate.max_parallel is not None:
            layer = Concurrency(layer, slots=Slots(candidate.max_parallel))
        # Below all that acts on failures: a stream that breaks off meanwhile has failed like one that never began.
        # Above the queue, which learns from the first chunk how loaded an upstream is.
        if self.patience.prebuffers:
            layer = Prebuffer(layer, seconds=self.patience.prebuffer, tokens=self.patience.prebuffer_tokens)
        # Above the queue, which says nothing about the upstream, and above the clocks, because silence does. Where
        # there is nowhere else to go, the upstream's own no is worth more than one of ours.
        if not self.alone:
            layer = CircuitBreaker(layer, group=self.group, upstream=shared, target=candidate.name)
        # Above the breaker, so that every attempt counts there and none is made once it is open. Below fallback, so
        # that a failure of a moment does not move a conversation away from its warm cache.
        if self.attempts > 1:
            layer = Retry(
                layer,
                attempts=self.attempts,
                retry_billed=self.patience.retry_billed,
                target=candidate.name,
                budget=shared.retry_budget,
                random=self.random,
            )
        return layer


def _states(upstreams: dict[str, UpstreamState], candidates: Sequence[Candidate]) -> list[UpstreamState]:
    return [upstreams.setdefault(each.provider.name, UpstreamState()) for each in candidates]


def _attempts_each(most: int, among: int) -> int:
    """How often one upstream is asked at most: each of the others is to have an attempt, too."""
    return min(most, max(1, ATTEMPTS - (among - 1))) if among > 1 else most


def _hedged(candidates: Sequence[Candidate], strategy: Strategy, budget: HedgeBudget) -> list[Candidate]:
    if len(candidates) < 2:
        return [*candidates]
    hedged = []
    for index, candidate in enumerate(candidates):
        # Two attempts: the one that is late, and the hedge. A hedge that fails is not made good, nor waited for.
        others = [*candidates[:index], *candidates[index + 1 :]]
        second = Fallback(others, strategy=strategy, attempts=2, backoff=None)
        hedged.append(replace(candidate, provider=Hedge(candidate.provider, second=second, budget=budget)))
    return hedged

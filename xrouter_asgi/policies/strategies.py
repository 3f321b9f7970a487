"""Strategies: in which order candidates are asked.

Each is a pure function: the same candidates, requirements and randomness give the same order. One of your own is one
more function of that shape. It is given one candidate or more, and returns one or more: who is left out is not asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from random import Random
from typing import NamedTuple, TypeAlias

from ..context import Usage
from ..limits.prices import NANO
from .candidates import CandidateStats, Requirements


class Ranked(NamedTuple):
    """A candidate in its place.

    Attributes:
        score: What it was ranked by, the lowest first; None without a number.
    """

    stats: CandidateStats
    score: float | None = None


Strategy: TypeAlias = Callable[[Sequence[CandidateStats], Requirements, Random], Sequence[Ranked]]


def in_order(candidates: Sequence[CandidateStats], requirements: Requirements, random: Random, /) -> Sequence[Ranked]:
    """As they are configured."""
    return _ranked(candidates, repeat(None))


def by_weight(candidates: Sequence[CandidateStats], requirements: Requirements, random: Random, /) -> Sequence[Ranked]:
    """At random, each first as often as its weight says, and so on among the rest. Those of weight 0 come last.

    The order is that of exponential variates (Efraimidis and Spirakis, "Weighted random sampling with a reservoir").
    """
    roll, log = random.random, math.log
    weights = [stats.candidate.weight for stats in candidates]
    return _sorted(candidates, [-log(1.0 - roll()) / weight if weight else math.inf for weight in weights])


def lowest_cost(
    candidates: Sequence[CandidateStats], requirements: Requirements, random: Random, /
) -> Sequence[Ranked]:
    """The cheapest for this call first; those without a price last."""
    usage = Usage(requirements.prompt_tokens, requirements.answer_tokens)
    prices = [stats.candidate.price for stats in candidates]
    costs = [math.inf if price is None else price.cost(usage) / NANO for price in prices]
    return _sorted(candidates, costs)


def two_choices(
    candidates: Sequence[CandidateStats], requirements: Requirements, random: Random, /
) -> Sequence[Ranked]:
    """The better of two at random, by latency x load; then the others, the best first.

    Two at random, and not the best of all, so that not everybody runs to the same one before its load is seen
    (Mitzenmacher, "The power of two choices in randomized load balancing"). One that was never asked counts as fast.
    """
    ranked = _ranked(candidates, [stats.latency * (stats.load + 1) for stats in candidates])
    if len(ranked) < 2:
        return ranked
    # Those without traffic so far are all equal; then it is chance that decides, not the order of the configuration.
    first = min(random.sample(ranked, 2), key=_SCORE)
    ranked.remove(first)
    ranked.sort(key=_SCORE)
    return [first, *ranked]


STRATEGIES: Mapping[str, Strategy] = {
    "in_order": in_order,
    "by_weight": by_weight,
    "lowest_cost": lowest_cost,
    "two_choices": two_choices,
}
"""Those that settings can name."""


# A hundred candidates would spend half of a plan's time in functions of Python's, so what is done to each is C's.
_SCORE = itemgetter(1)


def _ranked(candidates: Iterable[CandidateStats], scores: Iterable[float | None]) -> list[Ranked]:
    return list(map(tuple.__new__, repeat(Ranked), zip(candidates, scores, strict=False)))


def _sorted(candidates: Iterable[CandidateStats], scores: Iterable[float]) -> list[Ranked]:
    """The lowest score first, equals in the order of the configuration. Infinity stands for none."""
    ranked = _ranked(candidates, scores)
    ranked.sort(key=_SCORE)
    for place in reversed(range(len(ranked))):
        if ranked[place].score != math.inf:
            break
        ranked[place] = Ranked(ranked[place].stats)
    return ranked

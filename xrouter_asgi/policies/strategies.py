"""Strategies: in which order candidates are asked.

Each is a pure function: the same standings, need and randomness give the same order. One of your own is one more
function of that shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import NamedTuple, TypeAlias

from .candidates import Need, Standing


class Ranked(NamedTuple):
    """A candidate in its place.

    Attributes:
        score: What it was ranked by, the lowest first; None without a number.
    """

    standing: Standing
    score: float | None = None


Strategy: TypeAlias = Callable[[Sequence[Standing], Need, Random], Sequence[Ranked]]


def in_order(standings: Sequence[Standing], need: Need, random: Random, /) -> Sequence[Ranked]:
    """As they are configured."""
    return [Ranked(standing) for standing in standings]


def by_weight(standings: Sequence[Standing], need: Need, random: Random, /) -> Sequence[Ranked]:
    """At random, each first as often as its weight says, and so on among the rest. Those of weight 0 come last.

    The order is that of exponential variates (Efraimidis and Spirakis, "Weighted random sampling with a reservoir").
    """

    def score(standing: Standing) -> float | None:
        weight = standing.candidate.weight
        return -math.log(1.0 - random.random()) / weight if weight else None

    return _sorted(Ranked(standing, score(standing)) for standing in standings)


def lowest_cost(standings: Sequence[Standing], need: Need, random: Random, /) -> Sequence[Ranked]:
    """The cheapest for this call first; those without a price last."""

    def score(standing: Standing) -> float | None:
        price = standing.candidate.price
        return None if price is None else price.of(need)

    return _sorted(Ranked(standing, score(standing)) for standing in standings)


def two_choices(standings: Sequence[Standing], need: Need, random: Random, /) -> Sequence[Ranked]:
    """The better of two at random, by latency x load; then the others, the best first.

    Two at random, and not the best of all, so that not everybody runs to the same one before its load is seen
    (Mitzenmacher, "The power of two choices in randomized load balancing"). One that was never asked counts as fast.
    """
    ranked = [Ranked(standing, standing.latency * (standing.load + 1)) for standing in standings]
    if len(ranked) < 2:
        return ranked
    # Those without traffic so far are all equal; then it is chance that decides, not the order of the configuration.
    first = min(random.sample(ranked, 2), key=_score)
    return [first, *_sorted(each for each in ranked if each is not first)]


STRATEGIES: Mapping[str, Strategy] = {
    "in_order": in_order,
    "by_weight": by_weight,
    "lowest_cost": lowest_cost,
    "two_choices": two_choices,
}
"""Those that settings can name."""


def _sorted(ranked: Iterable[Ranked]) -> list[Ranked]:
    # Stable: equals stay in the order of the configuration.
    return sorted(ranked, key=_score)


def _score(ranked: Ranked) -> float:
    return math.inf if ranked.score is None else ranked.score

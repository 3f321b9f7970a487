"""How many tokens a request will take, and what it will cost."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from typing import Final

from ..context import CostEstimate, RequestContext
from ..recent import Recent
from .prices import Prices, unpriced
from .spending import Spending, spending

ASSUMED_OUTPUT: Final = 1024
"""Tokens that an answer without a bound is expected to have at least."""

_ANSWERS: Final = 32  # the last ones of a model to a key
_ENOUGH: Final = 8  # answers
_QUANTILE: Final = 0.9
_PAIRS: Final = 4096  # of a key and a model

_NOTHING: Final = CostEstimate("", 0, 0)


@dataclass(slots=True)
class Work:
    """What a request asks of a model, and what is known of it afterwards. Before the body is read, it asks for nothing.

    Attributes:
        output: Tokens of output to reserve, for all choices together.
        prices: None where nothing is limited in money.
    """

    context: RequestContext
    caller: str = ""
    estimate: CostEstimate = _NOTHING
    output: int = 0
    prices: Prices | None = None
    _spent: Spending | None = None

    @property
    def model(self) -> str:
        """What the client asked for, as the client wrote it."""
        return self.context.model or self.estimate.model

    def dearest(self, currency: str, output: int) -> int:
        """What it may cost with so much output, in nano-units.

        Raises ModelUnpriced if no target of the model has a price in that currency.
        """
        prices = self.prices
        price = prices.most(self.model) if prices is not None and prices.currency == currency else None
        if price is None:
            raise unpriced(self.model)
        return price.bound(self.estimate.prompt_tokens, output)

    def spent(self) -> Spending:
        """What it took, once the request has ended. It is found out once."""
        if self._spent is None:
            prompt = self.estimate.prompt_tokens
            self._spent = spending(self.context, prompt, model=self.model, prices=self.prices)
        return self._spent


class OutputEstimates:
    """Expects how many tokens a model will answer a caller with who sets no bound: the largest of three.

    Nine in ten of the last 32 answers had no more; no answer that came while requests of the caller run had more; and
    `assumed`. The first alone would let a caller teach it with short answers, and then ask for many long ones at once.

    Args:
        assumed: Tokens. From 0.
    """

    def __init__(self, *, assumed: int = ASSUMED_OUTPUT) -> None:
        self._assumed = assumed
        self._seen: Recent[tuple[str, str], _Answers] = Recent(_PAIRS)
        self._running: dict[str, _Running] = {}

    def begin(self, context: RequestContext, caller: str, estimate: CostEstimate, prices: Prices | None) -> Work:
        """Note that a call begins. `end()` must be called for it."""
        running = self._running.get(caller)
        if running is None:
            running = self._running[caller] = _Running()
        running.calls += 1
        output = estimate.completion_tokens
        if output is None:
            output = running.largest if running.largest > self._assumed else self._assumed
            seen = self._seen.get((caller, estimate.model))
            if seen is not None and seen.usual > output:
                output = seen.usual
            output *= estimate.choices
        return Work(context, caller, estimate, output, prices)

    def end(self, work: Work) -> None:
        """Learn from the answer, if there is one."""
        running, estimate, usage = self._running[work.caller], work.estimate, work.context.usage
        running.calls -= 1
        if not running.calls:
            del self._running[work.caller]
        if usage is not None and estimate.completion_tokens != 0:
            tokens = -(-usage.completion_tokens // estimate.choices)
            if tokens > running.largest:
                running.largest = tokens
            pair = (work.caller, estimate.model)
            seen = self._seen.get(pair)
            if seen is None:
                seen = _Answers()
                self._seen.put(pair, seen)
            seen.add(tokens)


class _Answers:
    """The tokens of the last answers."""

    __slots__ = ("_order", "_sorted", "usual")

    def __init__(self) -> None:
        self._order: deque[int] = deque()
        self._sorted: list[int] = []
        self.usual = 0  # what nine in ten of them did not exceed; 0 for too few to say

    def add(self, tokens: int) -> None:
        if len(self._order) == _ANSWERS:
            del self._sorted[bisect_left(self._sorted, self._order.popleft())]
        self._order.append(tokens)
        insort(self._sorted, tokens)
        if len(self._sorted) >= _ENOUGH:
            self.usual = self._sorted[int(len(self._sorted) * _QUANTILE)]


@dataclass(slots=True)
class _Running:
    """The calls of one caller that run now."""

    calls: int = 0
    largest: int = 0  # tokens of one choice, of the answers that came meanwhile

"""How many tokens a request will take, guessed before it is sent, and what it came to when nobody said."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from ..context import CostEstimate, RequestContext

_HISTORY: Final = 32
_ENOUGH: Final = 8
_QUANTILE: Final = 0.9
_UNKNOWN: Final = 1024  # tokens


class OutputEstimates:
    """How long the answers of a model to a key have been: so many tokens as nine in ten of the last 32 did not exceed.

    What the tenth takes on top is a debt, so the guess need not be a bound.

    Args:
        pairs: Keys and models remembered; beyond it the pair that was met longest ago is forgotten.
    """

    def __init__(self, *, pairs: int = 4096) -> None:
        self._pairs = pairs
        self._seen: dict[tuple[str, str], deque[int]] = {}

    def expect(self, key: str, model: str, *, limit: int) -> int:
        """Tokens of output to count with against a limit of so many.

        Until 8 answers were seen it is 1024, but a tenth of the limit at most: a mere guess must not shut others out.
        """
        seen = self._seen.get((key, model), ())
        if len(seen) < _ENOUGH:
            return min(_UNKNOWN, limit // 10)
        return sorted(seen)[int(len(seen) * _QUANTILE)]

    def learn(self, key: str, model: str, tokens: int) -> None:
        """Tokens of output that an answer had."""
        seen = self._seen.pop((key, model), None) or deque(maxlen=_HISTORY)
        seen.append(tokens)
        self._seen[key, model] = seen
        if len(self._seen) > self._pairs:
            del self._seen[next(iter(self._seen))]


def tokens_spent(context: RequestContext, demand: CostEstimate) -> int | None:
    """What a request came to; None when it was answered whole and nobody counted, so that the estimate stands.

    The upstream's own count, if it sent one: zero is a number. Nothing, if no upstream accepted. Else what went through
    here: the bound of the input, and a token for each two characters of output. English and Russian take three or four
    characters for one, Chinese about two.
    """
    if context.usage is not None:
        return context.usage.total_tokens
    if not _accepted(context):
        return 0
    if context.provider is not None and not context.streamed:
        return None
    return demand.prompt_tokens + (context.characters + 1) // 2


def _accepted(context: RequestContext) -> bool:
    """Whether an upstream may have done work. One that we left may have; one that failed before its answer has not."""
    if not context.attempts:  # a provider without a Target
        return context.error is None or context.streamed
    return any(
        attempt.first is not None or attempt.error is None or isinstance(attempt.error, asyncio.CancelledError)
        for attempt in context.attempts
    )

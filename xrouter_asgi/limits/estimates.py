"""How many tokens a request will take, and how many it took when the upstream does not say."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from ..context import CostEstimate, RequestContext
from ..recent import Recent

_ANSWERS: Final = 32  # the last ones of a model to a key
_ENOUGH: Final = 8  # answers
_QUANTILE: Final = 0.9
_UNKNOWN: Final = 1024  # tokens …
_UNKNOWN_SHARE: Final = 0.1  # … but at most this share of the limit
_PAIRS: Final = 4096  # of a key and a model


class OutputEstimates:
    """Estimates how many tokens a model answers a key with: nine in ten of the last 32 answers had no more.

    The tenth puts its limit into debt, so the estimate need not be a bound.
    """

    def __init__(self) -> None:
        self._seen: Recent[tuple[str, str], deque[int]] = Recent(_PAIRS)

    def expect(self, key: str, model: str, *, limit: int) -> int:
        """Tokens of output to reserve. Until 8 answers were seen, a mere guess, which must not lock others out."""
        seen = self._seen.get((key, model)) or ()
        if len(seen) < _ENOUGH:
            return min(_UNKNOWN, int(limit * _UNKNOWN_SHARE))
        return sorted(seen)[int(len(seen) * _QUANTILE)]

    def learn(self, key: str, model: str, tokens: int) -> None:
        seen = self._seen.get((key, model))
        if seen is None:
            seen = deque(maxlen=_ANSWERS)
            self._seen.put((key, model), seen)
        seen.append(tokens)


def tokens_spent(context: RequestContext, estimate: CostEstimate) -> int | None:
    """How many tokens a request took. None for a whole answer without a count: the estimate stands.

    The upstream's own count, if it sent one, also 0. 0 if no upstream accepted the request. Otherwise the bound of the
    input, plus one token for every two characters of output: a token of Chinese has about two characters, one of
    English or Russian three or four.
    """
    if context.usage is not None:
        return context.usage.total_tokens
    if not _accepted(context):
        return 0
    if context.provider is not None and not context.streamed:
        return None
    return estimate.prompt_tokens + (context.characters + 1) // 2


def _accepted(context: RequestContext) -> bool:
    """Whether an upstream may have done work: one that we left may have, one that failed before its answer has not."""
    if not context.attempts:  # a provider without a Target
        return context.error is None or context.streamed
    return any(
        attempt.first is not None or attempt.error is None or isinstance(attempt.error, asyncio.CancelledError)
        for attempt in context.attempts
    )

"""How many tokens a request will take, and how many it took when the upstream does not say."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from ..context import Attempt, CostEstimate, RequestContext
from ..errors import UpstreamError, UpstreamTimeout
from ..recent import Recent

ASSUMED_OUTPUT: Final = 1024
"""Tokens that an answer without a bound is expected to have at least."""

_ANSWERS: Final = 32  # the last ones of a model to a key
_ENOUGH: Final = 8  # answers
_QUANTILE: Final = 0.9
_PAIRS: Final = 4096  # of a key and a model

_NOTHING: Final = CostEstimate("", 0, 0)
_BROKE_OFF: Final = frozenset(
    (
        "truncated",
        "connection_lost",
        "empty_answer",
        "empty_stream",
        "stream_broken",
        "bad_body",
        "bad_event",
        "too_large",
    )
)
"""Codes of errors with which an upstream fails that has begun to work."""


@dataclass(slots=True)
class Work:
    """What a request asks of a model, and what is known of it afterwards. Before the body is read, it asks for nothing.

    Attributes:
        output: Tokens of output to reserve, for all choices together.
    """

    context: RequestContext
    caller: str = ""
    estimate: CostEstimate = _NOTHING
    output: int = 0


class OutputEstimates:
    """Expects how many tokens a model will answer a caller with who sets no bound: the largest of three.

    Nine in ten of the last 32 answers had no more; no answer that came while requests of the caller run had more; and
    `assumed`. The first alone would let a caller teach it with short answers, and then ask for many long ones at once.

    Args:
        assumed: Tokens. From 0.
    """

    def __init__(self, *, assumed: int = ASSUMED_OUTPUT) -> None:
        self._assumed = assumed
        self._seen: Recent[tuple[str, str], deque[int]] = Recent(_PAIRS)
        self._running: dict[str, _Running] = {}

    def begin(self, context: RequestContext, caller: str, estimate: CostEstimate) -> Work:
        """Note that a call begins. `end()` must be called for it."""
        running = self._running.setdefault(caller, _Running())
        running.calls += 1
        output = estimate.completion_tokens
        if output is None:
            usual = self._usual(caller, estimate.model)
            output = max(self._assumed, usual, running.largest) * estimate.choices
        return Work(context, caller, estimate, output)

    def end(self, work: Work) -> None:
        """Learn from the answer, if there is one."""
        running, estimate, usage = self._running[work.caller], work.estimate, work.context.usage
        running.calls -= 1
        if not running.calls:
            del self._running[work.caller]
        if usage is not None and estimate.completion_tokens != 0:
            tokens = -(-usage.completion_tokens // estimate.choices)
            running.largest = max(running.largest, tokens)
            self._learn(work.caller, estimate.model, tokens)

    def _usual(self, caller: str, model: str) -> int:
        seen = self._seen.get((caller, model)) or ()
        return sorted(seen)[int(len(seen) * _QUANTILE)] if len(seen) >= _ENOUGH else 0

    def _learn(self, caller: str, model: str, tokens: int) -> None:
        seen = self._seen.get((caller, model))
        if seen is None:
            seen = deque(maxlen=_ANSWERS)
            self._seen.put((caller, model), seen)
        seen.append(tokens)


@dataclass(slots=True)
class _Running:
    """The calls of one caller that run now."""

    calls: int = 0
    largest: int = 0  # tokens of one choice, of the answers that came meanwhile


def tokens_spent(work: Work, reserved: int) -> int:
    """How many tokens a call took.

    The upstream's own count, if it sent one. Otherwise the bound of the input, plus one token for every two characters
    of a stream: a token of Chinese has about two characters, one of English or Russian three or four. Where neither is
    known, because the client left or the upstream was too late, the reservation stands. Each other attempt that may
    have cost something costs its input. Nothing for a hit of the cache, nor if no upstream accepted the call.
    """
    context, prompt = work.context, work.estimate.prompt_tokens
    if context.cache == "hit":
        return 0
    if not context.attempts:  # a provider without a Target
        return 0 if context.error is not None and not context.streamed else _of_the_answer(context, prompt, reserved)
    accepted = [attempt for attempt in context.attempts if _may_have_cost(attempt)]
    served = context.decision.served
    if not accepted:
        return 0
    if context.usage is not None:
        others = len(accepted) - (served in accepted)
        return context.usage.total_tokens + context.usage.prompt_tokens * others
    if served is None and not any(map(_is_unknown, accepted)):
        return prompt * len(accepted)
    return _of_the_answer(context, prompt, reserved) + prompt * (len(accepted) - 1)


def _of_the_answer(context: RequestContext, prompt: int, reserved: int) -> int:
    if context.usage is not None:
        return context.usage.total_tokens
    return prompt + (context.characters + 1) // 2 if context.characters else reserved


def _may_have_cost(attempt: Attempt) -> bool:
    """Whether the upstream may have worked: one that we left may have, one that refused has not."""
    return attempt.first is not None or _is_unknown(attempt) or _broke_off(attempt)


def _is_unknown(attempt: Attempt) -> bool:
    """Whether it may have worked for as long as it liked: nobody waited for what it had to say."""
    match attempt.error:
        case None | asyncio.CancelledError():
            return True
        case UpstreamTimeout(code=code):
            return code != "connect_timeout"
    return False


def _broke_off(attempt: Attempt) -> bool:
    return isinstance(attempt.error, UpstreamError) and attempt.error.code in _BROKE_OFF

"""What a request took, and what it cost: the sum over its attempts, each at the price of its own target."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from ..context import Attempt, Cost, RequestContext, Usage
from ..errors import UpstreamError, UpstreamTimeout
from .prices import MOST, Prices

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

Part: TypeAlias = tuple[Attempt | None, Usage | None, bool]
"""An attempt, what it took, and whether that is an estimate. No attempt: a provider without a Target. No usage: nobody
knows what it took."""


class Spending(NamedTuple):
    """What a request took.

    Attributes:
        tokens, cost: Of the attempts of which something is known; the cost in nano-units.
        unknown: Of one attempt nothing is known, so that its reservation stands.
        estimated: Whether the upstream has not counted all of it.
        priced: Whether each of these attempts has a price.
    """

    tokens: int
    cost: int
    unknown: bool
    estimated: bool
    priced: bool

    def with_reserved(self, reserved: int) -> Cost:
        """The cost, where so much was reserved."""
        cost = self.cost + reserved if self.unknown else self.cost
        # A wrong count must not owe more than can be paid.
        return Cost(cost if cost < MOST else MOST, self.estimated, self.priced)


_NOTHING = Spending(0, 0, False, False, True)


def spending(context: RequestContext, prompt: int, *, model: str = "", prices: Prices | None = None) -> Spending:
    """What a request took, once it has ended. A hit of the cache costs nothing.

    An attempt with a credential of the caller's own takes tokens, and costs nothing.

    Args:
        prompt: The bound of its input, in tokens.
        model: What the client asked for. Its dearest price holds where that of an attempt is not known.
        prices: None if nobody asks for the cost.
    """
    if context.cache == "hit":
        return _NOTHING
    counted = context.usage
    if counted is not None and len(context.attempts) == 1:  # as nearly always
        cost = 0 if prices is None else _cost(context, context.attempts[0], counted, model, prices)
        return Spending(counted.prompt_tokens + counted.completion_tokens, cost or 0, False, False, cost is not None)
    tokens = total = 0
    unknown, estimated, priced = False, False, True
    for attempt, usage, guessed in parts(context, prompt):
        estimated |= guessed
        if usage is None:
            unknown = True
            continue
        tokens += usage.total_tokens
        cost = 0 if prices is None else _cost(context, attempt, usage, model, prices)
        total += cost or 0
        priced &= cost is not None
    return Spending(tokens, total, unknown, estimated, priced)


def _cost(context: RequestContext, attempt: Attempt | None, usage: Usage, model: str, prices: Prices) -> int | None:
    """Nano-units; None without a price."""
    if attempt is not None and attempt.provider in context.own_keys:
        return 0
    price = (attempt and prices.of(f"{attempt.provider}/{attempt.model}")) or prices.most(model)
    return None if price is None else price.cost(usage)


def parts(context: RequestContext, prompt: int) -> Iterator[Part]:
    """What each attempt took.

    The upstream's own count, if it sent one. Otherwise the bound of the input, plus one token for every two characters
    of a stream: a token of Chinese has about two characters, one of English or Russian three or four. Where neither is
    known, because the client left or the upstream was too late, nobody knows. Each other attempt that may have cost
    something costs its input. Nothing if no upstream accepted the call.
    """
    attempts, counted = context.attempts, context.usage
    if not attempts:
        if context.error is None or context.streamed:
            yield None, *_of_the_answer(context, prompt)
        return
    accepted = [attempt for attempt in attempts if _may_have_cost(attempt)]
    answering = _answering(context, accepted)
    if counted is not None:
        prompt = counted.prompt_tokens
    for attempt in accepted:
        if attempt is answering:
            yield attempt, *_of_the_answer(context, prompt)
        elif attempt.usage is not None:
            yield attempt, attempt.usage, False
        else:
            yield attempt, Usage(prompt), True


def _answering(context: RequestContext, accepted: list[Attempt]) -> Attempt | None:
    """The attempt that the client's answer is from, or would have been."""
    served = context.decision.served
    if served is not None:
        return served
    if context.usage is not None:
        return accepted[-1] if accepted else None
    return next(filter(_is_unknown, accepted), None)


def _of_the_answer(context: RequestContext, prompt: int) -> tuple[Usage | None, bool]:
    if context.usage is not None:
        return context.usage, False
    return (Usage(prompt, (context.characters + 1) // 2) if context.characters else None), True


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

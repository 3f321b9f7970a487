"""What is kept of a request that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from ..context import Principal, Usage
from ..conventions import error_type
from ..decision import Attempt, CandidateVerdict, Cost, Decision
from ..events import RequestEnded

KEPT = 2000
"""Requests that are remembered."""

_LONGEST = 128  # characters of a name that a client or an upstream chose
_WORD = 64  # characters of an error's word, which an upstream may have chosen
_CANDIDATES = 10  # of one request; a model may have any number
_ATTEMPTS = 8


class RecentAttempt(NamedTuple):
    """A call to an upstream. Times are seconds since the request was here; None for what did not happen.

    Attributes:
        error: One word of few (`conventions.error_type`).
        hint: What the operator can do about it.
    """

    provider: str
    model: str
    started: float
    first: float | None
    ended: float | None
    error: str | None
    hint: str | None


class RecentRequest(NamedTuple):
    """A request that has ended. Fields without a comment are as in `RequestContext`, `RequestEnded` and `Decision`."""

    number: int  # counts the requests of this process, from 1
    at: float  # when it ended, in seconds of the wall clock
    id: str
    endpoint: str | None
    model: str | None
    principal: Principal | None
    status: int | None
    complete: bool
    failed: bool  # by the gateway or an upstream, and not by its client
    duration: float
    first_byte: float | None
    streamed: bool
    usage: Usage | None
    cost: int | None  # in nano-units of the currency of the prices
    error: str | None  # one word of few
    provider: str | None
    upstream_model: str | None
    cache: str | None
    version: str | None
    strategy: str | None
    candidates: Sequence[CandidateVerdict]  # the first 10
    attempts: Sequence[RecentAttempt]  # the first 8
    hedges: int


Plain: TypeAlias = tuple[
    int,
    float,
    bool,
    float,
    float | None,
    str,
    str | None,
    str | None,
    Principal | None,
    bool,
    Usage | None,
    Cost | None,
    str | None,
    str | None,
    str | None,
    Decision,
]
"""A request that went well at the first attempt, as it is kept until somebody looks: see `plain`.

It is no named tuple, which takes twice the instructions to make and to read.
"""

duration_of = itemgetter(3)
first_byte_of = itemgetter(4)
is_streamed = itemgetter(9)
usage_of = itemgetter(10)
cost_of = itemgetter(11)


def plain(event: RequestEnded, number: int, now: float) -> Plain | None:
    """What is kept of a request that went well, and holds nothing large; None for another one.

    This is a part of every request: it takes 2 thousand instructions, and `remember` 15 thousand.
    """
    context = event.context
    attempts, model, upstream_model, decision = (
        context.attempts,
        context.model,
        context.upstream_model,
        context.decision,
    )
    if (
        event.status != 200
        or context.error is not None
        or len(attempts) != 1
        or attempts[0].error is not None
        or (model is not None and len(model) > _LONGEST)
        or (upstream_model is not None and len(upstream_model) > _LONGEST)
        or len(decision.candidates) > _CANDIDATES
    ):
        return None
    return (
        number,
        now,
        event.complete,
        event.duration,
        event.first_byte,
        context.request_id,
        context.endpoint,
        model,
        context.principal,
        context.streamed,
        context.usage,
        context.cost,
        context.provider,
        upstream_model,
        context.cache,
        decision,
    )


def remember_plain(kept: Plain) -> RecentRequest:
    """The request that was kept so."""
    number, at, complete, duration, first_byte, id, endpoint, model = kept[:8]
    principal, streamed, usage, cost, provider, upstream_model, cache, decision = kept[8:]
    return RecentRequest(
        number=number,
        at=at,
        id=id,
        endpoint=endpoint,
        model=model,
        principal=principal,
        status=200,
        complete=complete,
        failed=False,
        duration=duration,
        first_byte=first_byte,
        streamed=streamed,
        usage=usage,
        cost=cost and cost.amount,
        error=None,
        provider=provider,
        upstream_model=upstream_model,
        cache=cache,
        version=decision.version,
        strategy=decision.strategy,
        candidates=decision.candidates,
        attempts=tuple([_attempted(each, decision.began) for each in decision.attempts]),
        hedges=decision.hedges,
    )


def remember(event: RequestEnded, number: int, now: float) -> RecentRequest:
    """What is kept of any request."""
    context = event.context
    decision, error, model, upstream_model = context.decision, context.error, context.model, context.upstream_model
    attempts, candidates = decision.attempts, decision.candidates
    return RecentRequest(
        number,
        now,
        context.request_id,
        context.endpoint,
        model and model[:_LONGEST],
        context.principal,
        event.status,
        event.complete,
        (event.status or 0) >= 500 or (error is not None and error.status >= 500),
        event.duration,
        event.first_byte,
        context.streamed,
        context.usage,
        context.cost and context.cost.amount,
        None if error is None else error_type(error)[:_WORD],
        context.provider,
        upstream_model and upstream_model[:_LONGEST],
        context.cache,
        decision.version,
        decision.strategy,
        candidates if len(candidates) <= _CANDIDATES else candidates[:_CANDIDATES],
        tuple([_attempted(each, decision.began) for each in islice(attempts, _ATTEMPTS)]),
        decision.hedges,
    )


def _attempted(attempt: Attempt, began: float) -> RecentAttempt:
    first, ended, error = attempt.first, attempt.ended, attempt.error
    return RecentAttempt(
        attempt.provider,
        attempt.model[:_LONGEST],
        attempt.started - began,
        None if first is None else first - began,
        None if ended is None else ended - began,
        None if error is None else error_type(error)[:_WORD],
        None if error is None else attempt.hint,
    )

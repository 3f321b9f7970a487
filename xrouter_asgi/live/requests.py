"""What is kept of a request that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

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

    status: int | None
    failed: bool  # by the gateway or an upstream, and not by its client
    duration: float
    first_byte: float | None
    streamed: bool
    usage: Usage | None
    cost: Cost | None
    at: float  # when it ended, in seconds of the wall clock
    complete: bool
    id: str
    endpoint: str | None
    model: str | None
    principal: Principal | None
    error: str | None  # one word of few
    provider: str | None
    upstream_model: str | None
    cache: str | None
    version: str | None
    strategy: str | None
    candidates: Sequence[CandidateVerdict]  # the first 10
    attempts: Sequence[RecentAttempt]  # the first 8
    hedges: int
    number: int = 0  # counts the requests of this process, from 1; given when somebody looks


Plain: TypeAlias = tuple[Any, ...]
"""A request that went well at the first attempt, as it is kept until somebody looks.

These are the fields of a `RecentRequest` down to `cache`, and the decision. It is no named tuple, which takes twice the
instructions to make.
"""


def plain(event: RequestEnded, now: float) -> Plain | None:
    """What is kept of a request that went well, and holds nothing large; None for another one.

    This is a part of every request: it takes a thousand instructions, and `remember` 15 thousand.
    """
    context = event.context
    attempts, model, upstream_model = context.attempts, context.model, context.upstream_model
    decision = context.decision
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
        200,
        False,
        event.duration,
        event.first_byte,
        context.streamed,
        context.usage,
        context.cost,
        now,
        event.complete,
        context.request_id,
        context.endpoint,
        model,
        context.principal,
        None,
        context.provider,
        upstream_model,
        context.cache,
        decision,
    )


def remember(event: RequestEnded, now: float) -> RecentRequest:
    """What is kept of any request."""
    context = event.context
    decision, error, model, upstream_model = context.decision, context.error, context.model, context.upstream_model
    candidates = decision.candidates
    return RecentRequest(
        event.status,
        (event.status or 0) >= 500 or (error is not None and error.status >= 500),
        event.duration,
        event.first_byte,
        context.streamed,
        context.usage,
        context.cost,
        now,
        event.complete,
        context.request_id,
        context.endpoint,
        model and model[:_LONGEST],
        context.principal,
        None if error is None else error_type(error)[:_WORD],
        context.provider,
        upstream_model and upstream_model[:_LONGEST],
        context.cache,
        decision.version,
        decision.strategy,
        candidates if len(candidates) <= _CANDIDATES else candidates[:_CANDIDATES],
        _attempted(decision),
        decision.hedges,
    )


def recalled(kept: RecentRequest | Plain, number: int) -> RecentRequest:
    """The request that was kept so."""
    if isinstance(kept, RecentRequest):
        return kept._replace(number=number)
    *facts, decision = kept
    told = decision.version, decision.strategy, decision.candidates, _attempted(decision), decision.hedges
    return RecentRequest._make([*facts, *told, number])


def _attempted(decision: Decision) -> Sequence[RecentAttempt]:
    return tuple([_attempt(each, decision.began) for each in islice(decision.attempts, _ATTEMPTS)])


def _attempt(attempt: Attempt, began: float) -> RecentAttempt:
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

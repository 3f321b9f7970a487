"""A request that is remembered, as the operator's API tells of it."""

from __future__ import annotations

from ..decision import CandidateVerdict
from ..limits.prices import in_units
from ..live import RecentAttempt, RecentRequest
from .api.answers import AttemptEntry, CandidateEntry, DecisionEntry, DetailFacts, RequestFacts
from .api.operation import at


def came_in(request: RecentRequest) -> float:
    """When it came in, in seconds of the wall clock."""
    return request.at - request.duration


def request_facts(request: RecentRequest, currency: str) -> RequestFacts:
    principal, usage = request.principal, request.usage
    return {
        "id": request.id,
        "at": at(came_in(request)),
        "endpoint": request.endpoint,
        "model": request.model,
        "key": None if principal is None else principal.id,
        "owner": None if principal is None else principal.owner,
        "status": request.status,
        "complete": request.complete,
        "failed": request.failed,
        "duration": request.duration,
        "first_byte": request.first_byte,
        "streamed": request.streamed,
        "prompt_tokens": None if usage is None else usage.prompt_tokens,
        "completion_tokens": None if usage is None else usage.completion_tokens,
        "cached_tokens": None if usage is None else usage.cached_tokens,
        "cost": None if request.cost is None else f"{in_units(request.cost.amount)} {currency}",
        "error": request.error,
        "provider": request.provider,
        "upstream_model": request.upstream_model,
        "cache": request.cache,
        "attempts": len(request.attempts),
        "hedges": request.hedges,
    }


def request_detail(request: RecentRequest, currency: str) -> DetailFacts:
    decision: DecisionEntry = {
        "version": request.version,
        "strategy": request.strategy,
        "candidates": [candidate_entry(each) for each in request.candidates],
        "attempts": [_attempted(each) for each in request.attempts],
    }
    return {"request": request_facts(request, currency), "decision": decision}


def candidate_entry(each: CandidateVerdict) -> CandidateEntry:
    excluded = None if each.excluded is None else str(each.excluded)
    return {"target": each.name, "score": each.score, "excluded": excluded}


def _attempted(attempt: RecentAttempt) -> AttemptEntry:
    return {
        "target": f"{attempt.provider}/{attempt.model}",
        "started": attempt.started,
        "first": attempt.first,
        "ended": attempt.ended,
        "error": attempt.error,
        "hint": attempt.hint,
    }

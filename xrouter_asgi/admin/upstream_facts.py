"""Targets and providers, as a process tells of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import cast

from ..context import matches
from ..live import RecentAttempt, RecentRequest
from ..providers.base import TokenHolder
from .api.answers import CapabilitiesEntry, SlotsEntry, StateFacts
from .api.operation import at
from .upstreams import TargetView
from .watched import ProviderFacts, TargetFacts


def state_facts(upstream: TargetView) -> StateFacts:
    """How a target is now."""
    why = upstream.unready
    return {
        "target": upstream.name,
        "state": "ready" if why is None else why.kind,
        "until": None if why is None else _wall(why.until),
        "text": None if why is None else str(why),
    }


def target_facts(model: str, upstream: TargetView, attempts: Iterable[RecentAttempt]) -> TargetFacts:
    """A target of a model.

    Args:
        attempts: Those of the last hour for that model, at all of its targets.
    """
    candidate = upstream.candidate
    price, own = candidate.price, [each for each in attempts if _is_of(each, upstream)]
    return {
        "model": model,
        "provider": upstream.provider.name,
        "state": state_facts(upstream),
        "weight": candidate.weight,
        "price": None if price is None else {"input": str(price.input), "output": str(price.output)},
        "capabilities": cast(CapabilitiesEntry, asdict(candidate.capabilities)),
        "attempts": len(own),
        "failed": sum(attempt.error is not None for attempt in own),
        "times": [attempt.ended - attempt.started for attempt in own if attempt.ended is not None],
    }


def provider_facts(name: str, upstreams: Sequence[TargetView], recent: Sequence[RecentRequest]) -> ProviderFacts:
    """A provider, with the targets that it serves."""
    last = next(
        (
            (request.at, attempt.error)
            for request in reversed(recent)
            for attempt in reversed(request.attempts)
            if attempt.provider == name
        ),
        None,
    )
    slots = {id(each): each for upstream in upstreams for each in upstream.slots}.values()
    listed: list[SlotsEntry] = [
        {"limit": each.limit, "in_use": each.in_flight, "waiting": each.waiting} for each in slots
    ]
    provider = upstreams[0].provider
    return {
        "name": name,
        "last": None if last is None else {"at": at(last[0]), "error": last[1]},
        "slots": listed,
        "token_expires": _wall(provider.token_expires) if isinstance(provider, TokenHolder) else None,
    }


def _wall(until: float | None) -> datetime | None:
    """A time of the event loop's clock as one of the wall clock."""
    return None if until is None else at(time.time() + until - asyncio.get_running_loop().time())


def _is_of(attempt: RecentAttempt, upstream: TargetView) -> bool:
    """Whether the attempt was made at this target, in whose name a `*` stands for what the client asked for."""
    return attempt.provider == upstream.provider.name and matches(upstream.name, f"{attempt.provider}/{attempt.model}")

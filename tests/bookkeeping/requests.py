"""Requests that have ended, as observers are told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xrouter_asgi.context import Attempt, RequestContext, Usage
from xrouter_asgi.events import RequestEnded


def attempt(**facts: Any) -> Attempt:
    """One that ended well."""
    return Attempt(**{"provider": "up", "model": "small-2", "started": 1.0, "first": 2.0, "ended": 3.0, **facts})


def ended(
    *, attempts: Sequence[Attempt] | None = None, status: int | None = 200, complete: bool = True, **facts: Any
) -> RequestEnded:
    """One that a provider answered, unless the facts of its context say otherwise."""
    usual: dict[str, Any] = {
        "endpoint": "chat",
        "model": "small",
        "provider": "up",
        "upstream_model": "small-2",
        "usage": Usage(10, 5),
    }
    made = [attempt()] if attempts is None else list(attempts)
    context = RequestContext(**{**usual, **facts}, attempts=made)
    if made and context.provider is not None:
        context.decision.served = made[-1]
    return RequestEnded(context, "POST", "/v1/chat/completions", status, complete, 1.5, 0.5, 100, 200, "127.0.0.1")

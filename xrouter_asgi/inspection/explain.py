"""Where a request would go, without sending anything: which targets, in which order, and why not the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ..decision import CandidateVerdict, Decision
from ..policies.fallback import Fallback
from ..policies.timeout import Deadline
from ..providers.base import Call, Provider
from ..router.table import ModelTable
from ..wire import ChatRequest
from .columns import in_columns

_PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
_TOOL = {"type": "function", "function": {"name": "tool"}}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
_CHARACTERS = 6  # of one token at most, as in `policies.candidates`


def sample_request(
    model: str, *, tokens: int = 1, tools: bool = False, vision: bool = False, json_schema: bool = False
) -> ChatRequest:
    """Make a request that needs what real ones need: so many tokens of prompt, tools, vision, a JSON Schema."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": "x" * (_CHARACTERS * tokens)}]
    if vision:
        parts.append(_PICTURE)
    request: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": parts}]}
    if tools:
        request["tools"] = [_TOOL]
    if json_schema:
        request["response_format"] = _SCHEMA
    return ChatRequest.of(request)


def explain(models: ModelTable, model: str, request: ChatRequest, *, version: str) -> Decision | None:
    """Decide where a request would go.

    Args:
        models: The table that requests meet. In a new one no target has failed yet, nor was any slow.
        model: The name that the client asks for.
        version: The version of the settings behind the table.

    Returns:
        The decision; None if the table serves no such model.
    """
    found = models.find(model)
    if found is None:
        return None
    provider, stem = found
    plan = _planner(provider).plan(Call(request, model, stem))
    return Decision(version=version, strategy=plan.strategy, candidates=plan.considered)


def _planner(provider: Provider) -> Fallback:
    """The part of a model that chooses among its targets. `policies.stack` puts at most a `Deadline` around it."""
    return cast(Fallback, provider.inner if isinstance(provider, Deadline) else provider)


def describe_decision(decision: Decision) -> str:
    """The targets of a decision in the order in which they would be asked, then the excluded ones."""
    rows = [_row(place, each) for place, each in enumerate(decision.candidates, start=1)]
    table = in_columns([("", "target", "score", ""), *rows])
    return f"configuration {decision.version}, strategy {decision.strategy}\n\n{table}"


def _row(place: int, verdict: CandidateVerdict) -> Sequence[str]:
    score = "" if verdict.score is None else f"{verdict.score:.4g}"
    return ("-" if verdict.excluded else str(place), verdict.name, score, str(verdict.excluded or ""))

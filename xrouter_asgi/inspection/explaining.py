"""Where one request would go, and why."""

from __future__ import annotations

from typing import Any, cast

from ..decision import Decision
from ..policies.fallback import Fallback
from ..policies.timeout import Deadline
from ..providers.base import Call
from ..router.table import ModelTable
from ..settings import Settings
from ..wire import ChatRequest
from .statuses import in_columns

_PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
_CHARACTERS = 6  # of one token at most, as in `policies.candidates`


def sample_request(
    model: str, *, tokens: int = 1, tools: bool = False, vision: bool = False, json_schema: bool = False
) -> ChatRequest:
    """Make a request with a prompt of so many tokens that needs tools, vision, a JSON Schema."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": "x" * (_CHARACTERS * tokens)}]
    if vision:
        parts.append(_PICTURE)
    request: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": parts}]}
    if tools:
        request["tools"] = [{"type": "function", "function": {"name": "tool"}}]
    if json_schema:
        request["response_format"] = _SCHEMA
    return ChatRequest.of(request)


def explain(models: ModelTable, model: str, request: ChatRequest, *, version: str) -> Decision | None:
    """Decide where a request would go. None if the table, which settings of this version made, has no such model."""
    found = models.find(model)
    if found is None:
        return None
    provider, stem = found
    # `policies.stack` puts at most a `Deadline` around the part that chooses.
    planner = cast(Fallback, provider.inner if isinstance(provider, Deadline) else provider)
    plan = planner.plan(Call(request, model, stem))
    return Decision(version=version, strategy=plan.strategy, candidates=plan.considered)


def describe_decision(decision: Decision, settings: Settings) -> str:
    """The targets of a decision in the order in which they would be asked, then the excluded ones."""
    rows = [("", "target", "speaks", "score", "")]
    for place, each in enumerate(decision.candidates, start=1):
        score = "" if each.score is None else f"{each.score:.4g}"
        spoken = ", ".join(settings.providers[each.name.partition("/")[0]].spoken)
        rows.append(("-" if each.excluded else str(place), each.name, spoken, score, str(each.excluded or "")))
    return f"configuration {decision.version}, strategy {decision.strategy}\n\n{in_columns(rows)}"

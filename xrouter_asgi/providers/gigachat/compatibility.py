"""Repairs of a request that GigaChat refused, in case it refused our translation and not the request.

Stands, models and releases differ in what they take, and none of them says so beforehand. Each repair is tried once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ...wire import ChatRequest
from .options import StructuredOutput

# The first generation, which the current host does not serve any more.
SUCCESSORS = {"GigaChat": "GigaChat-2", "GigaChat-Pro": "GigaChat-2-Pro", "GigaChat-Max": "GigaChat-2-Max"}


@dataclass(frozen=True, slots=True)
class Repairs:
    """How to translate a request."""

    model: str  # GigaChat's name of it
    structured: StructuredOutput
    adaptive: bool = False  # whether to try another way to ask for a JSON schema
    replay_state: bool = True  # send back the state ids of earlier calls
    plain_calls: bool = False  # render earlier calls and their results as text
    fresh_files: bool = False  # remembered uploads have been uploaded anew
    format_unknown: bool = False  # the model knows no such `response_format`, rather than dislikes this schema


def repaired(plan: Repairs, request: ChatRequest, body: dict[str, Any], *, status: int, said: bytes) -> Repairs | None:
    """The plan to try after GigaChat refused this `body`, made by `plan`; None if there is no better one."""
    said = said.lower()
    match status:
        case 404 if b"no such model" in said:
            successor = SUCCESSORS.get(plan.model)
            return replace(plan, model=successor) if successor is not None else None
        case 403 | 404 if not plan.fresh_files and _has(body, "attachments") and (status == 404 or b"file" in said):
            return replace(plan, fresh_files=True)
        case 400 | 422:
            return _repaired_body(plan, request, body, said)
    return None


def without_native(request: ChatRequest) -> StructuredOutput:
    """How to ask for a JSON schema where `response_format` is not known.

    One forced function can stand for a schema, unless functions are needed for themselves.
    """
    return "prompt" if request.tools or request.functions else "function"


def _repaired_body(plan: Repairs, request: ChatRequest, body: dict[str, Any], said: bytes) -> Repairs | None:
    # Beside functions a schema may be refused with the words for any wrong shape.
    about_schema = "functions" in body or any(word in said for word in (b"response_format", b"schema"))
    if plan.adaptive and "response_format" in body and about_schema:
        return replace(plan, structured=without_native(request), format_unknown=b"unknown type" in said)
    if plan.replay_state and _has(body, "functions_state_id"):
        return replace(plan, replay_state=False)
    if not plan.plain_calls and _has(body, "function_call") and "functions" not in body:
        return replace(plan, plain_calls=True)
    return None


def _has(body: dict[str, Any], member: str) -> bool:
    return any(member in message for message in body["messages"])

"""The members of a Responses request beside its input, as members of a chat request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import UnsupportedOperation
from ...wire.responses import ResponsesRequest
from ..base import Objections, ignored

_SAME = (
    "model",
    "stream",
    "temperature",
    "top_p",
    "metadata",
    "user",
    "safety_identifier",
    "service_tier",
    "prompt_cache_key",
)
_SAY_NOTHING = frozenset(
    {
        "access_programs",
        "client_metadata",
        "max_tool_calls",
        "moderation",
        "prompt_cache_options",
        "prompt_cache_retention",
        "stream_options",
    }
)
"""What says nothing about a model that can only call functions. Clients send most of it always."""

_KNOWN = (ResponsesRequest.model_fields.keys() - {"truncation"}) | _SAY_NOTHING

_KEPT = {
    "conversation": "This gateway keeps no conversations. Use 'previous_response_id', or send the whole conversation.",
    "prompt": "This gateway keeps no prompts. Send the text itself in 'instructions' and 'input'.",
}
LOGPROBS = "message.output_text.logprobs"


def refuse_unsupported(value: Mapping[str, Any], account: Objections) -> None:
    """Refuse a member without which the answer would be another one.

    Args:
        account: Refuses what names something that an upstream keeps.

    Raises:
        UnsupportedOperation: For the first of them.
    """
    if value.get("background"):
        raise UnsupportedOperation("Responses are made at once here, none in the background.", param="background")
    for member, message in _KEPT.items():
        if value.get(member) is not None:
            account.refuse(UnsupportedOperation(message, param=member))


def chat_members(value: Mapping[str, Any]) -> dict[str, Any]:
    """The members of the chat request, without messages and tools."""
    members = {member: value[member] for member in _SAME if value.get(member) is not None}
    if value.get("stream"):
        members["stream_options"] = {"include_usage": True}
    if (bound := value.get("max_output_tokens")) is not None:
        members["max_completion_tokens"] = bound
    if effort := (value.get("reasoning") or {}).get("effort"):
        members["reasoning_effort"] = effort
    text = value.get("text") or {}
    if verbosity := text.get("verbosity"):
        members["verbosity"] = verbosity
    if (wanted := _format(text.get("format") or {})) is not None:
        members["response_format"] = wanted
    if wants_logprobs(value):
        members["logprobs"] = True
        if (count := value.get("top_logprobs")) is not None:
            members["top_logprobs"] = count
    return members


def wants_logprobs(value: Mapping[str, Any]) -> bool:
    """Whether the client wants the probabilities of tokens."""
    return bool(value.get("top_logprobs")) or LOGPROBS in (value.get("include") or ())


def ignored_members(value: Mapping[str, Any]) -> list[str]:
    """Warnings for the members that a translation leaves out."""
    unknown = [member for member, given in value.items() if given is not None and member not in _KNOWN]
    return [ignored(member) for member in unknown if (member, value[member]) != ("truncation", "disabled")]


def _format(wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    match wanted.get("type"):
        case "json_schema":
            given = ("name", "description", "schema", "strict")
            schema = {member: wanted[member] for member in given if wanted.get(member) is not None}
            return {"type": "json_schema", "json_schema": schema}
        case "json_object":
            return {"type": "json_object"}
    return None  # `text` is what models write anyway

"""What an upstream that speaks Responses is sent: what its client wrote, without what only we read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...wire import Document
from ...wire.members import splice, without
from ..base import ignored
from .references import COMPLETE, Conversed, Recorded
from .seal import MARK

# https://platform.openai.com/docs/api-reference/responses/create, as of November 2026. `previous_response_id` becomes
# the items that it stands for, and `store` is false: what a caller may refer to is kept here, and never in an account
# that callers share.
PASSING: Final = frozenset(
    """
    model input instructions stream stream_options max_output_tokens max_tool_calls temperature top_p top_logprobs tools
    tool_choice parallel_tool_calls text reasoning include metadata user safety_identifier service_tier prompt_cache_key
    prompt_cache_options prompt_cache_retention truncation context_management moderation client_metadata
    access_programs background
    """.split()  # noqa: SIM905 -- as a list it takes a screen
)
_RESOLVED: Final = ("store", "previous_response_id")

_OWNED: Final = PASSING | {"store", "previous_response_id", "conversation", "prompt"}

OWN_TOOLS: Final = ("function", "custom")  # which the client runs
_HOSTED: Final = re.compile(
    r"(web_search(_preview)?(_\d{4}_\d\d_\d\d)?|image_generation|code_interpreter|local_shell|shell|apply_patch"
    r"|computer(_use_preview)?|tool_search)"
)
_NAMES_WHAT_IS_KEPT: Final = re.compile(r".*_ids?|.*url|authorization|headers|skills")

_RESULTS: Final = frozenset(
    ("computer_call_output", "local_shell_call_output", "shell_call_output", "apply_patch_call_output")
)


def forwarded(written: Document, conversation: Conversed, recorded: Recorded) -> tuple[Document, list[str]]:
    """The request for such an upstream, and words for what it lacks.

    Args:
        conversation: The items that the request consists of.
        recorded: Items that the caller was answered with, by their ids.
    """
    value = written.value
    out = [name for name in value if name not in PASSING and (name != "store" or value[name] is not False)]
    warnings = [ignored(name) for name in out if name not in _RESOLVED and value[name] is not None]
    changes: dict[str, Any] = {"store": False} if value.get("store") is not False else {}
    given = value["input"]
    if isinstance(given, list) or conversation.earlier:
        items = _items([*conversation.earlier, *conversation.own], _known(conversation, recorded), warnings)
        if items != given:
            changes["input"] = items
    tools = value.get("tools")
    if tools and (kept := _tools(tools, warnings)) != tools:
        changes["tools"] = kept
    return _changed(written, frozenset(out), changes), warnings


def forwarded_to_owner(written: Document, conversation: Conversed, recorded: Recorded) -> tuple[Document, list[str]]:
    """The same for an account of the caller's own: with whatever it names there.

    What this gateway keeps stands in the place of what refers to it.
    """
    value = written.value
    out = {name for name in value if name not in _OWNED}
    warnings = [ignored(name) for name in value if name in out and value[name] is not None]
    if conversation.ancestors:
        out.add("previous_response_id")
    changes: dict[str, Any] = {}
    given = value["input"]
    if isinstance(given, list) or conversation.earlier:
        items = _items(conversation.earlier, _known(conversation, recorded), warnings)
        items += [item for item in conversation.own if not _is_sealed_here(item)]
        if items != given:
            changes["input"] = items
    return _changed(written, frozenset(out), changes), warnings


def is_hosted(kind: str) -> bool:
    """Whether tools of this type run at an upstream, and need nothing that it keeps or would call."""
    return _HOSTED.fullmatch(kind) is not None


def _known(conversation: Conversed, recorded: Recorded) -> Recorded:
    return {**recorded, **{item["id"]: item for item in conversation.earlier if item.get("id")}}


def _changed(written: Document, gone: frozenset[str], changes: Mapping[str, Any]) -> Document:
    """The document without some of its members, and with others changed."""
    if not (gone or changes):
        return written
    rest = {name: member for name, member in written.value.items() if name not in gone}
    data = without(written.data, gone) if gone else written.data
    return Document({**rest, **changes}, splice(data, rest, changes))


def _items(items: Sequence[dict[str, Any]], recorded: Recorded, warnings: list[str]) -> list[dict[str, Any]]:
    """The items without ids, unless what has one is exactly what the caller was answered with."""
    kept = []
    for item in items:
        kind = item.get("type") or "message"
        if kind == "reasoning":
            if not _is_readable(item):
                continue  # another model's, or a name for what an upstream keeps
        elif kind not in COMPLETE and (kind not in _RESULTS or _names_what_is_kept(item)):
            if (answered := recorded.get(item.get("id", ""))) is not None:
                kept.append(dict(answered))
            else:
                warnings.append(ignored(f"item_{kind}"))
            continue
        kept.append({name: member for name, member in item.items() if name != "id"} if "id" in item else item)
    return kept


def _is_readable(item: Mapping[str, Any]) -> bool:
    return bool(item.get("content") or item.get("encrypted_content")) and not _is_sealed_here(item)


def _is_sealed_here(item: Mapping[str, Any]) -> bool:
    return item.get("type") == "reasoning" and str(item.get("encrypted_content") or "").startswith(MARK)


def _tools(tools: Sequence[dict[str, Any]], warnings: list[str]) -> list[dict[str, Any]]:
    """The tools that run at the client, or at the upstream without anything that it keeps or would call."""
    kept = []
    for tool in tools:
        kind = tool["type"]
        if kind == "namespace":
            kept.append({**tool, "tools": _tools(tool["tools"], warnings)})
        elif kind in OWN_TOOLS or (is_hosted(kind) and not _names_what_is_kept(tool)):
            kept.append(tool)
        else:
            warnings.append(ignored(f"tool_{kind}"))
    return kept


def _names_what_is_kept(value: object) -> bool:
    if isinstance(value, Mapping):
        return isinstance(value.get("container"), str) or any(
            (name != "call_id" and _NAMES_WHAT_IS_KEPT.fullmatch(name) and inner and not _is_data(inner))
            or _names_what_is_kept(inner)
            for name, inner in value.items()
        )
    return isinstance(value, list) and any(map(_names_what_is_kept, value))


def _is_data(value: object) -> bool:
    return isinstance(value, str) and value.startswith("data:")

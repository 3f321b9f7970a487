"""What an upstream that speaks the Messages API is sent: what its client wrote, without what only we read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ...wire import Document
from ...wire.members import without
from ..base import ignored
from .blocks import SIGNATURE

_EMPTY: dict[str, Any] = {"content": ""}
_THOUGHTS = ("thinking", "redacted_thinking")

# https://docs.claude.com/en/api/messages, as of November 2026. `container` and `mcp_servers` are missing: one names
# what another caller of the account may have made, the other makes the upstream ask addresses that a client chose.
PASSING = frozenset(
    """
    model messages system max_tokens stream temperature top_p top_k stop_sequences tools tool_choice thinking
    output_config output_format metadata service_tier cache_control context_management speed betas diagnostics
    inference_geo
    """.split()  # noqa: SIM905 -- as a list it takes a screen
)


# What an account of the caller's own is sent besides.
OWNED = PASSING | {"container", "mcp_servers"}


def forwarded(
    document: Document, passing: Collection[str] = PASSING, *, leave_out: Collection[str] = ()
) -> tuple[Document, list[str]]:
    """The request for such an upstream, and words for what it lacks.

    Its bytes are the client's but for members that do not pass, thinking that no Claude has signed, and a wish to think
    that Claude would refuse after it.

    Args:
        passing: Members that pass.
        leave_out: Members that do not pass either, without a word.
    """
    value = document.value
    out = [name for name in value if name not in passing or name in leave_out]
    warnings = [ignored(name) for name in out if name not in leave_out and value[name] is not None]
    if gone := frozenset(out):
        value = {name: member for name, member in value.items() if name not in gone}
        document = Document(value, without(document.data, gone))
    if b"thinking" not in document.data:
        return document, warnings
    turns = _signed(value["messages"])
    changed = turns != value["messages"]
    if changed:
        value = {**value, "messages": turns}
    if (value.get("thinking") or {}).get("type") == "enabled" and _calls_without_thinking(turns):
        value = {name: member for name, member in value.items() if name != "thinking"}
        warnings.append(ignored("thinking"))
        changed = True
    return (Document(value) if changed else document), warnings


def _signed(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation without thinking of other models, which this gateway has marked, or nobody has signed."""
    kept = []
    for turn in turns:
        if isinstance(blocks := turn["content"], list) and any(map(_is_unsigned, blocks)):
            blocks = [block for block in blocks if not _is_unsigned(block)]
            if not blocks:
                continue
            turn = {**turn, "content": blocks}
        kept.append(turn)
    return kept


def _is_unsigned(block: dict[str, Any]) -> bool:
    return block["type"] == "thinking" and block.get("signature") in (SIGNATURE, "", None)


def _calls_without_thinking(turns: list[dict[str, Any]]) -> bool:
    """Whether the last turn brings results of calls that another model made: Claude goes on thinking or begins anew."""
    called, told = (
        [] if isinstance(turn["content"], str) else turn["content"] for turn in [_EMPTY, _EMPTY, *turns][-2:]
    )
    results = any(block["type"] == "tool_result" for block in told)
    return results and bool(called) and called[0]["type"] not in _THOUGHTS

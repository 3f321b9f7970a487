"""What Anthropic's Messages API refuses, in its words: https://docs.claude.com/en/api/messages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MEMBERS = {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"}
_SENT = _MEMBERS | {
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
}
_NEW = {"context_management", "speed", "diagnostics"}
_BLOCKS: dict[str, dict[str, set[str]]] = {
    "user": {
        "text": {"text"},
        "image": {"source"},
        "document": {"source", "title"},
        "tool_result": {"tool_use_id", "content", "is_error"},
    },
    "assistant": {
        "text": {"text"},
        "tool_use": {"id", "name", "input"},
        "thinking": {"thinking", "signature"},
        "redacted_thinking": {"data"},
    },
}
_SOURCES = {
    "base64": {"type", "media_type", "data"},
    "url": {"type", "url"},
    "text": {"type", "media_type", "data"},
}
_PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
_THINKING = ("thinking", "redacted_thinking")


class RuleBroken(Exception):
    """A request that is answered with 400."""


def sign(thinking: str) -> str:
    """The signature of a thinking block."""
    return hashlib.sha256(thinking.encode()).hexdigest()[:16]


def check(request: dict[str, Any], *, counting: bool = False, beta: bool = False) -> None:
    """Raise RuleBroken for a request that is not as it must be.

    Args:
        counting: It asks for a count of its tokens.
        beta: It came with `anthropic-beta`, which allows members that are new, and instructions between the turns.
    """
    if beta:
        request = {**request, "messages": [turn for turn in request["messages"] if turn.get("role") != "system"]}
    for name in request.keys() - (_MEMBERS if counting else _SENT) - (_NEW if beta else set()):
        raise RuleBroken(f"{name}: Extra inputs are not permitted")
    _need(isinstance(request.get("model"), str) and bool(request["model"]), "model: Field required")
    if not counting:
        limit = request.get("max_tokens")
        _need(type(limit) is int and limit >= 1, "max_tokens: Field required")
        _sampling(request)
    _system(request.get("system"))
    _tools(request)
    _turns(request["messages"])
    _calls(request)
    _thinking(request)
    _cache(request)
    if (wanted := (request.get("output_config") or {}).get("format")) is not None:
        _closed(wanted["schema"], "output_config.format.schema")


def _need(holds: bool, message: str) -> None:
    if not holds:
        raise RuleBroken(message)


def _sampling(request: dict[str, Any]) -> None:
    for name in ("temperature", "top_p"):
        _need(0 <= request.get(name, 0) <= 1, f"{name}: range: 0..1")
    _need(not {"temperature", "top_p"} <= request.keys(), "`temperature` and `top_p` cannot both be specified")
    for stop in request.get("stop_sequences", ()):
        _need(bool(stop.strip()), "stop_sequences: each stop sequence must contain non-whitespace")
    user = request.get("metadata", {}).get("user_id", "")
    _need("@" not in user and len(user) <= 256, "metadata.user_id: user_id appears to contain an email address")


def _system(system: Any) -> None:
    match system:
        case None:
            pass
        case str(text):
            _need(bool(text.strip()), "system: text content blocks must be non-empty")
        case [*blocks]:
            _blocks({"text": {"text"}}, blocks, "system")
        case _:
            raise RuleBroken("system: Input should be a valid list")


def _tools(request: dict[str, Any]) -> None:
    tools, choice = request.get("tools", []), request.get("tool_choice")
    names = [tool["name"] for tool in tools]
    _need(len(set(names)) == len(names), "tools: Tool names must be unique.")
    for place, tool in enumerate(tools):
        where = f"tools.{place}.custom"
        for name in tool.keys() - {"name", "description", "input_schema", "strict", "cache_control"}:
            raise RuleBroken(f"{where}.{name}: Extra inputs are not permitted")
        _need(
            bool(_NAME.fullmatch(tool["name"])), f"{where}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"
        )
        _need(tool["input_schema"].get("type") == "object", f"{where}.input_schema.type: Field required")
        if tool.get("strict"):
            _closed(tool["input_schema"], f"{where}.input_schema")
    if choice is not None:
        _need(bool(tools), "tool_choice may only be specified while providing tools")
        allowed = {"auto": set(), "any": set(), "none": set(), "tool": {"name"}}[choice["type"]]
        if choice["type"] != "none":
            allowed = allowed | {"disable_parallel_tool_use"}
        for name in choice.keys() - allowed - {"type"}:
            raise RuleBroken(f"tool_choice.{choice['type']}.{name}: Extra inputs are not permitted")
        if choice["type"] == "tool":
            _need(choice["name"] in names, f"Tool '{choice['name']}' not found in provided tools")


def _turns(turns: Sequence[dict[str, Any]]) -> None:
    _need(bool(turns), "messages: at least one message is required")
    for place, turn in enumerate(turns):
        role, where = turn.get("role"), f"messages.{place}"
        wanted = ("user", "assistant")[place % 2]
        _need(role == wanted, f'messages: roles must alternate between "user" and "assistant", but found "{role}"')
        content = turn["content"]
        if isinstance(content, str):
            _need(bool(content.strip()), f"{where}: {role} messages must have non-empty content")
            content = [{"type": "text", "text": content}]
        _need(bool(content), f"{where}: {role} messages must have non-empty content")
        _blocks(_BLOCKS[wanted], content, where)
    if turns[-1]["role"] == "assistant":
        last = turns[-1]["content"]
        text = last if isinstance(last, str) else last[-1].get("text", "")
        _need(text == text.rstrip(), "messages: final assistant content cannot end with trailing whitespace")


def _blocks(known: dict[str, set[str]], blocks: Sequence[dict[str, Any]], where: str) -> None:
    for place, block in enumerate(blocks):
        at, kind = f"{where}.content.{place}", block["type"]
        _need(kind in known, f"{at}: Input tag '{kind}' is not allowed here")
        for name in block.keys() - known[kind] - {"type", "cache_control"}:
            raise RuleBroken(f"{at}.{kind}.{name}: Extra inputs are not permitted")
        match block:
            case {"type": "text", "text": text}:
                _need(bool(text.strip()), f"{at}: text content blocks must contain non-whitespace text")
            case {"type": "image" | "document", "source": source}:
                _source(kind, source, at)
            case {"type": "thinking", "thinking": text, "signature": signature}:
                _need(signature == sign(text), f"{at}: Invalid `signature` in `thinking` block")
            case {"type": "tool_result", "content": [*inner]}:
                _blocks({"text": {"text"}, "image": {"source"}, "document": {"source", "title"}}, inner, at)
            case {"type": "tool_use"}:
                _need(isinstance(block["input"], dict), f"{at}.tool_use.input: Input should be a valid dictionary")


def _source(kind: str, source: dict[str, Any], at: str) -> None:
    _need(source.keys() == _SOURCES.get(source["type"]), f"{at}.{kind}.source: another shape")
    if source["type"] == "base64":
        known = _PICTURES if kind == "image" else {"application/pdf"}
        _need(source["media_type"] in known, f"{at}.{kind}.source.base64.media_type: Input should be one of {known}")
    if source["type"] == "url":
        _need(source["url"].startswith("http"), f"{at}.{kind}.source.url.url: Only HTTPS URLs are supported.")


def _of_type(turn: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [block for block in turn["content"] if block["type"] == kind] if isinstance(turn["content"], list) else []


def _calls(request: dict[str, Any]) -> None:
    turns, used = request["messages"], set()
    for place, turn in enumerate(turns):
        for call in _of_type(turn, "tool_use"):
            _need(bool(_ID.fullmatch(call["id"])), f"messages.{place}: String should match pattern '^[a-zA-Z0-9_-]+$'")
            _need(bool(_NAME.fullmatch(call["name"])), f"messages.{place}: tool_use.name: another pattern")
            _need(call["id"] not in used, f"messages.{place}: `tool_use` ids must be unique")
            used.add(call["id"])
        calls = [call["id"] for call in _of_type(turns[place - 1], "tool_use")] if place else []
        results = [block["tool_use_id"] for block in _of_type(turn, "tool_result")]
        if extra := set(results) - set(calls):
            raise RuleBroken(f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {extra}")
        first = [block.get("tool_use_id") for block in turn["content"][: len(calls)]] if calls else []
        _need(
            sorted(map(str, first)) == sorted(calls) and len(results) == len(calls),
            f"messages.{place - 1}: `tool_use` ids were found without `tool_result` blocks immediately after",
        )
    _need(not _of_type(turns[-1], "tool_use"), "messages: `tool_use` ids were found without `tool_result` blocks")
    _need(not used or bool(request.get("tools")), "Requests which include `tool_use` blocks must define tools")


def _thinking(request: dict[str, Any]) -> None:
    thinking = request.get("thinking") or {"type": "disabled"}
    if thinking["type"] == "disabled":
        return
    _need(request.get("temperature", 1) == 1, "`temperature` may only be set to 1 when thinking is enabled")
    _need("top_k" not in request, "`top_k` must be unset when thinking is enabled")
    forced = (request.get("tool_choice") or {}).get("type") in ("any", "tool")
    _need(not forced, "Thinking may not be enabled when tool_choice forces tool use.")
    if thinking["type"] == "enabled":
        _need(thinking["budget_tokens"] >= 1024, "thinking.enabled.budget_tokens: greater than or equal to 1024")
        _need(
            request.get("max_tokens", 1 << 20) > thinking["budget_tokens"],
            "`max_tokens` must be greater than `budget_tokens`",
        )
        if _of_type(request["messages"][-1], "tool_result"):
            first = request["messages"][-2]["content"][0]["type"]
            _need(first in _THINKING, f"Expected `thinking` or `redacted_thinking`, but found `{first}`")


def _cache(request: dict[str, Any]) -> None:
    _need(len([*marked(request)]) <= 4, "A maximum of 4 blocks with cache_control may be provided.")


def marked(value: object) -> Iterator[dict[str, Any]]:
    """All blocks with `cache_control`."""
    if isinstance(value, dict):
        if "cache_control" in value:
            yield value
        for inner in value.values():
            yield from marked(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from marked(inner)


def _closed(schema: dict[str, Any], where: str) -> None:
    if schema.get("type") == "object":
        told = schema.get("additionalProperties")
        _need(told is False, f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    for name, inner in schema.get("properties", {}).items():
        _closed(inner, f"{where}.{name}")
    if isinstance(items := schema.get("items"), dict):
        _closed(items, f"{where}.items")

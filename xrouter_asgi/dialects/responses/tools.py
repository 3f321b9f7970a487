"""Tools: from the flat and nested ones of Responses to functions of chat, and the way back.

Clients find a tool by its namespace and its name, so each call of an answer must name both as the client did.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from ...errors import InvalidRequest, UnsupportedOperation
from ...wire.codec import decode, encode
from ..base import Objections, ignored
from .forwarded import OWN_TOOLS, is_hosted

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OTHER = re.compile(r"[^A-Za-z0-9_-]")
_INPUT = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


class ToolName(NamedTuple):
    """How a client names a tool."""

    name: str
    namespace: str | None = None
    custom: bool = False


class ToolNames:
    """The names of one request's tools: what the client calls them, and what the upstream does."""

    def __init__(self) -> None:
        self._flat: dict[ToolName, str] = {}
        self._tools: dict[str, ToolName] = {}

    def flat(self, tool: ToolName) -> str:
        """The name for the upstream: 1 to 64 of `A-Z a-z 0-9 _ -`, and of no other tool."""
        flat = self._flat.get(tool)
        if flat is None:
            flat = tool.name if tool.namespace is None else f"{tool.namespace}__{tool.name}"
            if not _NAME.fullmatch(flat) or flat in self._tools:
                digest = blake2b(repr(tool).encode("utf-8"), digest_size=4).hexdigest()
                flat = f"{_OTHER.sub('_', flat)[:55]}_{digest}"
            self._flat[tool] = flat
            self._tools[flat] = tool
        return flat

    def back(self, flat: str) -> ToolName:
        """The tool that the upstream calls; one that nobody knows is a function of that name."""
        return self._tools.get(flat) or ToolName(flat)

    def __contains__(self, tool: ToolName) -> bool:
        return tool in self._flat


def named(value: Mapping[str, Any], *, custom: bool) -> ToolName:
    """The name in a tool, a call or a choice."""
    return ToolName(value["name"], value.get("namespace"), custom)


def custom_arguments(text: str) -> str:
    """The arguments of the function that stands for a custom tool."""
    return encode({"input": text}).decode("utf-8")


def custom_input(arguments: str) -> str:
    """The free text in these arguments; the arguments as they are if there is none in them."""
    try:
        value = decode(arguments.encode("utf-8", "surrogatepass"))
    except ValueError:
        return arguments
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


def chat_tools(
    value: Mapping[str, Any], names: ToolNames, warnings: list[str], *, native: Objections, account: Objections
) -> dict[str, Any]:
    """The members `tools`, `tool_choice` and `parallel_tool_calls` of the chat request.

    None of them without a tool, because chat APIs refuse the two others alone.

    Args:
        native: Refuses a choice of tools that upstreams run.
        account: Refuses a choice of those that need what an upstream keeps, or would call.

    Raises:
        InvalidRequest: `tool_choice` wants a tool that is not there.
    """
    tools = list(_functions(value.get("tools") or (), names, warnings))
    choice = value.get("tool_choice")
    if choice is None or isinstance(choice, str):
        pass
    elif hosted := _hosted_choice(choice):
        (native if is_hosted(hosted) else account).refuse(_not_run_here(hosted))
        choice = None
    else:
        choice = _choice(choice, names)
    if not tools:
        return {}
    members: dict[str, Any] = {"tools": tools}
    if choice is not None:
        members["tool_choice"] = choice
    if value.get("parallel_tool_calls") is not None:
        members["parallel_tool_calls"] = value["parallel_tool_calls"]
    return members


def _functions(tools: Iterable[dict[str, Any]], names: ToolNames, warnings: list[str]) -> Iterable[dict[str, Any]]:
    for tool in tools:
        if tool["type"] != "namespace":
            nested, namespace, described = [tool], None, None
        else:
            nested, namespace, described = tool["tools"], tool["name"], tool.get("description")
        for each in nested:
            if each["type"] not in OWN_TOOLS:
                warnings.append(ignored(f"tool_{each['type']}"))
                continue
            name = names.flat(ToolName(each["name"], namespace, each["type"] == "custom"))
            function = _custom(each) if each["type"] == "custom" else _function(each)
            if described:
                function["description"] = "\n\n".join(filter(None, (described, function.get("description"))))
                described = None
            yield {"type": "function", "function": {"name": name, **function}}


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {member: tool[member] for member in ("description", "parameters", "strict") if tool.get(member) is not None}


def _custom(tool: Mapping[str, Any]) -> dict[str, Any]:
    texts = [tool.get("description")]
    wanted = tool.get("format") or {}
    if wanted.get("definition"):
        syntax = " ".join(filter(None, (wanted.get("syntax"), "grammar")))
        texts.append(f"The input must match this {syntax}:\n{wanted['definition']}")
    described = "\n\n".join(filter(None, texts))
    return {**({"description": described} if described else {}), "parameters": _INPUT}


def _hosted_choice(choice: Mapping[str, Any]) -> str | None:
    """The type of tool that has to be used, if none does that runs at the client."""
    kinds = (
        [tool["type"] for tool in choice.get("tools") or ()] if choice["type"] == "allowed_tools" else [choice["type"]]
    )
    return None if not kinds or any(kind in OWN_TOOLS for kind in kinds) else str(kinds[0])


def _choice(choice: Mapping[str, Any], names: ToolNames) -> dict[str, Any]:
    if choice["type"] == "allowed_tools":
        tools = [
            _chosen(tool, names)
            for tool in choice.get("tools") or ()
            if tool["type"] in OWN_TOOLS  # others are not offered to the model at all
        ]
        if not tools:
            raise _not_there("'tool_choice' allows no tool.")
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode") or "auto", "tools": tools}}
    return _chosen(choice, names)


def _not_run_here(kind: str) -> InvalidRequest:
    why = (
        "which only an upstream that speaks Responses runs. Take a model that has one."
        if is_hosted(kind)
        else "which this gateway has no upstream run: it would reach for what the account keeps, or out of it."
    )
    message = f"'tool_choice' wants a tool of the type {kind[:64]!r}, {why}"
    return UnsupportedOperation(message, code="unsupported_value", param="tool_choice", falls_back=True)


def _chosen(tool: Mapping[str, Any], names: ToolNames) -> dict[str, Any]:
    if not tool.get("name"):
        message = "Missing required parameter: 'tool_choice.name'."
        raise InvalidRequest(message, code="missing_required_parameter", param="tool_choice.name")
    name = named(tool, custom=tool["type"] == "custom")
    if name not in names:
        raise _not_there(f"'tool_choice' names {name.name[:64]!r}, which is not in 'tools'.")
    return {"type": "function", "function": {"name": names.flat(name)}}


def _not_there(message: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_value", param="tool_choice")

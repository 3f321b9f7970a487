"""`tools` and `tool_choice` -> those of the Messages API."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ...wire import ChatRequest
from ...wire.chat import Function, FunctionTool, NamedFunction, ToolChoice
from .diagnostics import invalid, unsupported, unsupported_value
from .names import Aliases
from .schema import closed

_MODES = {"none": "none", "auto": "auto", "required": "any"}
_CHOICE = "tool_choice"


def declared(request: ChatRequest) -> list[Function]:
    """The functions that a client offers.

    Raises:
        UnsupportedOperation: A tool is no function, or there are `functions`.
        InvalidRequest: There are two functions of one name.
    """
    for name in ("functions", "function_call"):
        if getattr(request, name) is not None:
            raise unsupported(name, "The Messages API has tools, not functions. Use 'tools' and 'tool_choice'.")
    found: dict[str, Function] = {}
    for index, tool in enumerate(request.tools or ()):
        if not isinstance(tool, FunctionTool):
            reason = f"the Messages API does not know tools of type '{tool.type[:64]}'"
            raise unsupported_value(f"tools[{index}].type", reason)
        if tool.function.name in found:
            raise invalid(f"tools[{index}].function.name", f"there are two of the name '{tool.function.name[:64]}'")
        found[tool.function.name] = tool.function
    return list(found.values())


def tools_of(request: ChatRequest, functions: Sequence[Function], called: Collection[str]) -> dict[str, Any]:
    """Members of the body.

    Args:
        functions: See `declared`.
        called: The upstream's names of tools in the conversation. If the client offers none, these are offered, and the
            model must not call them: the API refuses calls in a conversation without tools.

    Raises:
        InvalidRequest: The choice is not among the functions.
        UnsupportedOperation: The choice is of an unknown kind.
    """
    choice, allowed = _chosen(request, [function.name for function in functions])
    offered = [_tool(function) for function in functions if function.name in allowed]
    if not offered and called:
        offered = [{"name": name, "input_schema": {"type": "object"}} for name in called]
        choice = {"type": "none"}
    if not offered:
        return {}
    if request.parallel_tool_calls is False and choice is None:
        choice = {"type": "auto"}
    if request.parallel_tool_calls is False and choice != {"type": "none"}:
        choice = {**(choice or {}), "disable_parallel_tool_use": True}
    return {"tools": offered, **({"tool_choice": choice} if choice else {})}


def _tool(function: Function) -> dict[str, Any]:
    schema = {"type": "object", **(function.parameters or {"properties": {}})}
    tool: dict[str, Any] = {"name": Aliases.to_upstream(function.name)}
    if function.description:
        tool["description"] = function.description
    tool["input_schema"] = closed(schema) if function.strict else schema
    if function.strict:
        tool["strict"] = True
    if isinstance(mark := (function.model_extra or {}).get("cache_control"), dict):
        tool["cache_control"] = mark
    return tool


def _chosen(request: ChatRequest, known: Sequence[str]) -> tuple[dict[str, Any] | None, Collection[str]]:
    """The choice, and the names to choose from."""
    match request.tool_choice:
        case None:
            return None, known
        case "required" if not known:
            raise invalid(_CHOICE, "'required' needs 'tools'")
        case str(mode):
            return {"type": _MODES[mode]}, known
        case ToolChoice(type="function", function=NamedFunction(name=name)):
            return {"type": "tool", "name": Aliases.to_upstream(_among(known, name, _CHOICE))}, known
        case ToolChoice(type="allowed_tools") as choice:
            return _allowed(choice, known)
        case choice:
            raise unsupported_value(f"{_CHOICE}.type", f"the Messages API cannot choose by '{choice.type[:64]}'")


def _allowed(choice: ToolChoice, known: Sequence[str]) -> tuple[dict[str, Any], Collection[str]]:
    match choice.model_extra:
        case {"allowed_tools": {"mode": "auto" | "required" as mode, "tools": [_, *_] as tools}}:
            pass
        case _:
            reason = "expected an object with 'mode', 'auto' or 'required', and 'tools', an array"
            raise invalid(f"{_CHOICE}.allowed_tools", reason)
    names = []
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        names.append(_among(known, name, f"{_CHOICE}.allowed_tools.tools[{index}]"))
    return {"type": _MODES[mode]}, names


def _among(known: Sequence[str], name: object, param: str) -> str:
    if not isinstance(name, str) or name not in known:
        shown = f"'{name[:64]}' is" if isinstance(name, str) else "it names"
        raise invalid(param, f"{shown} none of the functions of this request")
    return name

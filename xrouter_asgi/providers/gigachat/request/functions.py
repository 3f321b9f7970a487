"""`tools` and `tool_choice`, and their predecessors `functions` and `function_call` -> GigaChat's functions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ....wire import ChatRequest
from ....wire.chat import Function, FunctionTool, NamedFunction, ToolChoice
from .diagnostics import Warnings, invalid, missing, unsupported_value
from .json_refs import Budget
from .json_schema import normalised

# Names of functions. GigaChat's own error text allows Latin letters, digits, `_`, `-` and `.`; its documentation
# allows less. The subset here is safe under both.
MAX_NAME = 64

# GigaChat's built-in functions: a client's own function of that name would start the built-in one.
RESERVED = frozenset({"text2image", "text2model3d", "web_search"})

_SAFE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_]")

_REQUIRED_HINT = "Do not answer in words now: call one of the functions."


class FunctionNames:
    """A reversible table of the names in one request: clients choose them more freely than GigaChat takes them.

    An alias depends on the name alone, except where two would collide, so that the same tools give the same prompt in
    every turn and GigaChat's cache of prompt prefixes stays useful. The tools' names come first, then the history's.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        unique = list(dict.fromkeys(names))
        self._to_gigachat = {name: name for name in unique if _SAFE.fullmatch(name) and name not in RESERVED}
        taken = set(self._to_gigachat)
        for name in unique:
            if name not in self._to_gigachat:
                alias = _alias(name)
                if alias in taken:
                    alias = _with_hash(alias, name)
                self._to_gigachat[name] = alias
                taken.add(alias)
        self._to_client = {alias: name for name, alias in self._to_gigachat.items()}

    def to_gigachat(self, name: str) -> str:
        """The name that GigaChat knows. `name` must be in the table."""
        return self._to_gigachat[name]

    def to_client(self, alias: str) -> str:
        """The client's own name. A name that GigaChat made up stays as it is."""
        return self._to_client.get(alias, alias)


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions of one request, as GigaChat takes them."""

    specifications: list[dict[str, Any]]  # the body's `functions`
    call: str | dict[str, str] | None = None  # the body's `function_call`
    hint: str = ""  # for the system message, because GigaChat has no parameter for it


def declared(request: ChatRequest) -> list[tuple[str, Function]]:
    """The functions that a client offers, each with its place in the request.

    Raises:
        UnsupportedOperation: A tool is no function.
        InvalidRequest: There are two functions of one name, or both `tools` and `functions`.
    """
    found: list[tuple[str, Function]] = []
    for index, tool in enumerate(request.tools or ()):
        if not isinstance(tool, FunctionTool):
            raise unsupported_value(f"tools[{index}].type", f"GigaChat does not know tools of type '{tool.type[:64]}'")
        found.append((f"tools[{index}].function", tool.function))
    if found and request.functions:
        raise invalid("functions", "it replaces 'tools', so give one of them, not both")
    found += [(f"functions[{index}]", function) for index, function in enumerate(request.functions or ())]
    seen: set[str] = set()
    for param, function in found:
        if function.name in seen:
            raise invalid(f"{param}.name", f"there are two functions named '{function.name[:64]}'")
        seen.add(function.name)
    return found


def functions(
    request: ChatRequest,
    offered: Sequence[tuple[str, Function]],
    *,
    names: FunctionNames,
    warnings: Warnings,
    forced: bool,
) -> Functions:
    """Translate the functions that are `declared()`, and the choice among them. If `forced`, the only one is called.

    Raises:
        InvalidRequest: The choice is not among them, or a schema cannot be resolved.
        UnsupportedOperation: GigaChat cannot make this kind of choice.
    """
    if forced:
        ((param, only),) = offered
        return Functions(
            [specification(only, names, param=param, budget=Budget())], {"name": names.to_gigachat(only.name)}
        )
    mode, allowed = _choice(request, {function.name for _, function in offered})
    if not offered:
        return Functions([])
    budget = Budget()
    chosen = [specification(item, names, param=param, budget=budget) for param, item in offered if item.name in allowed]
    if isinstance(mode, NamedFunction):
        return Functions(chosen, {"name": names.to_gigachat(mode.name)})
    if mode != "required":
        return Functions(chosen, mode)
    if len(chosen) == 1:
        return Functions(chosen, {"name": chosen[0]["name"]})
    reason = "GigaChat can be made to call one function, not any of several"
    warnings.add("tool_choice_required_emulated", param="tool_choice", reason=reason)
    return Functions(chosen, "auto", _REQUIRED_HINT)


def specification(function: Function, names: FunctionNames, *, param: str, budget: Budget) -> dict[str, Any]:
    """One function. `few_shot_examples` and `return_parameters`, which only GigaChat knows, are passed on."""
    extra = function.model_extra or {}
    result: dict[str, Any] = {
        "name": names.to_gigachat(function.name),
        "description": function.description or function.name,
        "parameters": normalised(function.parameters, param=f"{param}.parameters", budget=budget),
    }
    if isinstance(examples := extra.get("few_shot_examples"), list):
        result["few_shot_examples"] = examples
    if isinstance(returned := extra.get("return_parameters"), dict):
        result["return_parameters"] = normalised(returned, param=f"{param}.return_parameters", budget=budget)
    return result


def _choice(request: ChatRequest, known: set[str]) -> tuple[str | NamedFunction, set[str]]:
    """The mode or the function to call, and the functions to choose from."""
    choice = request.tool_choice or request.function_call
    param = "tool_choice" if request.tool_choice else "function_call"
    match choice:
        case None:
            return "auto", known
        case NamedFunction(name=name):
            return NamedFunction(name=_among(known, name, param)), known
        case ToolChoice(type="function", function=NamedFunction(name=name)):
            return NamedFunction(name=_among(known, name, param)), known
        case ToolChoice(type="function"):
            raise missing("tool_choice.function")
        case ToolChoice(type="allowed_tools"):
            return _allowed(choice, known)
        case ToolChoice():
            raise unsupported_value("tool_choice.type", f"GigaChat cannot choose by '{choice.type[:64]}'")
    if choice == "required" and not known:
        raise invalid("tool_choice", "'required' needs 'tools'")
    return choice, known


def _allowed(choice: ToolChoice, known: set[str]) -> tuple[str, set[str]]:
    param = "tool_choice.allowed_tools"
    allowed = (choice.model_extra or {}).get("allowed_tools")
    tools = allowed.get("tools") if isinstance(allowed, dict) else None
    mode = allowed.get("mode", "auto") if isinstance(allowed, dict) else None
    if not isinstance(tools, list) or not tools or mode not in ("auto", "required"):
        raise invalid(param, "expected an object with 'mode', 'auto' or 'required', and 'tools', an array")
    names = set()
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        names.add(_among(known, name, f"{param}.tools[{index}]"))
    return mode, names


def _among(known: set[str], name: object, param: str) -> str:
    if not isinstance(name, str) or name not in known:
        shown = f"'{name[:64]}' is" if isinstance(name, str) else "it names"
        raise invalid(param, f"{shown} none of the functions of this request")
    return name


def _alias(name: str) -> str:
    alias = _ILLEGAL.sub("_", name)
    if not alias[:1].isalpha() or alias in RESERVED:
        alias = f"f_{alias}"
    return alias if len(alias) <= MAX_NAME else _with_hash(alias, name)


def _with_hash(alias: str, name: str) -> str:
    return f"{alias[: MAX_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"

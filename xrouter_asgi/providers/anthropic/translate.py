"""A chat request -> the body for `POST /messages`, the inverse of what `dialects/messages` does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...wire import ChatRequest
from .blocks import Block
from .diagnostics import each_once
from .names import Aliases
from .options import AnthropicOptions
from .parameters import parameters, shape
from .thinking import ThinkingPlan
from .tools import declared, tools_of
from .turns import Turns

_MARK = {"type": "ephemeral"}
_COUNTED = ("model", "system", "messages", "tools", "tool_choice", "thinking", "output_config")


@dataclass(frozen=True, slots=True)
class MessagesBody:
    """A request as the Messages API takes it.

    Attributes:
        warnings: What was left out, changed or emulated, as words such as `seed_ignored`.
        names: Tells the client's names of the tools that the answer calls.
    """

    body: dict[str, Any] = field(repr=False)
    warnings: list[str]
    names: Aliases

    @property
    def counted(self) -> dict[str, Any]:
        """What a count of its tokens is asked with."""
        return {name: self.body[name] for name in _COUNTED if name in self.body}


def translate(request: ChatRequest, *, model: str, options: AnthropicOptions) -> MessagesBody:
    """Translate a request for this model of the upstream.

    Raises:
        InvalidRequest: The upstream would refuse the request, because of `param`.
        UnsupportedOperation: The Messages API cannot do it.
    """
    warnings: list[str] = []
    functions = declared(request)
    conversation = Turns(request.messages, options, warnings)
    turns = conversation.read()
    tools = tools_of(request, functions, conversation.called)
    forced = tools.get("tool_choice", {}).get("type") in ("any", "tool")
    unsigned = conversation.loop_without_thinking
    thinking = ThinkingPlan(request, model, options, forced=forced, unsigned=unsigned, warnings=warnings)
    output, instructions = shape(request, warnings)
    if thinking.effort is not None:
        output["effort"] = thinking.effort
    body: dict[str, Any] = {"model": model, "max_tokens": thinking.limit}
    if system := [*conversation.system, *instructions]:
        body["system"] = system
    body |= {"messages": turns, **tools, **thinking.members}
    if output:
        body["output_config"] = output
    body |= parameters(request, thinks=thinking.thinks, warnings=warnings)
    _mark(body, auto=options.cache == "auto")
    return MessagesBody(body, each_once(warnings), Aliases(function.name for function in functions))


def _mark(body: dict[str, Any], *, auto: bool) -> None:
    """Mark what stays the same in every turn, unless the client has marked something; and join what has no mark."""
    system: list[Block] = body.get("system", [])
    tools: list[Block] = body.get("tools", [])
    if auto and not _is_marked(body):
        for last in (system[-1:], tools[-1:]):
            for block in last:
                block["cache_control"] = _MARK
    if system and not any("cache_control" in block for block in system):
        body["system"] = "\n\n".join(block["text"] for block in system)


def _is_marked(body: dict[str, Any]) -> bool:
    contents = [turn["content"] for turn in body["messages"] if isinstance(turn["content"], list)]
    blocks = [*body.get("system", ()), *body.get("tools", ()), *(block for content in contents for block in content)]
    return any("cache_control" in block for block in blocks)

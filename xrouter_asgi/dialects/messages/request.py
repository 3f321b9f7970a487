"""Requests to the Messages API, as requests for chat."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ...context import CostEstimate
from ...errors import UnsupportedOperation
from ...wire import ChatCompletion, ChatRequest, Document, Original
from ...wire.codec import decode, encode
from ...wire.messages import (
    AnyToolChoice,
    ClientTool,
    CountTokensRequest,
    MessagesRequest,
    OneToolChoice,
    ServerTool,
    ThinkingBudget,
    ThinkingMode,
)
from ..base import Headers, Objections, brings_credential, estimate_tokens, for_owner, ignored, prompt_bound, translated
from .blocks import chat_messages
from .forwarded import OWNED, forwarded
from .output import estimated_usage, whole_message
from .writer import MessagesWriter, NativeMessages

NAME = "messages"

_SESSION = b"x-claude-code-session-id"
# What Claude Code sends with every request, and what says nothing about a model that is not Anthropic's.
_MEANINGLESS = {"betas", "cache_control", "context_management", "diagnostics", "metadata", "service_tier", "speed"}
_NOT_COUNTED = MessagesRequest.model_fields.keys() - CountTokensRequest.model_fields.keys()
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_LONGEST_SESSION = 256  # characters
_STOPS = 4  # of chat
_EFFORTS = ((4_096, "low"), (16_384, "medium"))  # by the most tokens of thinking


@dataclass(slots=True)
class ParsedMessages:
    """A request to the Messages API, or to count its tokens."""

    conversation: ClassVar[None] = None
    answer_type: ClassVar[type[Document]] = ChatCompletion

    request: ChatRequest
    document: Document
    original: Original
    warnings: list[str]

    @classmethod
    def read(cls, value: dict[str, Any], body: bytes, headers: Headers) -> Self:
        """Validate the JSON object and translate it. Raises InvalidRequest."""
        return cls._translated(MessagesRequest.of(value), value, body, headers)

    @classmethod
    def read_to_count(cls, value: dict[str, Any], body: bytes, headers: Headers) -> Self:
        """The same for a request whose tokens are counted. Raises InvalidRequest."""
        asked = CountTokensRequest.of({name: given for name, given in value.items() if name not in _NOT_COUNTED})
        return cls._translated(asked, value, body, headers)

    @classmethod
    def _translated(cls, asked: CountTokensRequest, value: dict[str, Any], body: bytes, headers: Headers) -> Self:
        unknown = [name for name, given in (asked.model_extra or {}).items() if given is not None]
        warnings = [ignored(name) for name in unknown if name not in _MEANINGLESS]
        own_account = brings_credential(headers)
        account = Objections(noted=own_account)
        messages = chat_messages(asked, warnings, account)
        chat = {"model": asked.model, "messages": messages, **_tools(asked, warnings, account), **_thinking(asked)}
        if isinstance(asked, MessagesRequest):
            chat |= _sampling(asked, warnings)
        if (session := _session(value.get("metadata"), headers)) is not None:
            chat["prompt_cache_key"] = session
        written, document = Document(value, body), Document(chat)
        counted = () if isinstance(asked, MessagesRequest) else _NOT_COUNTED
        lacking = _choice_of_dropped(asked) or _too_many_stops(asked)
        original = Original(NAME, written, document, *forwarded(written, leave_out=counted), lacking)
        if own_account:
            original = for_owner(original, *forwarded(written, OWNED, leave_out=counted), account.first)
        return cls(translated(chat), document, original, [*dict.fromkeys(warnings)])

    def estimate(self) -> CostEstimate:
        """The size of the client's body, and its bound on the output."""
        prompt = prompt_bound(len(self.original.document.data))
        return CostEstimate(self.request.model, prompt, self.request.max_completion_tokens)

    def whole(self, answer: Document, /) -> bytes:
        """The answer as a message, which it may be already. Raises UpstreamError (`bad_body`) if it holds none."""
        if isinstance(answer, ChatCompletion) and answer.native is not None:
            return answer.native
        message = whole_message(answer, model=self.request.model)
        if message["usage"] is None:
            self.warnings.append("usage_estimated")
            message["usage"] = estimated_usage(estimate_tokens(self.document), len(encode(message["content"])))
        return encode(message)

    def writer(self) -> NativeMessages | None:
        """A writer if the request says `"stream": true`."""
        if not self.request.stream:
            return None
        return NativeMessages(MessagesWriter(self.request.model, prompt_tokens=lambda: estimate_tokens(self.document)))


def _sampling(asked: MessagesRequest, warnings: list[str]) -> dict[str, Any]:
    if asked.top_k is not None:
        warnings.append(ignored("top_k"))
    members: dict[str, Any] = {
        "max_completion_tokens": asked.max_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "stop": (asked.stop_sequences or [])[:_STOPS] or None,
    }
    if asked.stream:
        members |= {"stream": True, "stream_options": {"include_usage": True}}
    return {name: value for name, value in members.items() if value is not None}


def _thinking(asked: CountTokensRequest) -> dict[str, Any]:
    """How much to reason, and in which form to answer."""
    members: dict[str, Any] = {}
    config = asked.output_config
    match asked.thinking:
        case ThinkingMode(type="disabled"):
            pass
        case _ if config is not None and config.effort is not None:
            members["reasoning_effort"] = config.effort
        case ThinkingBudget(budget_tokens=budget):
            members["reasoning_effort"] = next((effort for most, effort in _EFFORTS if budget <= most), "high")
    if config is not None and config.format is not None:
        schema = {"name": "output", "schema": config.format.schema_, "strict": True}
        members["response_format"] = {"type": "json_schema", "json_schema": schema}
    return members


def _tools(asked: CountTokensRequest, warnings: list[str], account: Objections) -> dict[str, Any]:
    """The tools that the client runs, and which of them the model has to use. Upstreams refuse a choice of none."""
    if asked.mcp_servers:
        text = "MCP servers are not called from here. Call them yourself."
        account.refuse(UnsupportedOperation(text, param="mcp_servers"))
    if not asked.tools:
        return {}
    own = [tool for tool in asked.tools if isinstance(tool, ClientTool)]
    warnings += [ignored(f"tool_{tool.type}") for tool in asked.tools if isinstance(tool, ServerTool)]
    if not own:
        return {}
    return {"tools": [_function(tool) for tool in own], **({} if _choice_of_dropped(asked) else _choice(asked))}


def _function(tool: ClientTool) -> dict[str, Any]:
    members = {"description": tool.description, "parameters": tool.input_schema, "strict": tool.strict}
    told = {name: value for name, value in members.items() if value is not None}
    return {"type": "function", "function": {"name": tool.name, **told}}


def _choice_of_dropped(asked: CountTokensRequest) -> UnsupportedOperation | None:
    """What refuses the translation of a request whose model has to use a tool that is dropped."""
    tools = asked.tools or ()
    match asked.tool_choice:
        case OneToolChoice(name=name) if any(isinstance(tool, ServerTool) and name == tool.name for tool in tools):
            why = f"the tool '{name[:64]}' runs"
        case AnyToolChoice(type="any") if tools and not any(isinstance(tool, ClientTool) for tool in tools):
            why = "all of 'tools' run"
        case _:
            return None
    return UnsupportedOperation(
        f"Invalid value for 'tool_choice': {why} at upstreams that speak Anthropic's Messages only.",
        code="unsupported_value",
        param="tool_choice",
        falls_back=True,
    )


def _too_many_stops(asked: CountTokensRequest) -> UnsupportedOperation | None:
    """What refuses the translation of a request with more stop sequences than chat knows."""
    if not isinstance(asked, MessagesRequest) or len(asked.stop_sequences or ()) <= _STOPS:
        return None
    return UnsupportedOperation(
        f"Invalid value for 'stop_sequences': the upstream of this model takes {_STOPS} at most.",
        code="array_above_max_length",
        param="stop_sequences",
        falls_back=True,
    )


def _choice(asked: CountTokensRequest) -> dict[str, Any]:
    choice = asked.tool_choice
    if choice is None:
        return {}
    members: dict[str, Any] = {}
    if isinstance(choice, OneToolChoice):
        members["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    else:
        members["tool_choice"] = _CHOICES[choice.type]
    if choice.disable_parallel_tool_use:
        members["parallel_tool_calls"] = False
    return members


def _session(metadata: object, headers: Headers) -> str | None:
    """Which conversation this is: Claude Code says it in a header, and in the JSON text of `metadata.user_id`."""
    session: object = next((value.decode("latin-1") for name, value in headers if name == _SESSION), None)
    if session is None and isinstance(metadata, dict) and isinstance(user := metadata.get("user_id"), str):
        with suppress(ValueError):
            told = decode(user.encode())
            session = told.get("session_id") if isinstance(told, dict) else None
    return session if isinstance(session, str) and 0 < len(session) <= _LONGEST_SESSION else None

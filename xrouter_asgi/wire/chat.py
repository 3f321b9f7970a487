"""`POST /v1/chat/completions`: the request, with OpenAI's ranges (API description of August 2026)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from .chat_messages import Messages
from .validation import WireModel, by_member, by_type
from .values import Flag, Integer, LogitBias, ModelName, Name, Penalty, Seed, StopText, Text, unknown


class Function(WireModel):
    name: Name
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: Flag | None = None


class FunctionTool(WireModel):
    type: Literal["function"]
    function: Function


class OtherTool(WireModel):
    """A kind of tool only some upstreams know, such as `custom`."""

    type: Annotated[Name, unknown("function")]


Tool: TypeAlias = Annotated[
    Annotated[FunctionTool, Tag("<function>")] | Annotated[OtherTool, Tag("<other>")],
    Discriminator(by_member("type", {"function": "<function>"}, "<other>")),
]


class NamedFunction(WireModel):
    name: Name


class ToolChoice(WireModel):
    """`{"type": "function", "function": {"name": …}}`, or another object form such as `allowed_tools`."""

    type: Name
    function: NamedFunction | None = None


class JSONSchema(WireModel):
    name: Name
    description: Text | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: Flag | None = None


class JSONSchemaFormat(WireModel):
    type: Literal["json_schema"]
    json_schema: JSONSchema


class OtherFormat(WireModel):
    """`text`, `json_object`, or a format only some upstreams know."""

    type: Annotated[Name, unknown("json_schema")]


ResponseFormat: TypeAlias = Annotated[
    Annotated[JSONSchemaFormat, Tag("<json_schema>")] | Annotated[OtherFormat, Tag("<other>")],
    Discriminator(by_member("type", {"json_schema": "<json_schema>"}, "<other>")),
]


Stop: TypeAlias = Annotated[
    Annotated[StopText, Tag("<string>")]
    | Annotated[list[StopText], Field(min_length=1, max_length=4), Tag("<strings>")],
    Discriminator(by_type(str="<string>", list="<strings>")),
]


class StreamOptions(WireModel):
    include_usage: Flag | None = None


class ChatRequest(WireModel):
    """A chat completion request. Every optional field may be null; unknown ones stay in `model_extra`."""

    model: ModelName
    messages: Messages
    stream: Flag | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: Annotated[Integer, Field(ge=1)] | None = None
    max_tokens: Annotated[Integer, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    n: Annotated[Integer, Field(ge=1, le=128)] | None = None
    stop: Stop | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None
    logprobs: Flag | None = None
    top_logprobs: Annotated[Integer, Field(ge=0, le=20)] | None = None
    seed: Seed | None = None
    tools: list[Tool] | None = None
    tool_choice: (
        Annotated[
            Annotated[Literal["none", "auto", "required"], Tag("<mode>")] | Annotated[ToolChoice, Tag("<object>")],
            Discriminator(by_type(str="<mode>", dict="<object>")),
        ]
        | None
    ) = None
    parallel_tool_calls: Flag | None = None
    functions: list[Function] | None = None
    function_call: (
        Annotated[
            Annotated[Literal["none", "auto"], Tag("<mode>")] | Annotated[NamedFunction, Tag("<object>")],
            Discriminator(by_type(str="<mode>", dict="<object>")),
        ]
        | None
    ) = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Text | None = None
    metadata: Annotated[dict[str, Text], Field(max_length=16)] | None = None
    user: Text | None = None

    @property
    def include_usage(self) -> bool:
        """Whether the client wants the usage chunk at the end of a stream."""
        return bool(self.stream and self.stream_options and self.stream_options.include_usage)

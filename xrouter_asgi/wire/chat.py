"""`POST /v1/chat/completions`: the request, with OpenAI's ranges (API description of August 2026)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from .codec import encode
from .validation import WireModel, by_member, by_type

Text = Annotated[str, Field(strict=True)]
Name = Annotated[str, Field(strict=True, min_length=1)]
Flag = Annotated[bool, Field(strict=True)]
ModelName = Annotated[Name, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
"""Without control characters: names go into logs, headers and paths of upstreams."""

Integer = Annotated[int, Field(strict=True, ge=-(1 << 31), le=(1 << 31) - 1)]
Seed = Annotated[int, Field(strict=True, ge=-(1 << 63), le=(1 << 63) - 1)]  # OpenAI's own range
Penalty = Annotated[float, Field(strict=True, ge=-2, le=2)]
StopText = Annotated[Text, Field(max_length=1024)]  # how far an answer is searched for the beginning of one


def _first_wrong(biases: object) -> object:
    """The first bias alone if it is wrong: there is no `FailFast` for objects."""
    if isinstance(biases, dict):
        wrong = (name for name, bias in biases.items() if type(bias) not in (int, float) or not -100 <= bias <= 100)
        if (name := next(wrong, None)) is not None:
            return {name: biases[name]}
    return biases


LogitBias = Annotated[dict[str, Annotated[float, Field(strict=True, ge=-100, le=100)]], BeforeValidator(_first_wrong)]


def unknown(*known: str) -> WithJsonSchema:
    """The schema of a `type` that is none of those with a model of their own."""
    return WithJsonSchema({"type": "string", "minLength": 1, "not": {"enum": list(known)}})


class TextPart(WireModel):
    type: Literal["text"]
    text: Text


class ImageURL(WireModel):
    url: Name
    detail: Text | None = None


class ImagePart(WireModel):
    """A picture: an `https:` address or a `data:` URL with base64."""

    type: Literal["image_url"]
    image_url: ImageURL


class RefusalPart(WireModel):
    type: Literal["refusal"]
    refusal: Text


class File(WireModel):
    file_id: Name | None = None
    file_data: Name | None = None
    filename: Text | None = None


class FilePart(WireModel):
    """A document: `file_id` of an earlier upload, or `file_data` as a `data:` URL."""

    type: Literal["file"]
    file: File


class OtherPart(WireModel):
    """A kind of part only some upstreams know, such as `input_audio` or `video_url`."""

    type: Annotated[Name, unknown("text", "image_url", "refusal", "file")]


Part: TypeAlias = Annotated[
    Annotated[TextPart, Tag("<text>")]
    | Annotated[ImagePart, Tag("<image>")]
    | Annotated[RefusalPart, Tag("<refusal>")]
    | Annotated[FilePart, Tag("<file>")]
    | Annotated[OtherPart, Tag("<other>")],
    Discriminator(
        by_member(
            "type", {"text": "<text>", "image_url": "<image>", "refusal": "<refusal>", "file": "<file>"}, "<other>"
        )
    ),
]
Content: TypeAlias = Annotated[
    Annotated[Text, Tag("<string>")] | Annotated[list[Part], Tag("<parts>")],
    Discriminator(by_type(str="<string>", list="<parts>")),
]


def _argument_text(arguments: object) -> object:
    """Arguments that some upstreams answer with as an object or null, as the text that they should be."""
    if arguments is None:
        return "{}"
    return encode(arguments).decode() if isinstance(arguments, dict) else arguments


class FunctionCall(WireModel):
    name: Name
    arguments: Annotated[
        Text,
        BeforeValidator(_argument_text),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}, {"type": "null"}]}),
    ]


class ToolCall(WireModel):
    """A call the assistant made; `function` is there when `type` is `function`."""

    id: Text
    type: Text = "function"
    function: FunctionCall | None = None


class SystemMessage(WireModel):
    role: Literal["system", "developer"]
    content: Content


class UserMessage(WireModel):
    role: Literal["user"]
    content: Content


class AssistantMessage(WireModel):
    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None


class ToolMessage(WireModel):
    role: Literal["tool"]
    content: Content
    tool_call_id: Text


class FunctionMessage(WireModel):
    """The deprecated predecessor of a tool message."""

    role: Literal["function"]
    name: Name
    content: Text | None = None


Message: TypeAlias = Annotated[
    Annotated[SystemMessage, Tag("<system>")]
    | Annotated[UserMessage, Tag("<user>")]
    | Annotated[AssistantMessage, Tag("<assistant>")]
    | Annotated[ToolMessage, Tag("<tool>")]
    | Annotated[FunctionMessage, Tag("<function>")],
    Discriminator(
        by_member(
            "role",
            {
                "system": "<system>",
                "developer": "<system>",
                "user": "<user>",
                "assistant": "<assistant>",
                "tool": "<tool>",
                "function": "<function>",
            },
        )
    ),
]


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
    messages: Annotated[list[Message], Field(min_length=1)]
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

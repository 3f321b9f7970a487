"""`POST /v1/messages`, Anthropic's Messages API: the request, with its ranges (versions 2023-06-01 and 2026-10-21)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, WithJsonSchema

from .validation import WireModel, by_member, by_type
from .values import Flag, Integer, ModelName, Name, Text

_TEXT_OR_BLOCKS = Discriminator(by_type(str="<string>", list="<blocks>"))


def _by_type(*known: str, other: str | None = "<other>") -> Discriminator:
    """By the `type`, whose tag is the word itself. A known type without a model is a 400."""
    return Discriminator(by_member("type", {kind: f"<{kind}>" for kind in known}, other))


Share = Annotated[float, Field(strict=True, ge=0, le=1)]


class TextBlock(WireModel):
    type: Literal["text"]
    text: Text


class Base64Source(WireModel):
    type: Literal["base64"]
    media_type: Name
    data: Name


class URLSource(WireModel):
    type: Literal["url"]
    url: Name


class FileSource(WireModel):
    """A file that an upstream keeps, which only an account of the caller's own may be asked for."""

    type: Literal["file"]
    file_id: Annotated[Name, WithJsonSchema({"not": {}})]


ImageSource: TypeAlias = Annotated[
    Annotated[Base64Source, Tag("<base64>")]
    | Annotated[URLSource, Tag("<url>")]
    | Annotated[FileSource, Tag("<file>")],
    _by_type("base64", "url", "file", other=None),
]


class ImageBlock(WireModel):
    type: Literal["image"]
    source: ImageSource


class TextSource(WireModel):
    type: Literal["text"]
    data: Text


Excerpt: TypeAlias = Annotated[
    Annotated[TextBlock, Tag("<text>")] | Annotated[ImageBlock, Tag("<image>")],
    _by_type("text", "image", other=None),
]


class ContentSource(WireModel):
    type: Literal["content"]
    content: Annotated[
        Annotated[Text, Tag("<string>")] | Annotated[list[Excerpt], Tag("<blocks>")],
        _TEXT_OR_BLOCKS,
    ]


DocumentSource: TypeAlias = Annotated[
    Annotated[Base64Source, Tag("<base64>")]
    | Annotated[URLSource, Tag("<url>")]
    | Annotated[TextSource, Tag("<text>")]
    | Annotated[ContentSource, Tag("<content>")]
    | Annotated[FileSource, Tag("<file>")],
    _by_type("base64", "url", "text", "content", "file", other=None),
]


class DocumentBlock(WireModel):
    type: Literal["document"]
    source: DocumentSource
    title: Text | None = None
    context: Text | None = None


class SearchResultBlock(WireModel):
    type: Literal["search_result"]
    source: Text
    title: Text
    content: list[TextBlock]


class OtherBlock(WireModel):
    """A block of a tool that runs at Anthropic, or a kind of block that is new."""

    type: Name


_GIVEN = ("text", "image", "document", "search_result")
ResultBlock: TypeAlias = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ImageBlock, Tag("<image>")]
    | Annotated[DocumentBlock, Tag("<document>")]
    | Annotated[SearchResultBlock, Tag("<search_result>")]
    | Annotated[OtherBlock, Tag("<other>")],
    _by_type(*_GIVEN),
]


class ToolResultBlock(WireModel):
    type: Literal["tool_result"]
    tool_use_id: Name
    content: (
        Annotated[
            Annotated[Text, Tag("<string>")] | Annotated[list[ResultBlock], Tag("<blocks>")],
            _TEXT_OR_BLOCKS,
        ]
        | None
    ) = None
    is_error: Flag | None = None


class ToolUseBlock(WireModel):
    type: Literal["tool_use"]
    id: Name
    name: Name
    input: dict[str, Any]


class ThinkingBlock(WireModel):
    type: Literal["thinking"]
    thinking: Text
    signature: Text | None = None


# A block of the other role is no block of another kind, hence the types that have no model.
UserBlock: TypeAlias = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ImageBlock, Tag("<image>")]
    | Annotated[DocumentBlock, Tag("<document>")]
    | Annotated[SearchResultBlock, Tag("<search_result>")]
    | Annotated[ToolResultBlock, Tag("<tool_result>")]
    | Annotated[OtherBlock, Tag("<other>")],
    _by_type(*_GIVEN, "tool_result", "tool_use", "thinking"),
]
AssistantBlock: TypeAlias = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ToolUseBlock, Tag("<tool_use>")]
    | Annotated[ThinkingBlock, Tag("<thinking>")]
    | Annotated[OtherBlock, Tag("<other>")],
    _by_type("text", "tool_use", "thinking", "tool_result", "image"),
]
Texts: TypeAlias = Annotated[
    Annotated[Text, Tag("<string>")] | Annotated[list[TextBlock], Tag("<blocks>")],
    _TEXT_OR_BLOCKS,
]


class UserTurn(WireModel):
    role: Literal["user"]
    content: Annotated[
        Annotated[Text, Tag("<string>")] | Annotated[list[UserBlock], Tag("<blocks>")],
        _TEXT_OR_BLOCKS,
    ]


class AssistantTurn(WireModel):
    role: Literal["assistant"]
    content: Annotated[
        Annotated[Text, Tag("<string>")] | Annotated[list[AssistantBlock], Tag("<blocks>")],
        _TEXT_OR_BLOCKS,
    ]


class SystemTurn(WireModel):
    """Instructions in the middle of a conversation."""

    role: Literal["system"]
    content: Texts


Turn: TypeAlias = Annotated[
    Annotated[UserTurn, Tag("<user>")]
    | Annotated[AssistantTurn, Tag("<assistant>")]
    | Annotated[SystemTurn, Tag("<system>")],
    Discriminator(by_member("role", {"user": "<user>", "assistant": "<assistant>", "system": "<system>"})),
]


class ClientTool(WireModel):
    """A tool that the client runs."""

    type: Literal["custom"] | None = None
    name: Name
    description: Text | None = None
    input_schema: dict[str, Any]
    strict: Flag | None = None


class ServerTool(WireModel):
    """A tool whose schema, or whose execution, only Anthropic has, such as `web_search_20250305`."""

    type: Annotated[Name, WithJsonSchema({"type": "string", "minLength": 1, "not": {"const": "custom"}})]
    name: Name | None = None


OfferedTool: TypeAlias = Annotated[
    Annotated[ClientTool, Tag("<custom>")] | Annotated[ServerTool, Tag("<server>")],
    Discriminator(by_member("type", {"custom": "<custom>"}, "<server>", absent="<custom>")),
]


class AnyToolChoice(WireModel):
    type: Literal["auto", "any", "none"]
    disable_parallel_tool_use: Flag | None = None


class OneToolChoice(WireModel):
    type: Literal["tool"]
    name: Name
    disable_parallel_tool_use: Flag | None = None


class ThinkingBudget(WireModel):
    type: Literal["enabled"]
    budget_tokens: Annotated[Integer, Field(ge=1024)]


class ThinkingMode(WireModel):
    type: Literal["adaptive", "disabled", "between_tools"]


class OutputFormat(WireModel):
    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(WireModel):
    effort: Name | None = None
    format: OutputFormat | None = None


class CountTokensRequest(WireModel):
    """What a request to the Messages API would send to a model. Every optional field may be null."""

    model: ModelName
    messages: Annotated[list[Turn], Field(min_length=1)]
    system: Texts | None = None
    tools: list[OfferedTool] | None = None
    tool_choice: (
        Annotated[
            Annotated[AnyToolChoice, Tag("<mode>")] | Annotated[OneToolChoice, Tag("<tool>")],
            Discriminator(by_member("type", {"auto": "<mode>", "any": "<mode>", "none": "<mode>", "tool": "<tool>"})),
        ]
        | None
    ) = None
    thinking: (
        Annotated[
            Annotated[ThinkingBudget, Tag("<enabled>")] | Annotated[ThinkingMode, Tag("<mode>")],
            Discriminator(
                by_member(
                    "type",
                    {"enabled": "<enabled>", "adaptive": "<mode>", "disabled": "<mode>", "between_tools": "<mode>"},
                )
            ),
        ]
        | None
    ) = None
    output_config: OutputConfig | None = None
    mcp_servers: Annotated[list[Any] | None, WithJsonSchema({"type": ["array", "null"], "maxItems": 0})] = None


class MessagesRequest(CountTokensRequest):
    """A request to the Messages API. Unknown members stay in `model_extra`."""

    max_tokens: Annotated[Integer, Field(ge=1)]
    stream: Flag | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Annotated[Integer, Field(ge=0)] | None = None
    stop_sequences: list[Text] | None = None

"""`POST /v1/responses`: the request, with OpenAI's ranges (API description of November 2026).

Members that a dialect ignores or refuses are not validated beyond that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, WithJsonSchema

from .response_items import REFUSED, InputItem
from .validation import WireModel, by_member, by_type
from .values import Flag, Integer, ModelName, Name, Text, unknown

_REFUSED_FLAG = WithJsonSchema({"enum": [False, None]})


class FlatFunction(WireModel):
    """A function, without the wrapper that chat completions put around it."""

    type: Literal["function"]
    name: Name
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: Flag | None = None


class CustomFormat(WireModel):
    """What the input of a custom tool must look like: `text`, or `grammar` with `syntax` and `definition`."""

    type: Name
    syntax: Text | None = None
    definition: Text | None = None


class CustomTool(WireModel):
    type: Literal["custom"]
    name: Name
    description: Text | None = None
    format: CustomFormat | None = None


class HostedTool(WireModel):
    """A tool that OpenAI runs itself, such as `web_search`. It is ignored."""

    type: Annotated[Name, unknown("function", "custom", "namespace")]


class NestedHostedTool(WireModel):
    """The same in a namespace."""

    type: Annotated[Name, unknown("function", "custom")]


class NamespaceTool(WireModel):
    """Several tools under one name."""

    type: Literal["namespace"]
    name: Name
    description: Text | None = None
    tools: list[
        Annotated[
            Annotated[FlatFunction, Tag("<function>")]
            | Annotated[CustomTool, Tag("<custom>")]
            | Annotated[NestedHostedTool, Tag("<hosted>")],
            Discriminator(by_member("type", {"function": "<function>", "custom": "<custom>"}, "<hosted>")),
        ]
    ]


ResponsesTool: TypeAlias = Annotated[
    Annotated[FlatFunction, Tag("<function>")]
    | Annotated[CustomTool, Tag("<custom>")]
    | Annotated[NamespaceTool, Tag("<namespace>")]
    | Annotated[HostedTool, Tag("<hosted>")],
    Discriminator(
        by_member("type", {"function": "<function>", "custom": "<custom>", "namespace": "<namespace>"}, "<hosted>")
    ),
]


class AllowedTool(WireModel):
    type: Name
    name: Name | None = None
    namespace: Name | None = None


class ResponsesToolChoice(WireModel):
    """A `function` or a `custom` tool by its `name`, or `allowed_tools` with `mode` and `tools`."""

    type: Name
    name: Name | None = None
    namespace: Name | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[AllowedTool] | None = None


class FlatJSONSchema(WireModel):
    """A JSON Schema, without the wrapper that chat completions put around it."""

    type: Literal["json_schema"]
    name: Name
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    description: Text | None = None
    strict: Flag | None = None


class PlainFormat(WireModel):
    type: Literal["text", "json_object"]


class TextOptions(WireModel):
    format: (
        Annotated[
            Annotated[FlatJSONSchema, Tag("<json_schema>")] | Annotated[PlainFormat, Tag("<plain>")],
            Discriminator(
                by_member("type", {"json_schema": "<json_schema>", "text": "<plain>", "json_object": "<plain>"})
            ),
        ]
        | None
    ) = None
    verbosity: Text | None = None


class ReasoningOptions(WireModel):
    effort: Text | None = None
    summary: Text | None = None


class ResponsesRequest(WireModel):
    """A request for a response. Every optional member may be null; unknown ones are ignored."""

    model: ModelName
    input: Annotated[
        Annotated[Text, Tag("<string>")] | Annotated[list[InputItem], Tag("<items>")],
        Discriminator(by_type(str="<string>", list="<items>")),
    ]
    instructions: Text | None = None
    stream: Flag | None = None
    max_output_tokens: Annotated[Integer, Field(ge=16)] | None = None
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    top_logprobs: Annotated[Integer, Field(ge=0, le=20)] | None = None
    tools: list[ResponsesTool] | None = None
    tool_choice: (
        Annotated[
            Annotated[Literal["none", "auto", "required"], Tag("<mode>")]
            | Annotated[ResponsesToolChoice, Tag("<object>")],
            Discriminator(by_type(str="<mode>", dict="<object>")),
        ]
        | None
    ) = None
    parallel_tool_calls: Flag | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    include: list[Text] | None = None
    metadata: Annotated[dict[str, Text], Field(max_length=16)] | None = None
    user: Text | None = None
    safety_identifier: Text | None = None
    service_tier: Text | None = None
    prompt_cache_key: Text | None = None
    truncation: Literal["auto", "disabled"] | None = None
    store: Flag | None = None
    previous_response_id: Name | None = None
    background: Annotated[Flag | None, _REFUSED_FLAG] = None
    conversation: Annotated[Any, REFUSED] = None
    prompt: Annotated[Any, REFUSED] = None

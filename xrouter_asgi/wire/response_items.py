"""The input items of Responses, as clients write them (API description of November 2026)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Discriminator, Tag, WithJsonSchema

from .validation import WireModel, by_member, by_type
from .values import Name, Text

REFUSED = WithJsonSchema({"type": "null"})
"""The schema of a member that is refused with an error of its own."""


class InputText(WireModel):
    """A text. All three types mean the same, because clients send back what they received."""

    type: Literal["input_text", "output_text", "text"]
    text: Text


class InputRefusal(WireModel):
    type: Literal["refusal"]
    refusal: Text


class InputImage(WireModel):
    """A picture: an `https:` address or a `data:` URL with base64."""

    type: Literal["input_image"]
    image_url: Annotated[Name | None, WithJsonSchema({"type": "string", "minLength": 1})] = None
    detail: Text | None = None
    file_id: Annotated[Name | None, REFUSED] = None


class InputFile(WireModel):
    """A document: `file_data` as a `data:` URL, or `file_url`."""

    type: Literal["input_file"]
    file_data: Name | None = None
    file_url: Name | None = None
    filename: Text | None = None
    file_id: Annotated[Name | None, REFUSED] = None


class InputAudio(WireModel):
    type: Literal["input_audio"]
    input_audio: dict[str, Any]


InputPart: TypeAlias = Annotated[
    Annotated[InputText, Tag("<text>")]
    | Annotated[InputRefusal, Tag("<refusal>")]
    | Annotated[InputImage, Tag("<image>")]
    | Annotated[InputFile, Tag("<file>")]
    | Annotated[InputAudio, Tag("<audio>")],
    Discriminator(
        by_member(
            "type",
            {
                "input_text": "<text>",
                "output_text": "<text>",
                "text": "<text>",
                "refusal": "<refusal>",
                "input_image": "<image>",
                "input_file": "<file>",
                "input_audio": "<audio>",
            },
        )
    ),
]
InputContent: TypeAlias = Annotated[
    Annotated[Text, Tag("<string>")] | Annotated[list[InputPart], Tag("<parts>")],
    Discriminator(by_type(str="<string>", list="<parts>")),
]


class InputMessage(WireModel):
    """A message. `type` may be left out."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: InputContent
    id: Text | None = None


class FunctionCallItem(WireModel):
    """A call that the assistant made. `namespace` is that of the tool, if it has one."""

    type: Literal["function_call"]
    call_id: Text
    name: Name
    arguments: Text
    namespace: Name | None = None
    id: Text | None = None


class CustomToolCallItem(WireModel):
    """A call of a custom tool, whose input is free text."""

    type: Literal["custom_tool_call"]
    call_id: Text
    name: Name
    input: Text
    namespace: Name | None = None
    id: Text | None = None


class CallOutputItem(WireModel):
    """The result of a call."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: Text
    output: InputContent
    id: Text | None = None


class ReasoningText(WireModel):
    text: Text


class ReasoningItem(WireModel):
    """What the assistant thought: sealed in `encrypted_content`, or as text."""

    type: Literal["reasoning"]
    summary: list[ReasoningText] | None = None
    content: list[ReasoningText] | None = None
    encrypted_content: Text | None = None
    id: Text | None = None


class ItemReference(WireModel):
    """An item of a stored response, by its id."""

    type: Literal["item_reference"]
    id: Name


_HostedType: TypeAlias = Literal[
    "apply_patch_call", "apply_patch_call_output", "code_interpreter_call", "compaction", "computer_call",
    "computer_call_output", "file_search_call", "image_generation_call", "local_shell_call", "local_shell_call_output",
    "mcp_approval_request", "mcp_approval_response", "mcp_call", "mcp_list_tools", "program", "program_output",
    "shell_call", "shell_call_output", "tool_search_call", "tool_search_output", "web_search_call",
]  # fmt: skip


class HostedItem(WireModel):
    """A trace of a tool that OpenAI runs itself. It is ignored."""

    type: _HostedType
    id: Text | None = None


_ITEMS = {
    "message": "<message>",
    "function_call": "<call>",
    "custom_tool_call": "<custom>",
    "function_call_output": "<output>",
    "custom_tool_call_output": "<output>",
    "reasoning": "<reasoning>",
    "item_reference": "<reference>",
    **dict.fromkeys(get_args(_HostedType), "<hosted>"),
}
_item_of_type = by_member("type", _ITEMS)


def _item(value: Any) -> str | None:
    """The tag of an item; without a type it is a message."""
    if isinstance(value, dict) and value.get("type") is None:
        return "<message>"
    return _item_of_type(value)


_item.__name__ = "type"  # the name of the member, for messages about a type that nobody knows

InputItem: TypeAlias = Annotated[
    Annotated[InputMessage, Tag("<message>")]
    | Annotated[FunctionCallItem, Tag("<call>")]
    | Annotated[CustomToolCallItem, Tag("<custom>")]
    | Annotated[CallOutputItem, Tag("<output>")]
    | Annotated[ReasoningItem, Tag("<reasoning>")]
    | Annotated[ItemReference, Tag("<reference>")]
    | Annotated[HostedItem, Tag("<hosted>")],
    Discriminator(_item),
]

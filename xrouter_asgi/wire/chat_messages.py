"""The messages of a chat completion request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias, overload

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from .codec import encode
from .validation import WireModel, by_member, by_type
from .values import Name, Text, unknown

_SPEAKERS = ("user", "assistant", "system", "developer")


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


class MessageList(Sequence[Message]):
    """The messages of a request: checked at once, and models as soon as somebody looks at one of them.

    For an upstream that speaks OpenAI nobody does. A model costs ten times as much as a look at a message that is a
    text alone, as nearly all are.
    """

    def __init__(self, written: list[Any], models: list[Message] | None = None) -> None:
        self._written = written
        self._models = models

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        models = handler.generate_schema(Annotated[list[Message], Field(min_length=1)])
        return core_schema.no_info_wrap_validator_function(
            cls._checked,
            models,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda messages, write: write(list(messages)), schema=models
            ),
        )

    @classmethod
    def _checked(cls, value: Any, validate: ValidatorFunctionWrapHandler) -> Self:
        if type(value) is list and len(others := _beside_texts(value)) < len(value):
            try:
                if others:
                    validate(others)
            except ValidationError:
                pass  # which of all it is, the others cannot tell
            else:
                return cls(value)
        return cls([], validate(value))

    def _looked_at(self) -> list[Message]:
        if self._models is None:
            self._models = _MessageModels.of({"messages": self._written}).messages
        return self._models

    def __len__(self) -> int:
        return len(self._written if self._models is None else self._models)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._looked_at())

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        return self._looked_at()[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MessageList) and self._looked_at() == other._looked_at()

    __hash__ = None  # type: ignore[assignment]  # like a list

    def __repr__(self) -> str:
        return f"<{len(self)} messages>"  # prompts stay out of logs and tracebacks


def _beside_texts(messages: list[Any]) -> list[Any]:
    """Those messages that are not certain to be right: each but an object that holds a text alone."""
    return [
        message
        for message in messages
        if not (
            type(message) is dict
            and type(message.get("content")) is str
            and (
                (len(message) == 2 and message.get("role") in _SPEAKERS)
                or (len(message) == 3 and message.get("role") == "tool" and type(message.get("tool_call_id")) is str)
            )
        )
    ]


class _MessageModels(WireModel):
    messages: list[Message]


Messages: TypeAlias = Annotated[Sequence[Message], MessageList]

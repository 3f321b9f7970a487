"""The items of a response's output, and the events that tell of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeAlias

from ...wire.codec import encode
from ...wire.documents import TextMember
from .tools import ToolName, custom_input

Event: TypeAlias = tuple[str, dict[str, Any]]
"""The type of an event, and its members beside `type` and `sequence_number`."""


class OutputItem(ABC):
    """One item of the output.

    Attributes:
        status: `in_progress`, then `completed` or `incomplete`.
    """

    def __init__(self, id: str, index: int) -> None:
        self.id = id
        self.index = index
        self.status = "in_progress"
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def add(self, text: str) -> None:
        """Add text whose event is written elsewhere."""
        self._pieces.append(text)

    @abstractmethod
    def value(self) -> dict[str, Any]:
        """The item as it is now."""

    def opening(self) -> list[Event]:
        """The events that begin it."""
        return [("response.output_item.added", {"output_index": self.index, "item": self.value()})]

    def closing(self, status: str) -> list[Event]:
        """The events that end it."""
        self.status = status
        return [("response.output_item.done", {"output_index": self.index, "item": self.value()})]


class SpokenItem(OutputItem):
    """An item with one part that holds text."""

    member: ClassVar[TextMember]
    prefix: ClassVar[str]
    says: ClassVar[str]  # the events of its text
    shows: ClassVar[str]  # the events of its part
    final: ClassVar[str] = "text"  # the member that holds the whole text
    place: ClassVar[dict[str, int]] = {"content_index": 0}
    beside: ClassVar[dict[str, Any]] = {}  # what stands beside a delta

    def extras(self) -> dict[str, Any]:
        """What stands beside the whole text."""
        return {}

    @abstractmethod
    def part(self) -> dict[str, Any]:
        """Its part as it is now."""

    def opening(self) -> list[Event]:
        return [*super().opening(), (f"{self.shows}.added", {**self._place(), "part": self.part()})]

    def say(self, text: str, **extras: Any) -> Event:
        """Add text. Returns its event."""
        self.add(text)
        return f"{self.says}.delta", {**self._place(), "delta": text, **self.beside, **extras}

    def template(self) -> bytes:
        """The event of a text that stands in JSON as it is, to be filled with the event's number and that text."""
        kind, members = f"{self.says}.delta", {**self._place(), "delta": "%b", **self.beside}
        data = encode({"type": kind, "sequence_number": "%d", **members}).replace(b'"%d"', b"%d")
        return b"event: %b\ndata: %b\n\n" % (kind.encode("ascii"), data)

    def closing(self, status: str) -> list[Event]:
        item = super().closing(status)
        return [
            (f"{self.says}.done", {**self._place(), self.final: self.text, **self.extras()}),
            (f"{self.shows}.done", {**self._place(), "part": self.part()}),
            *item,
        ]

    def _place(self) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self.index, **self.place}


class TextOutput(SpokenItem):
    member = "content"
    prefix = "msg"
    says = "response.output_text"
    shows = "response.content_part"
    beside: ClassVar = {"logprobs": []}

    def __init__(self, id: str, index: int) -> None:
        super().__init__(id, index)
        self.logprobs: list[Any] = []
        self.annotations: list[Any] = []

    def extras(self) -> dict[str, Any]:
        return {"logprobs": self.logprobs}

    def part(self) -> dict[str, Any]:
        return {"type": "output_text", "text": self.text, "annotations": self.annotations, "logprobs": self.logprobs}

    def value(self) -> dict[str, Any]:
        return _message(self)


class RefusalOutput(SpokenItem):
    member = "refusal"
    prefix = "msg"
    says = "response.refusal"
    shows = "response.content_part"
    final = "refusal"

    def part(self) -> dict[str, Any]:
        return {"type": "refusal", "refusal": self.text}

    def value(self) -> dict[str, Any]:
        return _message(self)


class ReasoningOutput(SpokenItem):
    member = "reasoning_content"
    prefix = "rs"
    says = "response.reasoning_summary_text"
    shows = "response.reasoning_summary_part"
    place: ClassVar = {"summary_index": 0}
    sealed: str | None = None

    def part(self) -> dict[str, Any]:
        return {"type": "summary_text", "text": self.text}

    def value(self) -> dict[str, Any]:
        summary = [] if self.status == "in_progress" and not self._pieces else [self.part()]
        return {"type": "reasoning", "id": self.id, "summary": summary, "encrypted_content": self.sealed}


class CallOutput(OutputItem):
    """A call of a function, or of a custom tool, whose input is told as a whole at the end."""

    def __init__(self, id: str, index: int, call_id: str, tool: ToolName) -> None:
        super().__init__(id, index)
        self._call_id = call_id
        self._tool = tool

    def value(self) -> dict[str, Any]:
        said = self._input if self._tool.custom else self.text
        return {
            "type": "custom_tool_call" if self._tool.custom else "function_call",
            "id": self.id,
            "call_id": self._call_id,
            "name": self._tool.name,
            **({} if self._tool.namespace is None else {"namespace": self._tool.namespace}),
            "input" if self._tool.custom else "arguments": said,
            "status": self.status,
        }

    def say(self, arguments: str) -> list[Event]:
        """Add a fragment of the arguments."""
        self.add(arguments)
        if self._tool.custom:
            return []
        return [("response.function_call_arguments.delta", {**self._place(), "delta": arguments})]

    def closing(self, status: str) -> list[Event]:
        bare = not self._pieces and status == "completed" and not self._tool.custom
        events = self.say("{}") if bare else []  # clients parse what they get
        if self._tool.custom:
            kind, place, said = "response.custom_tool_call_input", self._place(), custom_input(self.text)
            events += [(f"{kind}.delta", {**place, "delta": said}), (f"{kind}.done", {**place, "input": said})]
        else:
            told = {**self._place(), "name": self._tool.name, "arguments": self.text}
            events.append(("response.function_call_arguments.done", told))
        return [*events, *super().closing(status)]

    @property
    def _input(self) -> str:
        return "" if self.status == "in_progress" else custom_input(self.text)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self.index}


def _message(item: SpokenItem) -> dict[str, Any]:
    begun = item.status != "in_progress" or item.text
    return {
        "type": "message",
        "id": item.id,
        "status": item.status,
        "role": "assistant",
        "content": [item.part()] if begun else [],
    }

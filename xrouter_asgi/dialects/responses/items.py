"""Input items to the messages of a chat request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from ...errors import InvalidRequest, UnsupportedOperation
from ..base import Objections, ignored
from .seal import Unsealing
from .tools import ToolNames, custom_arguments, named

_NO_FILES = "This gateway keeps no files. Send the content itself: 'image_url', 'file_data' or 'file_url'."

Item: TypeAlias = Mapping[str, Any]


class ChatMessages:
    """Items in, messages out.

    The system messages before any other become one, because many templates of models take no second one. The items of
    one turn of the assistant become one message, until an item of somebody else comes.

    Args:
        instructions: The beginning of the leading system message.
        names: Learns the names of the tools that were called.
        warnings: Gets a word for each kind of item that is left out.
        account: Refuses what names a file that an upstream keeps, with UnsupportedOperation.
    """

    def __init__(self, instructions: str | None, names: ToolNames, warnings: list[str], account: Objections) -> None:
        self._names = names
        self._account = account
        self._warnings = warnings
        self._leading = [instructions] if instructions else []
        self._messages: list[dict[str, Any]] = []
        self._turn = _Turn()
        self._attached: list[dict[str, Any]] = []  # pictures and files in results, for which chat has no room there
        self.seals = Unsealing()

    def take(self, item: Item, param: str) -> None:
        """Take the next item.

        Args:
            param: Where it stands in the request.

        Raises:
            InvalidRequest: A part of it has no place in a chat.
        """
        match item.get("type") or "message":
            case "message" if item["role"] == "assistant":
                self._attach()
                self._turn.said.append(self._text_of(item["content"], f"{param}.content"))
            case "message":
                self._end_turn()
                self._message(item, param)
            case "function_call":
                self._call(item, item["arguments"], custom=False)
            case "custom_tool_call":
                self._call(item, custom_arguments(item["input"]), custom=True)
            case "function_call_output" | "custom_tool_call_output":
                self._result(item, param)
            case "reasoning":
                self._attach()
                self._think(item)
            case kind:
                self._warnings.append(ignored(f"item_{kind}"))

    def end(self) -> list[dict[str, Any]]:
        """All messages."""
        self._end_turn()
        if self._leading:
            self._messages.insert(0, {"role": "system", "content": "\n\n".join(self._leading)})
            self._leading = []
        if self.seals.exhausted:
            self._warnings.append(ignored("reasoning"))
        return self._messages

    def _message(self, item: Item, param: str) -> None:
        if item["role"] == "user":
            self._messages.append({"role": "user", "content": self._content(item["content"], f"{param}.content")})
            return
        text = self._text_of(item["content"], f"{param}.content")
        if not self._messages:
            self._leading.append(text)
        else:
            self._messages.append({"role": "system", "content": text})

    def _call(self, item: Item, arguments: str, *, custom: bool) -> None:
        self._attach()
        function = {"name": self._names.flat(named(item, custom=custom)), "arguments": arguments}
        self._turn.calls.append({"id": item["call_id"], "type": "function", "function": function})

    def _result(self, item: Item, param: str) -> None:
        self._close_turn()
        texts: list[str] = []
        for part in self._parts(item["output"], f"{param}.output"):
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                self._attached.append(part)
        self._messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": "".join(texts)})

    def _think(self, item: Item) -> None:
        if sealed := item.get("encrypted_content"):
            text = self.seals.open(sealed)
        else:
            text = "".join(part["text"] for part in item.get("content") or item.get("summary") or ())
        if text:
            self._turn.thought.append(text)

    def _end_turn(self) -> None:
        self._close_turn()
        self._attach()

    def _close_turn(self) -> None:
        if (message := self._turn.message()) is not None:
            self._messages.append(message)
            self._turn = _Turn()

    def _attach(self) -> None:
        """Let the pictures and files of the results so far follow them."""
        if self._attached:
            self._messages.append({"role": "user", "content": self._attached})
            self._attached = []

    def _content(self, content: str | list[dict[str, Any]], param: str) -> str | list[dict[str, Any]]:
        """The content of a user's message; a text alone is a plain string."""
        parts = list(self._parts(content, param))
        if not parts:
            return ""
        return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts

    def _text_of(self, content: str | list[dict[str, Any]], param: str) -> str:
        """The text of a message of the system's or the assistant's."""
        texts = []
        for place, part in enumerate(self._parts(content, param)):
            if part["type"] != "text":
                message = f"Invalid value for '{param}[{place}].type': only a user's message and a result may hold it."
                raise InvalidRequest(message, code="invalid_value", param=f"{param}[{place}].type")
            texts.append(part["text"])
        return "".join(texts)

    def _parts(self, content: str | list[dict[str, Any]], param: str) -> Iterable[dict[str, Any]]:
        if isinstance(content, str):
            yield {"type": "text", "text": content}
            return
        for place, part in enumerate(content):
            if part.get("file_id"):
                self._account.refuse(UnsupportedOperation(_NO_FILES, param=f"{param}[{place}].file_id"))
            else:
                yield _part(part, f"{param}[{place}]")


class _Turn:
    """What the assistant thought, said and called, until somebody else speaks."""

    def __init__(self) -> None:
        self.thought: list[str] = []
        self.said: list[str] = []
        self.calls: list[dict[str, Any]] = []

    def message(self) -> dict[str, Any] | None:
        if not (self.thought or self.said or self.calls):
            return None
        said = "\n\n".join(filter(None, self.said))
        message: dict[str, Any] = {"role": "assistant", "content": said or (None if self.calls else "")}
        if self.thought:
            message["reasoning_content"] = "\n\n".join(self.thought)
        if self.calls:
            message["tool_calls"] = self.calls
        return message


def _part(part: Item, param: str) -> dict[str, Any]:
    match part["type"]:
        case "refusal":
            return {"type": "text", "text": part["refusal"]}
        case "input_image":
            image = {"url": _needed(part, "image_url", param=param), **_present(part, "detail")}
            return {"type": "image_url", "image_url": image}
        case "input_file":
            if not part.get("file_url"):
                _needed(part, "file_data", param=param)
            return {"type": "file", "file": _present(part, "file_data", "file_url", "filename")}
        case "input_audio":
            return {"type": "input_audio", "input_audio": part["input_audio"]}
    return {"type": "text", "text": part["text"]}


def _needed(part: Item, member: str, *, param: str) -> str:
    if not part.get(member):
        path = f"{param}.{member}"
        message = f"Missing required parameter: '{path}'."
        raise InvalidRequest(message, code="missing_required_parameter", param=path)
    value: str = part[member]
    return value


def _present(part: Item, *members: str) -> dict[str, Any]:
    return {member: part[member] for member in members if part.get(member) is not None}

"""The event stream of a message, read as a strict client reads it."""

from __future__ import annotations

import json
from typing import Any

_DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use", "input"),
}


def events_of(stream: bytes) -> list[dict[str, Any]]:
    """The data of each event, whose name must be its type."""
    *events, rest = stream.decode().split("\n\n")
    assert rest == ""
    found = []
    for event in events:
        name, data = event.split("\n")
        value: dict[str, Any] = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        found.append(value)
    return found


class MessageReader:
    """Builds the message, and demands that blocks never overlap and that their indexes have no gaps.

    Attributes:
        message: As far as it has come.
        ended: Whether its last event was there.
    """

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        self.ended = False
        self._open: dict[str, Any] | None = None
        self._input = ""

    def feed(self, event: dict[str, Any]) -> None:
        assert not self.ended
        match event["type"]:
            case "message_start":
                assert not self.message
                self.message = event["message"]
            case "content_block_start":
                assert self._open is None
                assert event["index"] == len(self.message["content"])
                self._open = dict(event["content_block"])
                self._input = ""
                self.message["content"].append(self._open)
            case "content_block_delta":
                self._add(event["index"], dict(event["delta"]))
            case "content_block_stop":
                assert self._open is not None
                assert event["index"] == len(self.message["content"]) - 1
                if self._open["type"] == "tool_use":
                    self._open["input"] = json.loads(self._input or "{}")
                self._open = None
            case "message_delta":
                assert self._open is None
                self.message |= event["delta"]
                self.message["usage"] |= event["usage"]
            case "message_stop":
                assert self.message["stop_reason"]
                self.ended = True
            case kind:
                assert kind == "ping"

    def _add(self, index: int, delta: dict[str, Any]) -> None:
        kind, member = _DELTAS[delta["type"]]
        assert self._open is not None
        assert (index, kind) == (len(self.message["content"]) - 1, self._open["type"])
        if kind == "tool_use":
            self._input += delta["partial_json"]
        else:
            self._open[member] += delta[member]


def message_of(stream: bytes) -> dict[str, Any]:
    """The whole message of a whole stream, without its id."""
    reader = MessageReader()
    for event in events_of(stream):
        reader.feed(event)
    assert reader.ended
    return {name: value for name, value in reader.message.items() if name != "id"}

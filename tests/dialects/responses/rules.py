"""The order rules of a stream of events, checked one event after the other."""

from __future__ import annotations

from typing import Any

_ENDS = ("response.completed", "response.incomplete", "response.failed")
_WHOLE = {"message": "content", "reasoning": "summary"}


class OrderRules:
    """Raises AssertionError at the first event that breaks a rule. `items` are those that are done."""

    def __init__(self) -> None:
        self.count = 0
        self.id = ""
        self.final: dict[str, Any] | None = None
        self.items: dict[int, dict[str, Any]] = {}
        self._open: dict[str, int] = {}  # the items that are open, by id
        self._text: dict[str, str] = {}
        self._spoken: str | None = None  # the one item that text goes to

    def take(self, event: dict[str, Any]) -> None:
        assert self.final is None, "an event after the last one"
        assert event["sequence_number"] == self.count
        kind = event["type"].removeprefix("response.")
        if self.count < 1:
            assert kind == "created"
        self.count += 1
        if "response" in event:
            self._response(event["type"], event["response"])
        elif kind == "output_item.added":
            self._added(event["output_index"], event["item"])
        elif kind == "output_item.done":
            self._done(event["output_index"], event["item"])
        else:
            self._within(kind, event)

    def _response(self, kind: str, response: dict[str, Any]) -> None:
        assert response["id"] == (self.id or response["id"])
        self.id = response["id"]
        if kind in _ENDS:
            self.final = response
            assert kind == f"response.{response['status']}"
            if kind != "response.failed":
                assert not self._open
                assert response["output"] == [self.items[index] for index in sorted(self.items)]
        else:
            assert (response["status"], response["output"]) == ("in_progress", [])

    def _added(self, index: int, item: dict[str, Any]) -> None:
        assert index == len(self.items) + len(self._open)
        assert item["id"] not in self._text
        assert item.get("status", "in_progress") == "in_progress"
        assert self._spoken is None, "two items that say something are open at a time"
        self._open[item["id"]] = index
        self._text[item["id"]] = ""
        if item["type"] in _WHOLE:
            assert item[_WHOLE[item["type"]]] == []
            self._spoken = item["id"]

    def _within(self, kind: str, event: dict[str, Any]) -> None:
        item = event["item_id"]
        assert self._open[item] == event["output_index"]
        if kind.startswith(("output_text", "refusal", "reasoning", "content_part")):
            assert item == self._spoken
        if kind.endswith(".delta"):
            self._text[item] += event["delta"]
        elif kind.endswith(".done") and "part" not in event:
            told = next(event[name] for name in ("text", "refusal", "arguments", "input") if name in event)
            assert told == self._text[item]

    def _done(self, index: int, item: dict[str, Any]) -> None:
        assert self._open.pop(item["id"]) == index
        assert item.get("status", "completed") in ("completed", "incomplete")
        if self._spoken == item["id"]:
            self._spoken = None
        self.items[index] = item

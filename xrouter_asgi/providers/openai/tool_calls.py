"""The tool calls of a streamed answer: each told apart, and each said as clients glue fragments together.

No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .mending import CALL_TYPES, argument_text, as_text, call_type, new_call_id

_INDEXES = {form.format(number) for number in range(128) for form in ("{}", "{}.0")}


class _Call:
    """One call of a choice.

    Attributes:
        index: What clients number it; None until it has a name.
        held: The fragments before its name, joined.
        argued: Whether clients know of any arguments.
    """

    __slots__ = ("argued", "held", "index")

    def __init__(self) -> None:
        self.index: int | None = None
        self.held: dict[str, Any] = {}
        self.argued = False


class ToolCalls:
    """Tells the tool calls of one choice apart while their fragments arrive.

    Each gets an index from 0 on without gaps, and says its id, type and name once, in its first fragment. Clients glue
    fragments together by that contract: a repeated name doubles, a first index of 1 raises, and so does a first
    fragment without a name in the AI SDK. What comes before the name of a call is held until the name is known.

    The index of a fragment tells which call it belongs to. Without an index its id tells. Without both, a second name
    begins a call, and anything else continues the last one. A known index with another id *and* a second name begins a
    call: Gemini numbers every call 0. Another id alone does not: old versions of vLLM made up an id for each fragment.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int, _Call] = {}  # the upstream's index
        self._named = 0

    def tidy(self, fragments: list[dict[str, Any]], *, ended: bool = False) -> bool:
        """Mend the fragments of one delta in place. Returns whether that changed anything.

        Args:
            ended: It is the last one. Then it says, too, which calls have no arguments or no name.
        """
        before = [(type(each.get("index")), {**each}, {**_body(each)}) for each in fragments]
        fragments[:] = [said for each in fragments if (said := self._tidied(each)) is not None]
        if ended:
            fragments += self._missing()
        return [(type(each.get("index")), each, _body(each)) for each in fragments] != before

    def _tidied(self, fragment: dict[str, Any]) -> dict[str, Any] | None:
        """The fragment as clients need it; None if it has to wait for the name of its call."""
        body = _body(fragment)
        if not isinstance(fragment.get("id", ""), str | None):
            fragment["id"] = as_text(fragment["id"])
        if not isinstance(arguments := body.get("arguments", ""), str):
            body["arguments"] = argument_text(arguments, missing="")
        if not isinstance(body.get("name", ""), str | None):
            body["name"] = as_text(body["name"])
        if not isinstance(index := fragment.get("index"), int | None):
            fragment["index"] = int(float(str(index))) if str(index) in _INDEXES else None  # 0.0 and "0" are 0
        call = self._find(fragment, named=bool(body.get("name")))
        if call is None:
            call = self._begin(fragment)
        else:
            for told in ("id", "type"):
                if fragment.get(told):
                    del fragment[told]
        if call.index is None:
            call.held = _joined(call.held, fragment) if call.held else fragment
            return self._said_first(call) if body.get("name") else None
        if body.get("name"):
            del body["name"]
        fragment["index"] = call.index
        call.argued |= _argues(fragment)
        return fragment

    def _find(self, fragment: dict[str, Any], *, named: bool) -> _Call | None:
        index, call_id = fragment.get("index"), fragment.get("id") or ""
        if isinstance(index, int):
            known = self._by_index.get(index)
            if known is None:
                return None if named else self._by_id.get(call_id)
            return self._by_id.get(call_id) if known.index is not None and named and call_id else known
        if call_id:
            return self._by_id.get(call_id)
        return self._calls[-1] if self._calls and not (named and self._calls[-1].index is not None) else None

    def _begin(self, fragment: dict[str, Any]) -> _Call:
        call = _Call()
        self._calls.append(call)
        if not fragment.get("id") or fragment["id"] in self._by_id:
            fragment["id"] = new_call_id()
        if fragment.get("type") not in CALL_TYPES:
            fragment["type"] = call_type(fragment)
        self._by_id[fragment["id"]] = call
        if isinstance(fragment.get("index"), int):
            self._by_index[fragment["index"]] = call
        return call

    def _said_first(self, call: _Call) -> dict[str, Any]:
        """The first fragment of a call that clients get: all that was held."""
        call.index = call.held["index"] = self._named
        self._named += 1
        call.argued = _argues(call.held)
        return call.held

    def _missing(self) -> Iterator[dict[str, Any]]:
        """What clients need of each call and have not been told."""
        for call in self._calls:
            if call.index is None:
                call.held = _joined(call.held, {call_type(call.held): {"name": ""}})
                yield self._said_first(call)
            if not call.argued:
                call.argued = True
                yield {"index": call.index, "function": {"arguments": "{}"}}


def _argues(fragment: dict[str, Any]) -> bool:
    """Whether it says what the call is made with. The input of a custom tool may be empty, but JSON may not."""
    return bool((_body(fragment).get("arguments") or "").strip()) or bool(fragment.get("custom"))


def _body(fragment: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = fragment.get("function") or fragment.get("custom") or {}
    return body


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two fragments of a call as one. The first says its id and type."""
    body, more = _body(one), _body(other)
    texts = {
        name: said + rest
        for name in ("arguments", "input")
        if isinstance(said := body.get(name), str) and isinstance(rest := more.get(name), str)
    }
    kind = call_type({**one, **other})
    return {**one, **other, "id": one["id"], "type": one["type"], kind: {**body, **more, **texts}}

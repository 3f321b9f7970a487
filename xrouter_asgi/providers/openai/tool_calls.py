"""The tool calls of a streamed answer: each told apart, and each said as clients glue fragments together.

No I/O.
"""

from __future__ import annotations

from typing import Any

from .mending import argument_text, as_text, call_type, new_call_id


class ToolCalls:
    """Tells the tool calls of one choice apart while their fragments arrive.

    Each gets an index from 0 on without gaps, and says its id, type and name once, whichever fragment brings the name.
    Clients glue fragments together by that contract: a repeated name doubles, a first index of 1 raises.

    The index of a fragment tells which call it belongs to. Without an index its id tells. Without both, a second name
    begins a call, and anything else continues the last one. A known index with another id *and* a second name begins a
    call: Gemini numbers every call 0. Another id alone does not: old versions of vLLM made up an id for each fragment.
    """

    def __init__(self) -> None:
        self._count = 0
        self._by_id: dict[str, int] = {}
        self._by_index: dict[int, int] = {}  # the upstream's index → ours
        self._named: set[int] = set()

    def tidy(self, fragments: list[dict[str, Any]]) -> bool:
        """Mend the fragments of one delta in place. Returns whether that changed anything."""
        changed = [self._tidy(fragment) for fragment in fragments]
        return any(changed)

    def _tidy(self, fragment: dict[str, Any]) -> bool:
        body = fragment.get("function") or fragment.get("custom") or {}
        before = {**fragment}, {**body}
        if not isinstance(fragment.get("id", ""), str | None):
            fragment["id"] = as_text(fragment["id"])
        if not isinstance(arguments := body.get("arguments", ""), str):
            body["arguments"] = argument_text(arguments, missing="")
        index = self._find(fragment, named=bool(body.get("name")))
        if index is None:
            index = self._begin(fragment)
        else:
            for told in ("id", "type"):
                if fragment.get(told):
                    del fragment[told]
        if body.get("name"):
            if index in self._named:
                del body["name"]
            self._named.add(index)
        fragment["index"] = index
        return (fragment, body) != before

    def _find(self, fragment: dict[str, Any], *, named: bool) -> int | None:
        index, call_id = fragment.get("index"), fragment.get("id")
        if isinstance(index, int):
            known = self._by_index.get(index)
            return self._by_id.get(call_id) if known in self._named and named and call_id else known
        if call_id:
            return self._by_id.get(call_id)
        last = self._count - 1
        return last if self._count and not (named and last in self._named) else None

    def _begin(self, fragment: dict[str, Any]) -> int:
        index = self._count
        self._count += 1
        if not fragment.get("id"):
            fragment["id"] = new_call_id()
        if not fragment.get("type"):
            fragment["type"] = call_type(fragment)
        self._by_id[fragment["id"]] = index
        if isinstance(fragment.get("index"), int):
            self._by_index[fragment["index"]] = index
        return index

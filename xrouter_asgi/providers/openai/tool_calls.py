"""Tool calls in a stream: each has an index from 0 on without gaps, and says its id, type and name once.

Clients glue fragments together by that contract: a repeated name doubles, a first index of 1 raises.
"""

from __future__ import annotations

import os
from typing import Any


class ToolCalls:
    """Tells the tool calls of one choice apart while their fragments arrive.

    The index of a fragment tells which call it belongs to. Without an index its id tells. Without both, a name begins a
    call, and anything else continues the last one. A known index with another id *and* a name begins a call: Gemini
    numbers every call 0. Another id without a name does not: old versions of vLLM made up an id for each fragment.
    """

    def __init__(self) -> None:
        self._count = 0
        self._by_id: dict[str, int] = {}
        self._by_index: dict[int, int] = {}  # the upstream's index → ours

    def tidy(self, fragments: list[dict[str, Any]]) -> bool:
        """Mend the fragments of one delta in place. Returns whether that changed anything."""
        changed = [self._tidy(fragment) for fragment in fragments]
        return any(changed)

    def _tidy(self, fragment: dict[str, Any]) -> bool:
        body = fragment.get("function") or fragment.get("custom") or {}
        before = {**fragment}, {**body}
        index = self._find(fragment, named=bool(body.get("name")))
        if index is None:
            index = self._begin(fragment)
        else:
            for repeated, name in ((fragment, "id"), (fragment, "type"), (body, "name")):
                if repeated.get(name):
                    del repeated[name]
        fragment["index"] = index
        return (fragment, body) != before

    def _find(self, fragment: dict[str, Any], *, named: bool) -> int | None:
        index, call_id = fragment.get("index"), fragment.get("id")
        if isinstance(index, int):
            known = self._by_index.get(index)
            return self._by_id.get(call_id) if known is not None and named and call_id else known
        if call_id:
            return self._by_id.get(call_id)
        return self._count - 1 if self._count and not named else None

    def _begin(self, fragment: dict[str, Any]) -> int:
        index = self._count
        self._count += 1
        if not fragment.get("id"):
            fragment["id"] = f"call_{os.urandom(12).hex()}"
        if not fragment.get("type"):
            fragment["type"] = "function"
        self._by_id[fragment["id"]] = index
        if isinstance(fragment.get("index"), int):
            self._by_index[fragment["index"]] = index
        return index

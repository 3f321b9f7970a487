"""The response object."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ...errors import XRouterError
from ...wire.codec import encode
from .answer import Answer

_CODES = frozenset(("rate_limit_exceeded", "context_length_exceeded", "insufficient_quota"))  # that agents know
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "service_tier": "default",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


class ResponseObject:
    """The JSON of one response at each of its stages.

    What the request decides is encoded once: a stream shows the object three times, and the tools of an agent alone
    are 30 kB.

    Args:
        value: The request.
        stored: Whether the response will be kept.
    """

    def __init__(self, value: Mapping[str, Any], *, id: str, stored: bool) -> None:
        reasoning = value.get("reasoning") or {}
        self._head = encode(
            {
                "id": id,
                "object": "response",
                "created_at": int(time.time()),
                "model": value["model"],
                "background": False,
                "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
                "store": stored,
                **{name: default if value.get(name) is None else value[name] for name, default in _ECHOED.items()},
            }
        )

    def rename(self, id: str) -> None:
        """Give it the id that a client knows already."""
        self._head = encode({"id": id})[:-1] + self._head[self._head.index(b",") :]

    def begun(self) -> bytes:
        """Before anything is said."""
        return self._with(status="in_progress", output=[])

    def ended(self, answer: Answer) -> bytes:
        """At the end, whole or cut."""
        output = [item.value() for item in answer.items]
        if answer.cut:
            return self._with(status="incomplete", incomplete={"reason": answer.cut}, output=output, usage=answer.usage)
        return self._with(status="completed", completed_at=int(time.time()), output=output, usage=answer.usage)

    def failed(self, answer: Answer, error: XRouterError) -> bytes:
        """After an error, with what was said before it."""
        answer.break_off()
        told = {"code": error.code if error.code in _CODES else "server_error", "message": error.message}
        output = [item.value() for item in answer.items]
        return self._with(status="failed", error=told, output=output, usage=answer.usage)

    def _with(
        self,
        *,
        status: str,
        output: list[dict[str, Any]],
        completed_at: int | None = None,
        error: dict[str, Any] | None = None,
        incomplete: dict[str, Any] | None = None,
        usage: dict[str, Any] | None = None,
    ) -> bytes:
        members = {
            "status": status,
            "completed_at": completed_at,
            "error": error,
            "incomplete_details": incomplete,
            "output": output,
            "usage": usage,
        }
        return b"%b,%b" % (self._head[:-1], encode(members)[1:])

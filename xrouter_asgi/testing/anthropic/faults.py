"""How `FakeAnthropic` can be made to answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..http import Handler
from ..openai import JSON, stream, whole
from .answers import sse

ID = {"request-id": "req_fake"}


def refuse(status: int, kind: str, text: str, *, headers: Mapping[str, str] | None = None) -> Handler:
    """Anthropic's error envelope."""
    return whole(error(kind, text), status=status, headers={**JSON, **ID, **(headers or {})})


def error(kind: str, text: str) -> dict[str, Any]:
    """The envelope, which is an event as well."""
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_fake"}


def told(*said: Mapping[str, Any], **how: Any) -> Handler:
    """An event stream, which ends after these events. See `stream`."""
    headers = {"content-type": "text/event-stream; charset=utf-8", **ID}
    return stream(*map(sse, said), **{"end": b"", "headers": headers, **how})

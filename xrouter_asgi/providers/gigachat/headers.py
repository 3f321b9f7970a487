"""The few headers that clients and GigaChat exchange."""

from __future__ import annotations

import re

import httpx

from ..base import Call

_PASSED_ON = (b"x-service-id", b"x-operation-id", b"x-trace-id", b"x-agent-id")
_FIT_FOR_A_HEADER = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


def fit(value: object) -> str | None:
    """A text that may stand in a header, or None."""
    return value if isinstance(value, str) and _FIT_FOR_A_HEADER.fullmatch(value) else None


def fact(name: str, value: object) -> list[tuple[str, str]]:
    """The header, unless its value is not fit for one."""
    return [(name, text)] if (text := fit(value)) is not None else []


def passed_on(call: Call) -> list[tuple[bytes, bytes]]:
    """The client's headers that go on to GigaChat, and the trace context."""
    told = ((name, fit(call.header(name))) for name in _PASSED_ON)
    return [*call.trace_headers, *((name, value.encode()) for name, value in told if value is not None)]


def upstream_ids(headers: httpx.Headers) -> list[tuple[str, str]]:
    """The ids by which GigaChat's support finds a request."""
    return [
        *fact("x-gigachat-request-id", headers.get("x-request-id")),
        *fact("x-gigachat-session-id", headers.get("x-session-id")),
    ]

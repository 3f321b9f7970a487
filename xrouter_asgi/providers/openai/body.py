"""The body of a request: the client's own bytes, with the changes spliced in."""

from __future__ import annotations

from typing import Any

from ...errors import UnsupportedOperation
from ...wire.codec import splice
from ..base import Call

# If the upstream is a gateway itself, clients could choose an address, a key or an answer by these.
_NOT_FOR_CLIENTS = frozenset(
    [
        "api_base",
        "base_url",
        "api_key",
        "api_version",
        "organization",
        "custom_llm_provider",
        "proxy",
        "headers",
        "extra_headers",
        "extra_query",
        "extra_body",
        "fallbacks",
        "model_list",
    ]
)


def request_body(call: Call, *, ask_usage: bool = False) -> bytes:
    """The body to send for a call.

    Args:
        ask_usage: Set `stream_options.include_usage`.

    Raises:
        UnsupportedOperation: A member would steer a gateway behind this one.
    """
    value = call.document.value
    for name in value:
        if name in _NOT_FOR_CLIENTS or name.startswith("mock_"):
            raise UnsupportedOperation(f"The parameter '{name}' is not for clients. Leave it out.", param=name)
    changes: dict[str, Any] = {}
    if value.get("model") != call.model:
        changes["model"] = call.model
    if ask_usage:
        changes["stream_options"] = {**(value.get("stream_options") or {}), "include_usage": True}
    return splice(call.document.data, value, changes)

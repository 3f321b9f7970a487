"""What an answer depends on of the request that it answers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...http import ErrorReader
from .functions import FunctionNames
from .json_refs import Schema
from .structured_output import without_fence
from .tool_calls import argument_text, call_id


@dataclass(frozen=True, slots=True)
class Asked:
    """How the answer to a request is read."""

    model: str  # the client's name, which the answer repeats
    names: FunctionNames
    schemas: Mapping[str, Schema]  # GigaChat's name of a function -> its arguments
    used_ids: frozenset[str]  # of the calls in the conversation
    stops: tuple[str, ...]
    as_functions: bool  # the client speaks of functions, not of tools
    as_content: bool  # the arguments of a call are the answer: structured output by a function
    in_fence: bool  # the answer may come in a code fence
    include_usage: bool  # in the last chunk of a stream
    errors: ErrorReader

    def head(self, answer: Mapping[str, Any], *, kind: str, request_id: str) -> dict[str, Any]:
        """The members that all chunks of one answer share."""
        created, build = answer.get("created"), answer.get("model")
        head = {
            "id": f"chatcmpl-{request_id.replace('-', '')}",
            "object": kind,
            "created": created if isinstance(created, int) else int(time.time()),
            "model": self.model,
        }
        if isinstance(build, str):
            # GigaChat names the model with its build, such as `GigaChat:2.0.28.2`.
            head["system_fingerprint"] = f"fp_{hashlib.sha256(build.encode(errors='replace')).hexdigest()[:10]}"
        return head

    def tool_call(self, called: Mapping[str, Any], state: object) -> dict[str, Any]:
        """GigaChat's `function_call` as one of OpenAI's `tool_calls`."""
        name = called["name"]
        arguments = argument_text(called.get("arguments"), self.schemas.get(name))
        function = {"name": self.names.to_client(name), "arguments": arguments}
        return {"id": call_id(state, used=self.used_ids), "type": "function", "function": function}

    def content(self, text: str, called: Mapping[str, Any] | None) -> str:
        """The text of an answer, which structured output may hide in a call or a code fence."""
        if called is not None and self.as_content:
            return argument_text(called.get("arguments"), self.schemas.get(called["name"]))
        return without_fence(text) if self.in_fence else text

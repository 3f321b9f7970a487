"""Events of OpenAI's Responses in, chunks of chat out. No I/O, no framing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ...wire import ChatChunk
from ...wire.codec import encode
from ...wire.documents import TextMember
from ..http import ErrorReader, TextPattern, bad_event, event_object, kind_of, object_in
from .errors import refusal
from .responses import chat_usage, finish_reason

_AFTER = b'},"logprobs":null,"finish_reason":null}]}'
_TEXTS: dict[str, TextMember] = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning_content",
    "response.reasoning_text.delta": "reasoning_content",
}
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_ARGUMENTS = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
_ENDS = ("response.completed", "response.incomplete")


class ResponseEvents:
    """Reads the events of one response. See `DialectEvents`.

    Nothing comes of it before the first item begins: an error until then is still an answer of its own.

    Args:
        model: The name to give the model: the client's.
        errors: Reads an event that says that the response failed.
    """

    def __init__(self, *, model: str, errors: ErrorReader) -> None:
        self._model = model
        self._errors = errors
        self._head: dict[str, Any] = {}
        self._calls: dict[object, list[object]] = {}  # by the index of their item: number, and whether arguments came
        self._begun = False
        self._pattern = TextPattern()
        self.kind = ""
        self.text_head = b""
        self.member: TextMember = "content"
        self.frame = (b"", b"")
        self.finished = False
        self.done = False

    def text_of(self, event: bytes) -> str | None:
        """The text of an event that only differs from the last one in it."""
        return self._pattern.text_of(event)

    def feed(self, event: bytes) -> list[ChatChunk]:
        """The chunks of one event, perhaps none.

        Raises:
            XRouterError: It says that the response failed.
            UpstreamError: `bad_event`. It is none of this API.
        """
        value = event_object(event)
        self.kind = kind = kind_of(value)
        if (member := _TEXTS.get(kind)) is not None:
            return self._said(event, value, member)
        if kind in _ARGUMENTS:
            return self._argued(value)
        response = value.get("response")
        if kind in ("response.failed", "error") or value.get("error"):
            error = response.get("error") if isinstance(response, dict) else value.get("error") or value
            raise refusal(None, self._errors.read_value({"error": error}), model=self._model, errors=self._errors)
        if kind == "response.output_item.added":
            return self._added(value.get("output_index"), object_in(value, "item"))
        if kind == "response.output_item.done":
            self._pattern.forget()
            return self._rest(value.get("output_index"), object_in(value, "item"))
        if kind in _ENDS:
            return self._finish(object_in(value, "response"))
        if isinstance(response, dict):
            self._learn(response)
        return []

    def _learn(self, response: Mapping[str, Any]) -> None:
        self._head = head(response, kind="chat.completion.chunk", model=self._model)

    def _begin(self) -> list[ChatChunk]:
        """The first chunk, which says who speaks."""
        if self._begun:
            return []
        self._begun = True
        if not self._head:
            self._learn({})
        return [self._chunk({"role": "assistant", "content": "", "refusal": None})]

    def _said(self, event: bytes, value: dict[str, Any], member: TextMember) -> list[ChatChunk]:
        if not isinstance(text := value.get("delta"), str):
            raise bad_event("a text is none")
        begun = self._begin()
        self._pattern.forget()
        if not text:
            return begun
        start = b'%b,"choices":[{"index":0,"delta":{"%b":' % (encode(self._head)[:-1], member.encode())
        self.text_head, self.member = b"event: %b\ndata: " % self.kind.encode(), member
        self.frame = (start + b'"', b'"' + _AFTER)
        if not value.get("logprobs"):
            self._pattern.learn(event, value, "delta")
        return [*begun, ChatChunk(None, start + encode(text) + _AFTER)]

    def _added(self, index: object, item: dict[str, Any]) -> list[ChatChunk]:
        begun = self._begin()
        if item.get("type") not in _CALLS:
            return begun
        call_id, name = item.get("call_id"), item.get("name")
        if not (isinstance(call_id, str) and isinstance(name, str)):
            raise bad_event("a call has no id or no name")
        number = len(self._calls)
        self._calls[index] = [number, False]
        function = {"name": name, "arguments": ""}
        call = {"index": number, "id": call_id, "type": "function", "function": function}
        return [*begun, self._chunk({"tool_calls": [call]})]

    def _argued(self, value: dict[str, Any]) -> list[ChatChunk]:
        if (call := self._calls.get(value.get("output_index"))) is None:
            raise bad_event("it belongs to no call")
        if not isinstance(part := value.get("delta"), str):
            raise bad_event("arguments are no text")
        call[1] = True
        return [self._chunk({"tool_calls": [{"index": call[0], "function": {"arguments": part}}]})] if part else []

    def _rest(self, index: object, item: dict[str, Any]) -> list[ChatChunk]:
        """The arguments of a call that came in one piece, with the end of its item."""
        call = self._calls.get(index)
        if call is None or call[1]:
            return self._begin()
        arguments = item.get(_CALLS.get(str(item.get("type")), ""))
        if not isinstance(arguments, str) or not arguments:
            return []
        return [self._chunk({"tool_calls": [{"index": call[0], "function": {"arguments": arguments}}]})]

    def _finish(self, response: dict[str, Any]) -> list[ChatChunk]:
        """The end of the answer, and its usage."""
        self.finished = self.done = True
        chunks = [*self._begin(), self._chunk({}, finish_reason(response, called=bool(self._calls)))]
        usage = chat_usage(response.get("usage"))
        return chunks if usage is None else [*chunks, ChatChunk({**self._head, "choices": [], "usage": usage})]

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> ChatChunk:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return ChatChunk({**self._head, "choices": [choice]})


def head(response: Mapping[str, Any], *, kind: str, model: str) -> dict[str, Any]:
    """The members that all chunks of one answer share."""
    created = response.get("created_at")
    made = int(created) if isinstance(created, (int, float)) else int(time.time())
    return {"id": f"chatcmpl-{response.get('id')}", "object": kind, "created": made, "model": model}

"""The chunks of a streamed answer. Each event is checked, and passed on as the bytes it came in where possible.

No I/O.
"""

from __future__ import annotations

from typing import Any

from ...errors import UpstreamError, XRouterError
from ...wire import ChatChunk
from ...wire.codec import decode
from ...wire.sse import EventReader
from ..http import ErrorReader
from .errors import is_error, refusal
from .mending import (
    AnswerHead,
    all_objects,
    argument_text,
    has_head,
    how_it_ended,
    mend_role,
    mend_usage,
    take_text,
    without_null_usage,
)
from .parts import CONTENT, mend_content
from .pattern import EventPattern, without_field
from .tool_calls import ToolCalls

_CHUNK = "chat.completion.chunk"
_MOST_HELD = 64  # events without a choice in a row; those beyond it are dropped, for they say nothing
_MOST_HELD_BYTES = 1 << 20
_TEXT = (str, type(None))
_ROLES = ("assistant", None, "")


class ChunkReader:
    """Bytes of an event stream in, chunks out. See `ChunkDecoder`.

    Args:
        choices: How many choices were asked for: the `n` of the request.
        hide_usage: Drop `usage: null`, since it was the gateway and not the client that asked for usage.
        model: Which model was asked for; for the words of an error.
        errors: Reads an error event.

    Attributes:
        silent: Whether the last piece held nothing but events without a choice and without usage.
        done: Whether the upstream said that it is done. What comes after that is dropped.
        failure: What went wrong after the chunks that were returned.
    """

    finished = False  # `ChatStream` itself sees when a stream of OpenAI's is whole

    def __init__(self, *, choices: int, hide_usage: bool, model: str, errors: ErrorReader) -> None:
        self._events = EventReader()
        self._pattern = EventPattern()
        self._choices = choices
        self._hide_usage = hide_usage
        self._model = model
        self._errors = errors
        self._begun = False
        self._head = AnswerHead(_CHUNK, model)
        self._roles: set[int] = set()  # the choices whose role the client knows: all that have begun
        self._finished: set[int] = set()
        self._functions: set[int] = set()  # the choices that call something as it was done before there were tools
        self._tools: dict[int, ToolCalls] = {}
        self._held: list[tuple[bytes, dict[str, Any], bool]] = []  # events without a choice; whether they were mended
        self._held_size = 0
        self.silent = True
        self.done = False
        self.failure: XRouterError | None = None

    def feed(self, piece: bytes) -> list[ChatChunk]:
        """The chunks that `piece` completes."""
        chunks: list[ChatChunk] = []
        self.silent = True
        try:
            for event in self._events.feed(piece):
                if (text := self._pattern.text_of(event)) is not None:
                    if self._held:
                        self._hand_on_held(chunks)
                    chunks.append(ChatChunk(None, event, text=text, member=self._pattern.member))
                    continue
                if event[:1] != b"{":
                    event = without_field(event)
                    if event.strip() == b"[DONE]":
                        self._finish(chunks)
                        break
                self._take(event, _decoded(event), chunks)
        except XRouterError as error:
            self.failure = error
        return chunks

    def _finish(self, chunks: list[ChatChunk]) -> None:
        """Take `[DONE]` for what the last brace of a whole answer is: it has ended, even if it does not say how."""
        self.done = True
        self._hand_on_held(chunks)
        for index in sorted(self._roles - self._finished):
            calls: list[dict[str, Any]] = []
            self._tools.get(index, ToolCalls()).tidy(calls, ended=True)
            reason = "tool_calls" if index in self._tools else "function_call" if index in self._functions else "stop"
            delta = {"tool_calls": calls} if calls else {}
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
            value = {"id": None, "object": _CHUNK, "created": None, "model": None, "choices": [choice]}
            self._head.mend(value)
            chunks.append(ChatChunk(value))

    def close(self) -> list[ChatChunk]:
        """The chunk that the end of the stream completes, if any. What the end cuts off is no event."""
        chunks: list[ChatChunk] = []
        try:
            for event in map(without_field, self._events.close()):
                if event.strip() == b"[DONE]":
                    self._finish(chunks)
                else:
                    self._take(event, decode(event), chunks)
        except XRouterError as error:
            self.failure = error
        except ValueError:
            pass
        self._hand_on_held(chunks)
        return chunks

    def _take(self, event: bytes, value: Any, chunks: list[ChatChunk]) -> None:
        if not isinstance(value, dict):
            raise _bad_event("it is no object")
        if self._begun and _is_plain_chunk(value):
            if self._held:
                self._hand_on_held(chunks)
            if "usage" in value and self._hide_usage:
                self._hand_on(event, value, False, chunks)
                return
            chunks.append(ChatChunk(value, event))
            self._pattern.learn(event, value)
            return
        if is_error(value):
            raise refusal(None, self._errors.read_value(value), model=self._model, errors=self._errors)
        mended = value.get("choices") is None
        if mended:
            value["choices"] = []
        choices = _objects(value["choices"], "choices")
        mended |= mend_usage(value)
        if not choices:
            self._hold(event, value, mended)
            if not self.silent:
                self._hand_on_held(chunks)
            return
        for choice in choices:
            mended |= self._mend_choice(choice)
        mended |= self._head.mend(value)
        begins, self._begun = not self._begun, True
        self._hand_on_held(chunks)
        if begins and choices[0]["index"] != 0:
            # A client's library keeps choices in a list, and learns of them in this order.
            chunks.append(_opening(value))
            self._roles.add(0)
        for choice in choices:
            mended |= self._mend_role(choice)
        self._hand_on(event, value, mended, chunks)

    def _hold(self, event: bytes, value: dict[str, Any], mended: bool) -> None:
        """Keep an event without a choice until one with a choice comes: alone it is no beginning.

        It is no sign of life either, unless it tells the usage.
        """
        self._head.learn(value)
        usage = isinstance(value.get("usage"), dict)
        if usage:
            self.silent = False
        if (usage and self._begun) or (
            len(self._held) < _MOST_HELD and self._held_size + len(event) <= _MOST_HELD_BYTES
        ):
            self._held.append((event, value, mended))
            self._held_size += len(event)

    def _hand_on_held(self, chunks: list[ChatChunk]) -> None:
        if self._begun and self._held:
            held, self._held, self._held_size = self._held, [], 0
            for event, value, mended in held:
                self._hand_on(event, value, self._head.mend(value) or mended, chunks)

    def _hand_on(self, event: bytes, value: dict[str, Any], mended: bool, chunks: list[ChatChunk]) -> None:
        data = None if mended else event
        if self._hide_usage and "usage" in value and value["usage"] is None:
            del value["usage"]
            data = None if data is None else without_null_usage(data)
        chunks.append(ChatChunk(value, data))

    def _mend_role(self, choice: dict[str, Any]) -> bool:
        """The first delta of each choice says who speaks. A later one may be silent about it, but not say another."""
        index, delta = choice["index"], choice["delta"]
        if index in self._roles and not delta.get("role"):
            return False
        self._roles.add(index)
        return mend_role(delta)

    def _mend_choice(self, choice: dict[str, Any]) -> bool:
        """Check one choice and mend it in place. Returns whether that changed anything."""
        mended = self._choices == 1 and choice.get("index") != 0
        if mended:
            choice["index"] = 0  # the only one there can be, whatever its number says
        elif not isinstance(choice.get("index"), int) or not 0 <= choice["index"] < self._choices:
            raise _bad_event("a choice has no index, or one beyond what was asked for")
        if not isinstance(choice.get("finish_reason") or "", str):
            raise _bad_event("'finish_reason' is no text")
        if choice.get("delta") is None:
            if not take_text(choice, "delta"):
                choice["delta"] = self._whole_message(choice)
            mended = True
        if (reason := choice.get("finish_reason")) and choice["index"] not in self._finished:
            self._finished.add(choice["index"])
        elif reason is not None:
            choice["finish_reason"] = None  # empty, or told before: some clients glue the second to the first
            mended = True
        if not isinstance(delta := choice["delta"], dict) or not isinstance(delta.get("content"), CONTENT):
            raise _bad_event("'delta' is no object, or its content is no text")
        mended |= mend_content(delta)
        return self._mend_calls(choice) or mended

    def _whole_message(self, choice: dict[str, Any]) -> object:
        """What stands for a missing delta: the message, if the event holds a whole answer.

        Azure's events about filtered content have neither.
        """
        message = choice.pop("message", None)
        if message is None or choice["index"] in self._roles:
            return {}
        if not choice.get("finish_reason") and isinstance(message, dict):
            choice["finish_reason"] = how_it_ended(message)
        return message

    def _mend_calls(self, choice: dict[str, Any]) -> bool:
        index, delta, ended = choice["index"], choice["delta"], choice.get("finish_reason") is not None
        told = delta.get("tool_calls")
        if isinstance(function := delta.get("function_call"), dict):
            self._functions.add(index)
            if not isinstance(arguments := function.get("arguments", ""), str):
                function["arguments"] = argument_text(arguments, missing="")
                return True
        if not told and not (ended and index in self._tools):
            return False
        fragments = _objects(told or [], "tool_calls")
        for fragment in fragments:
            bodies = (fragment.get("function"), fragment.get("custom"))
            if not all(isinstance(body or {}, dict) for body in bodies):
                raise _bad_event("a tool call has another shape")
        mended = self._tools.setdefault(index, ToolCalls()).tidy(fragments, ended=ended)
        if mended:
            delta["tool_calls"] = fragments
        if not fragments:
            delta.pop("tool_calls", None)
        return mended


def _is_plain_chunk(value: dict[str, Any]) -> bool:
    """Whether a chunk needs no closer look. That is true of nearly all, hence this shortcut."""
    choices = value.get("choices")
    if not (isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict)) or "error" in value:
        return False
    choice = choices[0]
    delta = choice.get("delta")
    return (
        value.get("usage") is None
        and "x_groq" not in value
        and has_head(value, _CHUNK)
        and choice.get("index") == 0
        and "usage" not in choice
        and "error" not in choice
        and choice.get("finish_reason") is None
        and isinstance(delta, dict)
        and "tool_calls" not in delta
        and "function_call" not in delta
        and isinstance(delta.get("content"), _TEXT)
        and delta.get("role") in _ROLES
    )


def _decoded(event: bytes) -> Any:
    try:
        return decode(event)
    except ValueError as error:
        raise _bad_event(str(error)) from error


def _objects(values: object, name: str) -> list[dict[str, Any]]:
    if not all_objects(values):
        raise _bad_event(f"'{name}' is no list of objects")
    return values


def _bad_event(reason: str) -> UpstreamError:
    return UpstreamError("The upstream sent an event that cannot be read.", code="bad_event", detail=reason)


def _opening(value: dict[str, Any]) -> ChatChunk:
    head = {name: member for name, member in value.items() if name != "usage"}
    delta = {"role": "assistant", "content": ""}
    return ChatChunk({**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]})

"""A streamed answer as the events of the Messages API.

Blocks never overlap, and their indexes count up from 0: a delta that belongs to no open block ends a session of Claude
Code. So only the first call is streamed while it comes. What comes after its beginning is collected, and follows it at
the end: other calls, whose fragments may come in turns, and more text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from ...envelopes import anthropic
from ...errors import XRouterError
from ...wire import ChatChunk
from ...wire.codec import encode
from ...wire.documents import TextMember
from ..writers import NativeEvents
from .blocks import SIGNATURE
from .output import estimated_usage, new_message, stop_reason, text_block, texts, tool_input, tool_use, usage_of

BlockMember: TypeAlias = TextMember | Literal["tool_calls"]
"""The member of a delta that a block is made of."""

_DELTAS: dict[BlockMember, bytes] = {
    "content": b'{"type":"text_delta","text":"',
    "refusal": b'{"type":"text_delta","text":"',
    "reasoning_content": b'{"type":"thinking_delta","thinking":"',
    "tool_calls": b'{"type":"input_json_delta","partial_json":"',
}


class MessagesWriter:
    """Writes chunks of chat as events.

    Args:
        model: The client's name of the model.
        prompt_tokens: Estimates the prompt. Asked once.
    """

    keep_alive = b'event: ping\ndata: {"type":"ping"}\n\n'

    def __init__(self, model: str, *, prompt_tokens: Callable[[], int]) -> None:
        self._model = model
        self._prompt_tokens = prompt_tokens
        self._blocks = 0  # that have begun
        self._open: BlockMember | None = None  # what the open block is made of
        self._delta = b""  # how an event with more of it begins
        self._written = 0  # bytes of text and arguments
        self._calls: dict[object, _PendingCall] = {}
        self._later: list[_PendingCall | _PendingText] = []  # the first call, and what came after its beginning
        self._finish_reason: object = None
        self._refused = False
        self._usage: dict[str, int] | None = None

    def begin(self) -> bytes:
        """`message_start`."""
        self._estimate = estimated_usage(self._prompt_tokens(), 0)
        usage = {**self._estimate, "output_tokens": 0}
        return _event("message_start", message=new_message(self._model, content=[], stop_reason=None, usage=usage))

    def feed(self, chunks: Sequence[ChatChunk], /) -> bytes:
        """The deltas of text and of the first call."""
        return b"".join([self._read(chunk) if chunk.text is None else self._splice(chunk) for chunk in chunks])

    def end(self) -> bytes:
        """What was collected; then `message_delta` with the usage, and `message_stop`."""
        events = []
        for block in self._later:
            if not block.begun:
                events.append(self._begin(block.member, block.opening()))
            events.append(self._more(block.rest()))
        events.append(self._close())
        usage = self._usage or estimated_usage(self._estimate["input_tokens"], self._written)
        reason = stop_reason(self._finish_reason, calls=bool(self._calls), refused=self._refused)
        delta = {"stop_reason": reason, "stop_sequence": None}
        return b"".join([*events, _event("message_delta", delta=delta, usage=usage), _event("message_stop")])

    def fail(self, error: XRouterError, request_id: str) -> bytes:
        """One event that holds the envelope of the error. Nothing follows it."""
        _, _, body = anthropic(error, request_id)
        return _named("error", encode(body))

    def _splice(self, chunk: ChatChunk) -> bytes:
        """The event for a chunk that was not decoded: its text stands in JSON as it is."""
        text = chunk.text or ""
        if chunk.member != self._open:
            return self._say(chunk.member, text)
        data = text.encode()
        self._written += len(data)
        return b'%b%b"}}\n\n' % (self._delta, data)

    def _read(self, chunk: ChatChunk) -> bytes:
        value = chunk.value
        if value.get("usage"):
            self._usage = usage_of(value["usage"]) or self._usage
        events = []
        for choice in value.get("choices") or ():
            if choice.get("index", 0) == 0:
                delta = choice.get("delta") or {}
                events += [self._say(member, text) for member, text in texts(delta)]
                events += [self._add(fragment) for fragment in delta.get("tool_calls") or ()]
                self._finish_reason = choice.get("finish_reason") or self._finish_reason
        return b"".join(events)

    def _say(self, member: TextMember, text: str) -> bytes:
        if not text:
            return b""
        self._refused = self._refused or member == "refusal"
        if self._later:
            last = self._later[-1]
            if not isinstance(last, _PendingText) or last.member != member:
                last = _PendingText(member)
                self._later.append(last)
            last.add(text)
            return b""
        begun = b"" if member == self._open else self._begin(member, text_block(member, "", signature=""))
        return begun + self._more(text)

    def _add(self, fragment: dict[str, Any]) -> bytes:
        """Take a fragment of a call. Returns the events for it if it is the first call's."""
        index = fragment.get("index")
        if index not in self._calls:
            self._calls[index] = _PendingCall()
            self._later.append(self._calls[index])
        call = self._calls[index]
        call.learn(fragment)
        if call is not self._later[0] or not call.name:
            return b""
        begun = b"" if call.begun else self._begin("tool_calls", call.opening())
        call.begun = True
        return begun + self._more(call.ready())

    def _begin(self, member: BlockMember, block: dict[str, Any]) -> bytes:
        """Close the open block and begin another one."""
        closed = self._close()
        event = _event("content_block_start", index=self._blocks, content_block=block)
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % self._blocks
        self._open = member
        self._delta = head + _DELTAS[member]
        self._blocks += 1
        return closed + event

    def _more(self, text: str) -> bytes:
        """More of the open block; nothing for an empty text."""
        if not text:
            return b""
        quoted = encode(text)
        self._written += len(quoted)
        return self._delta + quoted[1:] + b"}}\n\n"

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        index = self._blocks - 1
        signed = b""
        if self._open == "reasoning_content":
            delta = {"type": "signature_delta", "signature": SIGNATURE}
            signed = _event("content_block_delta", index=index, delta=delta)
        self._open = None
        return signed + _event("content_block_stop", index=index)


class NativeMessages(NativeEvents):
    """Passes on the events of a message. One that ended without `message_stop` gets it."""

    _last = b""

    def passed(self, events: bytes) -> bytes:
        self._last = events
        return events

    def end(self) -> bytes:
        whole = not self._last or b'"message_stop"' in self._last
        return super().end() if whole else _event("message_stop")


class _PendingText:
    """Text that waits for the end."""

    begun = False

    def __init__(self, member: TextMember) -> None:
        self.member = member
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        self._parts.append(text)

    def opening(self) -> dict[str, Any]:
        return text_block(self.member, "", signature="")

    def rest(self) -> str:
        return "".join(self._parts)


class _PendingCall:
    """A call, as far as it has come."""

    member: Literal["tool_calls"] = "tool_calls"

    def __init__(self) -> None:
        self.begun = False
        self.name: str | None = None
        self._id: str | None = None
        self._waiting: list[str] = []  # arguments that are not written yet
        self._begins: str | None = None  # the first character of the arguments that is no white space

    def learn(self, fragment: dict[str, Any]) -> None:
        function = fragment.get("function") or {}
        self._id = self._id or fragment.get("id")
        self.name = self.name or function.get("name")
        if arguments := function.get("arguments"):
            self._waiting.append(arguments)
            self._begins = self._begins or arguments.lstrip()[:1] or None

    def opening(self) -> dict[str, Any]:
        return tool_use(self._id, self.name, {})

    def ready(self) -> str:
        """The arguments that can be written: those of an object as they come."""
        if self._begins != "{":
            return ""
        waiting, self._waiting = "".join(self._waiting), []
        return waiting

    def rest(self) -> str:
        """All arguments that are left. What is no object becomes one."""
        if self._begins is None or self._begins == "{":
            return self.ready()
        return encode(tool_input("".join(self._waiting))).decode()


def _event(name: str, **members: Any) -> bytes:
    return _named(name, encode({"type": name, **members}))


def _named(name: str, data: bytes) -> bytes:
    # Anthropic's SDK passes over an event without its name.
    return b"event: %b\ndata: %b\n\n" % (name.encode("ascii"), data)

"""Events of a streamed message in, chunks of chat out. No I/O, no framing, and nothing of a request but names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...wire import ChatChunk
from ...wire.codec import encode
from ...wire.documents import TextMember
from ..http import ErrorReader, TextPattern, bad_event, event_object, kind_of, object_in
from .answer import chat_usage, finish_reason, head
from .errors import refusal
from .names import Aliases

_BEFORE = b'"choices":[{"index":0,"delta":{"%b":'
_AFTER = b'},"logprobs":null,"finish_reason":null}]}'
_TEXTS: dict[object, TextMember] = {"text": "content", "thinking": "reasoning_content"}
_DELTAS = {"text_delta": "text", "thinking_delta": "thinking"}


@dataclass(slots=True, eq=False)
class _OpenBlock:
    """A block that has begun: its first event, its number among those of its kind, and what was added to it."""

    value: dict[str, Any]
    index: int = 0
    added: list[str] = field(default_factory=list)
    signature: str = ""


class MessageEvents:
    """Reads the events of one message.

    Nothing comes of it before the first block begins: an error until then is still an answer of its own. Signed
    thinking is told whole when it ends, in `thinking_blocks`, so that a client can send it back.

    Args:
        model: The name to give the model: the client's.
        names: Tells the client's names of tools.
        errors: Reads an error event.

    Attributes:
        kind: The `type` of the last event.
        frame, member: Of a chunk with the text of an event that was not decoded.
        finished: The answer is whole.
        done: The upstream said that nothing follows.
    """

    text_head = b"event: content_block_delta\ndata: "

    def __init__(self, *, model: str, errors: ErrorReader, names: Aliases | None = None) -> None:
        self._model = model
        self._errors = errors
        self._names = names or Aliases()
        self._head: dict[str, Any] = {}
        self._starts: dict[str, bytes] = {}  # how a chunk with text begins
        self._begun = False
        self._blocks: dict[object, _OpenBlock] = {}
        self._calls = 0
        self._thoughts = 0
        self._usage: tuple[object, ...] = ()
        self._pattern = TextPattern()
        self._speaking: _OpenBlock | None = None  # the block that the pattern is about
        self.kind = ""
        self.member: TextMember = "content"
        self.frame = (b"", b"")
        self.finished = False
        self.done = False

    def text_of(self, event: bytes) -> str | None:
        """The text of an event that only differs from the last one in it. See `DialectEvents`."""
        text = self._pattern.text_of(event)
        if text is not None and self._speaking is not None:
            self._speaking.added.append(text)
        return text

    def feed(self, event: bytes) -> list[ChatChunk]:
        """The chunks of one event, perhaps none.

        Args:
            event: Its data.

        Raises:
            XRouterError: It is an error event.
            UpstreamError: `bad_event`. It is none of this API.
        """
        value = event_object(event)
        self.kind = kind_of(value)
        match value.get("type"):
            case "content_block_delta":
                chunks = self._delta(value.get("index"), object_in(value, "delta"))
                self._learn_pattern(event, value, chunks)
                return chunks
            case "content_block_start":
                return self._start(value.get("index"), object_in(value, "content_block"))
            case "content_block_stop":
                self._pattern.forget()
                return self._stop(self._blocks.pop(value.get("index"), None))
            case "message_start":
                message = object_in(value, "message")
                self._learn(message)
                self._usage = (message.get("usage"),)
            case "message_delta":
                self._usage = (*self._usage[:1], value.get("usage"))
                if (reason := object_in(value, "delta").get("stop_reason")) is not None:
                    return self._finish(reason)
            case "message_stop":
                self.done = True
                return self._finish("end_turn")
            case kind if kind == "error" or value.get("error"):
                raise refusal(None, self._errors.read_value(value), model=self._model, errors=self._errors)
        return []  # a ping, or what is new

    def _learn(self, message: dict[str, Any]) -> None:
        self._head = head(message, kind="chat.completion.chunk", model=self._model)
        start = encode(self._head)[:-1] + b"," + _BEFORE
        self._starts = {member: start % member.encode() for member in _TEXTS.values()}

    def _learn_pattern(self, event: bytes, value: dict[str, Any], chunks: list[ChatChunk]) -> None:
        """Learn from an event that adds a text to an open block and nothing else."""
        self._pattern.forget()
        if len(chunks) == 1 and chunks[0].text is not None:
            block, self.member = self._blocks[value.get("index")], chunks[0].member
            self.frame = (self._starts[self.member] + b'"', b'"' + _AFTER)
            self._speaking = block if self.member == "reasoning_content" else None
            self._pattern.learn(event, value, "delta", "thinking" if self._speaking else "text")

    def _begin(self, *, content: str | None = "") -> list[ChatChunk]:
        """The first chunk, which says who speaks."""
        if self._begun:
            return []
        self._begun = True
        if not self._head:
            self._learn({})
        return [self._chunk({"role": "assistant", "content": content, "refusal": None})]

    def _start(self, index: object, block: dict[str, Any]) -> list[ChatChunk]:
        opened = self._blocks[index] = _OpenBlock(block)
        match block:
            case {"type": "tool_use", "id": str(call_id), "name": str(name)}:
                opened.index = self._calls
                self._calls += 1
                function = {"name": self._names.to_client(name), "arguments": ""}
                call = {"index": opened.index, "id": call_id, "type": "function", "function": function}
                return [*self._begin(content=None), self._chunk({"tool_calls": [call]})]
            case {"type": "text" | "thinking" as kind}:
                return [*self._begin(), *self._said(kind, opened, block.get(kind))]
            case {"type": "tool_use"}:
                raise bad_event("a call has no id or no name")
        return self._begin()

    def _delta(self, index: object, delta: dict[str, Any]) -> list[ChatChunk]:
        kind, opened = delta.get("type"), self._blocks.get(index)
        if opened is None:
            raise bad_event("it belongs to no open block")
        if (name := _DELTAS.get(str(kind))) is not None:
            return self._said(name, opened, delta.get(name))
        if kind == "input_json_delta" and opened.value.get("type") == "tool_use":
            if not isinstance(part := delta.get("partial_json"), str):
                raise bad_event("arguments are no text")
            if not part:
                return []
            opened.added.append("")
            return [self._chunk({"tool_calls": [{"index": opened.index, "function": {"arguments": part}}]})]
        if kind == "signature_delta" and isinstance(signature := delta.get("signature"), str):
            opened.signature += signature
        return []

    def _said(self, kind: str, opened: _OpenBlock, text: object) -> list[ChatChunk]:
        """A chunk with text, whose bytes are put together."""
        if not isinstance(text, str):
            raise bad_event("a text is none")
        if not text:
            return []
        if kind == "thinking":
            opened.added.append(text)
        member, quoted = _TEXTS[kind], encode(text)
        data = self._starts[member] + quoted + _AFTER
        # Only what needs no escape is as long in JSON as it is.
        plain = text if len(quoted) == len(text.encode(errors="replace")) + 2 else None
        if plain is None:
            return [ChatChunk(None, data)]
        return [ChatChunk(None, data, text=plain, member=member)]

    def _stop(self, opened: _OpenBlock | None) -> list[ChatChunk]:
        if opened is None:
            return []
        match opened.value:
            case {"type": "tool_use"} as block if not opened.added:
                arguments = encode(block.get("input") or {}).decode()
                return [self._chunk({"tool_calls": [{"index": opened.index, "function": {"arguments": arguments}}]})]
            case {"type": "thinking"}:
                return self._signed({"thinking": "".join(opened.added), "signature": opened.signature}, "thinking")
            case {"type": "redacted_thinking", "data": data}:
                return self._signed({"data": data}, "redacted_thinking")
        return []

    def _signed(self, block: dict[str, Any], kind: str) -> list[ChatChunk]:
        """Thinking that is over. Clients put together what has the same `index`."""
        index, self._thoughts = self._thoughts, self._thoughts + 1
        return [self._chunk({"thinking_blocks": [{"index": index, "type": kind, **block}]})]

    def _finish(self, reason: object) -> list[ChatChunk]:
        """The end of the answer, and its usage."""
        if self.finished:
            return []
        self.finished = True
        finish = finish_reason(reason, called=self._calls > 0)
        chunks = [*self._begin(), self._chunk({}, finish)]
        usage = chat_usage(*self._usage)
        return chunks if usage is None else [*chunks, ChatChunk({**self._head, "choices": [], "usage": usage})]

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> ChatChunk:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return ChatChunk({**self._head, "choices": [choice]})

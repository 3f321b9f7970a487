"""A streamed answer: GigaChat's server-sent events in, chunks in OpenAI's dialect out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ....errors import UpstreamError, XRouterError
from ....wire import ChatChunk
from ....wire.codec import decode
from ....wire.sse import EventReader
from ...http import Pieces, json_object
from ..request.asked import Asked
from ..request.tool_calls import parsed
from .completion import conclusion, gross_usage
from .errors import event_error
from .text_filters import Stops, Thinking

_DONE = b"[DONE]"
_LONGEST_DRAIN = 10.0  # seconds: what is generated after a stop sequence is of no use to anybody, but costs tokens


class StreamTranslation:
    """Translates one stream: `feed()` each event, then `close()`.

    It holds a call back until the answer ends, because GigaChat may repeat it or send its state later. A call comes in
    one piece anyway. It also holds back structured output by a function: only the end shows whether there was a call.

    Attributes:
        stopped: A stop sequence was met, so the answer is finished for the client. Further events are read for their
            usage only.
        finished: The answer is whole, except perhaps for its usage.
    """

    def __init__(self, asked: Asked, *, request_id: str) -> None:
        self._asked = asked
        self._request_id = request_id
        self._head: dict[str, Any] = {}
        self._thinking = Thinking()
        self._stops = Stops(asked.stops)
        self._held = ""  # text of an answer that will be known at its end only
        self._has_text = False
        self._call: dict[str, Any] = {}
        self._state: object = None
        self._usage: dict[str, Any] | None = None
        self.finished = False

    @property
    def stopped(self) -> bool:
        return self._stops.hit

    def feed(self, event: dict[str, Any]) -> list[ChatChunk]:
        """The chunks of one decoded event, perhaps none.

        Raises:
            XRouterError: The event is an error, is no event (`bad_event`), or a call failed.
        """
        self._usage = gross_usage(event.get("usage")) or self._usage
        if self.finished:
            return []
        if error := event_error(event, model=self._asked.model, errors=self._asked.errors):
            raise error
        choices = event.get("choices") or ()
        if not isinstance(choices, list | tuple) or not all(isinstance(choice, dict) for choice in choices):
            raise UpstreamError("GigaChat: an event of the stream has no proper choices.", code="bad_event")
        return self._choice(event, choices[0]) if choices else []

    def close(self, *, whole: bool = False) -> list[ChatChunk]:
        """The chunks after the last event.

        Args:
            whole: All that GigaChat wanted to say has come. That ends an answer which has not told its end.

        Raises:
            UpstreamError: `stream_broken`. The answer has no end.
        """
        chunks = []
        if not self.finished:
            if not (whole and self._head):
                raise UpstreamError("GigaChat: the stream ended before the answer was finished.", code="stream_broken")
            deltas, finish = self._end(None)
            chunks = [*map(self._chunk, deltas), self._chunk({}, finish)]
            self.finished = True
        if self._usage is not None:  # the router drops it if the client did not ask for it
            chunks.append(ChatChunk({**self._head, "choices": [], "usage": self._usage}))
        return chunks

    def _choice(self, event: dict[str, Any], choice: dict[str, Any]) -> list[ChatChunk]:
        delta = choice.get("delta") or choice.get("message") or {}
        if not isinstance(delta, dict):
            raise UpstreamError("GigaChat: an event of the stream has no proper delta.", code="bad_event")
        if delta.get("role") == "function_in_progress":  # a progress text, not the answer
            delta = {}
        said = choice.get("finish_reason")
        if not delta and not said:
            return []
        deltas = self._delta(delta)
        finish = "stop" if self.stopped else None
        if said and not self.stopped:
            more, finish = self._end(said)
            deltas += more
        first = not self._head
        if first:
            self._head = self._asked.head(event, kind="chat.completion.chunk", request_id=self._request_id)
        chunks = [self._role(delta)] if first else []
        chunks += [self._chunk(item) for item in deltas]
        if finish:
            self.finished = True
            chunks.append(self._chunk({}, finish))
        return chunks

    def _delta(self, delta: dict[str, Any]) -> list[dict[str, Any]]:
        """What can be shown of a delta now. The rest is kept for later."""
        deltas = []
        if isinstance(reasoning := delta.get("reasoning_content"), str) and reasoning:
            deltas.append({"reasoning_content": reasoning})
        if isinstance(content := delta.get("content"), str) and content:
            deltas += self._shown(*self._thinking.feed(content))
        if isinstance(call := delta.get("function_call"), dict):
            self._merge(call)
        self._state = delta.get("functions_state_id") or self._state
        return deltas

    def _shown(self, reasoning: str, text: str) -> list[dict[str, Any]]:
        deltas = [{"reasoning_content": reasoning}] if reasoning else []
        if self._asked.as_content:
            self._held += text
        elif text := self._stops.feed(text):
            self._has_text = True
            deltas.append({"content": text})
        return deltas

    def _merge(self, call: dict[str, Any]) -> None:
        """Add a part of a call. An object adds members, text continues text that is not whole, all else replaces."""
        if name := call.get("name"):
            self._call["name"] = name
        new, old = call.get("arguments"), self._call.get("arguments")
        if isinstance(new, dict) and isinstance(old, dict):
            self._call["arguments"] = old | new
        elif isinstance(new, str) and isinstance(old, str) and not isinstance(parsed(old), dict):
            self._call["arguments"] = old + new
        elif new is not None:
            self._call["arguments"] = new

    def _end(self, said: object) -> tuple[list[dict[str, Any]], str]:
        """What was held back, and why the answer ended."""
        deltas = self._shown(*self._thinking.close())
        rest, called, reason = conclusion(
            said, self._call, self._held, asked=self._asked, stops=self._stops, has_text=self._has_text
        )
        if rest:
            deltas.append({"content": rest})
        if called:
            deltas += self._called(called)
        return deltas, reason

    def _called(self, called: dict[str, Any]) -> list[dict[str, Any]]:
        """A call in the fragments that OpenAI sends: the name first, then the arguments."""
        call = self._asked.tool_call(called, self._state)
        function = call["function"]
        if self._asked.as_functions:
            return [
                {"function_call": {"name": function["name"], "arguments": ""}},
                {"function_call": {"arguments": function["arguments"]}},
            ]
        named = {"index": 0, **call, "function": {"name": function["name"], "arguments": ""}}
        return [
            {"tool_calls": [named]},
            {"tool_calls": [{"index": 0, "function": {"arguments": function["arguments"]}}]},
        ]

    def _role(self, delta: dict[str, Any]) -> ChatChunk:
        """The first chunk. Its content is null if only a call follows."""
        content = None if delta.get("function_call") and not delta.get("content") else ""
        return self._chunk({"role": "assistant", "content": content, "refusal": None})

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> ChatChunk:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self._asked.include_usage else {}
        return ChatChunk({**self._head, "choices": [choice], **usage})


class EventDecoder:
    """Bytes of an event stream in, chunks out. See `ChunkDecoder`."""

    def __init__(self, translation: StreamTranslation) -> None:
        self._events = EventReader()
        self._translation = translation
        self.build: str | None = None  # GigaChat's name of the model with its version, once an event said so
        self.silent = True
        self.done = False
        self.failure: XRouterError | None = None

    @property
    def finished(self) -> bool:
        return self._translation.finished

    def feed(self, piece: bytes) -> list[ChatChunk]:
        payloads = self._events.feed(piece)
        self.silent = not payloads
        return self._chunks(payloads)

    def close(self) -> list[ChatChunk]:
        # What the end cuts off is no event.
        chunks = self._chunks([*filter(_is_whole, self._events.close())])
        return chunks if self.done or self.failure else chunks + self._closed(whole=False)

    def _chunks(self, payloads: Sequence[bytes]) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        try:
            for payload in payloads:
                if payload == _DONE:
                    self.done = True
                    chunks += self._closed(whole=True)
                    break
                event = json_object(payload, code="bad_event")
                if isinstance(build := event.get("model"), str):
                    self.build = build
                chunks += self._translation.feed(event)
        except XRouterError as error:
            self.failure = error
        return chunks

    def _closed(self, *, whole: bool) -> list[ChatChunk]:
        try:
            return self._translation.close(whole=whole)
        except XRouterError as error:
            self.failure = error
            return []


class UntilStopped:
    """The pieces of an answer until a stop sequence is met, and a little longer for the usage if `drain` wants it."""

    def __init__(self, answer: Pieces, translation: StreamTranslation, *, drain: bool) -> None:
        self._answer = answer
        self._translation = translation
        self._drain = drain
        self._until: float | None = None

    async def __anext__(self) -> bytes:
        if not self._translation.stopped:
            return await self._answer.__anext__()
        if not self._drain:
            raise StopAsyncIteration
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + _LONGEST_DRAIN
        try:
            async with asyncio.timeout_at(self._until):
                return await self._answer.__anext__()
        except TimeoutError:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        await self._answer.aclose()


def _is_whole(payload: bytes) -> bool:
    try:
        decode(payload)
    except ValueError:
        return payload == _DONE
    return True

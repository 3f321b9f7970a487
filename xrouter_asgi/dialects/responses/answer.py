"""The deltas of a chat's answer in; the items of a response, and the events that tell of them, out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...context import Usage
from ...errors import UpstreamError
from ...wire import Document
from ...wire.documents import TextMember
from .output import CallOutput, Event, OutputItem, ReasoningOutput, RefusalOutput, SpokenItem, TextOutput
from .seal import seal
from .tools import ToolNames

MAX_ANSWER: Final = 32 << 20
"""Characters of one answer, as many as the bytes of the largest whole one: a response holds all that was said."""

_SPOKEN = {item.member: item for item in (TextOutput, RefusalOutput, ReasoningOutput)}
_CUT: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Answer:
    """One answer, as far as it has come.

    One text, refusal or thought is open at a time; another kind, or a call, closes it. Calls stay open until the end,
    so fragments of parallel calls may interleave. A whole message is one large delta, so that a whole answer and a
    stream give the same items.

    Args:
        stem: What the ids of all items have in common.
        names: The way back to the client's tools.
        sealing: Whether the client wants its reasoning sealed.

    Attributes:
        items: The output.
        open: The item that text goes to, if there is one.
        usage: As Responses tells it; None while it is unknown.
    """

    def __init__(self, stem: str, names: ToolNames, *, sealing: bool) -> None:
        self._stem = stem
        self._names = names
        self._sealing = sealing
        self._calls: dict[int, _StartedCall] = {}
        self._finish: str | None = None
        self._size = 0
        self.items: list[OutputItem] = []
        self.open: SpokenItem | None = None
        self.usage: dict[str, Any] | None = None

    @property
    def cut(self) -> str | None:
        """Why the answer is incomplete; None if it is whole."""
        return _CUT.get(self._finish or "")

    def take(self, piece: Document) -> list[Event]:
        """Take a chunk, or a whole completion. Raises UpstreamError if it grows beyond `MAX_ANSWER`."""
        value = piece.value
        events: list[Event] = []
        for choice in value.get("choices") or ():
            if choice.get("index", 0) == 0:
                events += self._said(choice.get("delta") or choice.get("message") or {}, choice.get("logprobs") or {})
                self._finish = choice.get("finish_reason") or self._finish
        if (
            counted := Usage.read(value.get("usage"))
        ) is not None:  # as it was told, in streams and whole answers alike
            self.usage = _usage(counted)
        return events

    def grow(self, characters: int) -> None:
        """Note that the answer grows. Raises UpstreamError if it is too large then."""
        self._size += characters
        if self._size > MAX_ANSWER:
            message = f"The upstream sent an answer of more than {MAX_ANSWER} characters."
            raise UpstreamError(message, code="too_large", trips=False)

    def end(self) -> list[Event]:
        """Close all items. An answer that says nothing has one empty message."""
        events = [] if self.items or self._calls else self._begin("content")[1]
        status = "incomplete" if self.cut else "completed"
        events += self._close(status)
        for call in self._calls.values():
            if call.item is not None:
                events += call.item.closing(status)
        return events

    def break_off(self) -> None:
        """Leave the open items as they are: the answer broke."""
        for item in self.items:
            if item.status == "in_progress":
                item.status = "incomplete"

    def _said(self, said: Mapping[str, Any], logprobs: Mapping[str, Any]) -> list[Event]:
        events = self._say("reasoning_content", said.get("reasoning_content") or said.get("reasoning"))
        listed = logprobs.get("content") or []
        events += self._say("content", _text(said.get("content")), **({"logprobs": listed} if listed else {}))
        if isinstance(self.open, TextOutput):
            self.open.logprobs += listed
            self.open.annotations += filter(None, map(_annotation, said.get("annotations") or ()))
        events += self._say("refusal", said.get("refusal"))
        for place, call in enumerate(said.get("tool_calls") or ()):
            events += self._call(call.get("index", place), call)
        return events

    def _say(self, member: TextMember, text: object, **extras: Any) -> list[Event]:
        if not text or not isinstance(text, str):
            return []
        item, events = self._begin(member)
        self.grow(len(text))
        events.append(item.say(text, **extras))
        return events

    def _begin(self, member: TextMember) -> tuple[SpokenItem, list[Event]]:
        """The open item of this kind, and the events that open it if it is not open yet."""
        if self.open is not None and self.open.member == member:
            return self.open, []
        events = self._close()
        kind = _SPOKEN[member]
        self.open = item = kind(self._next_id(kind.prefix), len(self.items))
        self.items.append(item)
        return item, [*events, *item.opening()]

    def _close(self, status: str = "completed") -> list[Event]:
        item, self.open = self.open, None
        if item is None:
            return []
        if isinstance(item, ReasoningOutput) and self._sealing:
            item.sealed = seal(item.text)
        return item.closing(status)

    def _call(self, index: int, fragment: Mapping[str, Any]) -> list[Event]:
        """Take a fragment of a call. Its item begins with the fragment that names the function."""
        function = fragment.get("function") or {}
        call = self._calls.setdefault(index, _StartedCall())
        call.id = call.id or fragment.get("id") or ""
        said = function.get("arguments") or ""
        self.grow(len(said))
        if call.item is not None:
            return call.item.say(said) if said else []
        call.early += said
        if not function.get("name"):
            return []
        tool = self._names.back(function["name"])
        prefix = "ctc" if tool.custom else "fc"
        call.item = CallOutput(self._next_id(prefix), len(self.items), call.id, tool)
        events = [*self._close(), *call.item.opening()]
        self.items.append(call.item)
        return [*events, *(call.item.say(call.early) if call.early else ())]

    def _next_id(self, prefix: str) -> str:
        return f"{prefix}_{self._stem}{len(self.items):02x}"


class _StartedCall:
    """A call that has begun; its item is there once its function is known."""

    def __init__(self) -> None:
        self.id = ""
        self.early = ""
        self.item: CallOutput | None = None


def _text(content: object) -> object:
    """The content as one text; some upstreams write parts."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def _annotation(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """A citation as Responses tells it: flat. None for what it has no form for."""
    cited = told.get("url_citation")
    return {"type": "url_citation", **cited} if isinstance(cited, dict) else None


def _usage(counted: Usage) -> dict[str, Any]:
    """The count with all details, which are 0 where they are unknown."""
    return {
        "input_tokens": counted.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": counted.cached_tokens,
            "cache_write_tokens": counted.cache_write_tokens,
        },
        "output_tokens": counted.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": counted.reasoning_tokens},
        "total_tokens": counted.total_tokens,
    }

"""Chat completions that come as events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.types import ASGIApp

from xrouter_asgi.errors import RequestRejected, UpstreamError, UpstreamRateLimited, UpstreamTimeout
from xrouter_asgi.wire import ChatChunk

from .chat import EXPLAIN, fallback_to
from .house import (
    ANSWER,
    CHAT,
    COUNTED,
    FIRST,
    STOP,
    USAGE,
    House,
    Step,
    chunk,
    chunk_of,
    completion,
    routed,
    streamed,
    word,
)
from .recording import Case, Make, Tape, post

WITH_USAGE = {"stream_options": {"include_usage": True}}
LOST = UpstreamError("The connection to the upstream was lost.", code="connection_lost")


def of(*steps: Step, after: float = 0, commit_after: float | None = 15.0) -> Make:
    return lambda tape: routed(House(steps, after=after), commit_after=commit_after)


def _counting(delta: dict[str, object], finish: str | None, completion_tokens: int) -> ChatChunk:
    usage = {"prompt_tokens": 9, "completion_tokens": completion_tokens, "total_tokens": 9 + completion_tokens}
    return chunk(delta, finish, usage=usage)


COUNTING: list[Step] = [[_counting({"content": "Hel"}, None, 1)], [_counting({"content": "lo"}, None, 2)]]
COUNTING += [[_counting({}, "stop", 2)]]


def _tools() -> list[Step]:
    function = {"name": "weather", "arguments": ""}
    calls: list[object] = [{"index": 0, "id": "call_1", "type": "function", "function": function}]
    calls += [{"index": 0, "function": {"arguments": text}} for text in ('{"city":', '"Tver"}')]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}, *({"tool_calls": [call]} for call in calls)]
    return [*([chunk(delta)] for delta in deltas), [chunk({}, "tool_calls"), COUNTED]]


def _choices() -> list[Step]:
    choices = [{"index": index, "delta": {"content": text}, "finish_reason": None} for index, text in enumerate("AB")]
    return [
        [chunk({"role": "assistant", "content": ""}, index=index) for index in (0, 1)],
        [chunk_of(*choices)],
        [chunk({}, "stop", index=1)],
        [chunk({}, "length", index=0)],
    ]


def _texts() -> list[Step]:
    """Chunks of which only the text was read, and whose bytes are the upstream's own."""
    data = [b'{"choices": [{"index":0,"delta":{"content":"%b"}}]}' % text for text in (b"Hel", b"lo")]
    pretty = b'{\n "choices": [{"index": 0,\n  "delta": {}, "finish_reason": "stop"}]\n}'
    return [[ChatChunk(None, data[0], text="Hel"), ChatChunk(None, data[1], text="lo")], [ChatChunk(None, pretty)]]


def _stopped(*before: Step) -> Make:
    """The process shuts down while the upstream is silent."""

    def make(tape: Tape) -> ASGIApp:
        steps = list(before)
        router = routed(House(steps))
        steps += [lambda: router.stop(), 60.0]
        return router

    return make


CASES = [
    Case("whole", of(*ANSWER), [post(CHAT, streamed())]),
    Case("with-usage", of(*ANSWER), [post(CHAT, streamed(**WITH_USAGE))]),
    Case("without-usage", of([word("Hi")], [STOP]), [post(CHAT, streamed(**WITH_USAGE))]),
    Case("usage-in-each-chunk", of(*COUNTING), [post(CHAT, streamed(**WITH_USAGE)), post(CHAT, streamed())]),
    Case("usage-null", of([chunk({"content": "Hi"}, "stop", usage=None)], [COUNTED]), [post(CHAT, streamed())]),
    Case(
        "usage-beside-the-end",
        of([word("Hi")], [chunk({}, "stop", usage=USAGE)]),
        [post(CHAT, streamed(**WITH_USAGE))],
    ),
    Case("tool-calls", of(*_tools()), [post(CHAT, streamed())]),
    Case("choices", of(*_choices()), [post(CHAT, streamed(n=2))]),
    Case("roleless", of([word("Hel")], [word("lo")], [STOP]), [post(CHAT, streamed())]),
    Case("in-one-batch", of([FIRST, word("Hi"), STOP, COUNTED]), [post(CHAT, streamed(**WITH_USAGE))]),
    Case("as-the-upstream-wrote-it", of(*_texts()), [post(CHAT, streamed())]),
    Case("cyrillic", of([word("При\nвет")], [word("🙂"), STOP]), [post(CHAT, streamed())]),
    Case("explained", lambda tape: fallback_to(House(ANSWER, name="second")), [post(CHAT, streamed(), EXPLAIN)]),
    Case(
        "explained-broken",
        lambda tape: fallback_to(House([[word("Hel")], LOST], name="second")),
        [post(CHAT, streamed(), EXPLAIN)],
    ),
    # Before the commit point.
    Case("refused", of(RequestRejected("No such voice.", status=422, param="voice")), [post(CHAT, streamed())]),
    Case("rate-limited", of(UpstreamRateLimited("Slow down.", retry_after=7)), [post(CHAT, streamed())]),
    Case("empty", of(), [post(CHAT, streamed())]),
    Case("defect-at-first", of(RuntimeError("secret")), [post(CHAT, streamed())]),
    Case("answered-whole", lambda tape: routed(House(completion())), [post(CHAT, streamed())]),
    # After it.
    Case("broken", of([FIRST], [word("Hel")], LOST), [post(CHAT, streamed(**WITH_USAGE))]),
    Case(
        "timed-out",
        of([FIRST], UpstreamTimeout("The upstream was silent for too long.", code="idle_timeout")),
        [post(CHAT, streamed())],
    ),
    Case("defect", of([FIRST], RuntimeError("secret")), [post(CHAT, streamed())]),
    Case("that-merely-stops", of([FIRST], [word("Hel")]), [post(CHAT, streamed())]),
    Case("lost-after-its-end", of([word("Hi")], [STOP], LOST), [post(CHAT, streamed())]),
    Case("of-a-client-that-leaves", of(*ANSWER), [replace(post(CHAT, streamed()), leave_after=3)]),
    # With silence.
    Case("kept-awake", of([FIRST], 31.0, [word("Hi")], 16.0, [STOP]), [post(CHAT, streamed())]),
    Case("early-head", of(*ANSWER, after=31.0), [post(CHAT, streamed(**WITH_USAGE))]),
    Case("early-head-then-nothing-lively", of(*ANSWER, after=31.0, commit_after=None), [post(CHAT, streamed())]),
    Case(
        "early-head-then-error",
        of(16.0, UpstreamRateLimited("Slow down.", retry_after=7)),
        [post(CHAT, streamed())],
    ),
    Case("early-head-then-defect", of(16.0, RuntimeError("secret")), [post(CHAT, streamed())]),
    Case(
        "early-head-explained",
        lambda tape: fallback_to(House(ANSWER, name="second", after=16.0)),
        [post(CHAT, streamed(), EXPLAIN)],
    ),
    # At the end of the process.
    Case("stopped-before-the-answer", _stopped(), [post(CHAT, streamed())]),
    Case("stopped-after-an-early-head", _stopped(16.0), [post(CHAT, streamed())]),
    Case("stopped-in-a-stream", _stopped([FIRST], [word("Hel")]), [post(CHAT, streamed())]),
]

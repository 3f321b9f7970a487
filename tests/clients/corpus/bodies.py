"""Answers that are no UTF-8, large, mislabelled, compressed or of the other kind (kinds 3, 7 and 8)."""

from __future__ import annotations

import gzip
import json
from typing import Any

from xrouter_asgi.testing.http import Handler
from xrouter_asgi.testing.openai import DONE, event, stream, whole
from xrouter_asgi.testing.openai_answers import chunk

from ..asking import Answer, Called, Case, Said
from .parts import BASH, COUNTED, FIRST, HELLO, STOP, USAGE, WORD, call, calling, completion, fragments

LABELS = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "plain": "text/plain",
    "event-stream": "text/event-stream",
    "no": None,
}
EVENTS = b"".join(map(event, (FIRST, WORD, STOP, COUNTED)))
LINES = EVENTS.replace(b"\n\n", b"\n")
TWICE = EVENTS.replace(b"data: ", b"data: data: ")
LARGE = "x" * 1_500_000


def labelled(name: str, body: bytes, **headers: str) -> Handler:
    label = LABELS[name]
    return whole(body, headers={**({} if label is None else {"content-type": label}), **headers})


def _escaped(*values: dict[str, Any]) -> list[bytes]:
    return [b"data: " + json.dumps(value).encode("ascii") + b"\n\n" for value in values]


def _halves() -> list[Case]:
    """Half a surrogate pair: alone it is nobody's, with its other half in the next event a face."""
    alone = Answer((Said("a\ud83d"),), USAGE)
    return [
        Case("half-a-pair", alone, whole(completion({"role": "assistant", "content": "a\ud83d"})),
             stream(*_escaped(chunk({"content": "a"}), chunk({"content": "\ud83d"}), STOP, COUNTED))),
        Case("half-a-pair-each", Answer((Said("😀"),), USAGE), stream=stream(
            *_escaped(chunk({"content": "\ud83d"}), chunk({"content": "\ude00"}), STOP, COUNTED))),
    ]  # fmt: skip


def _large() -> list[Case]:
    called = Answer((Said(calls=(Called("bash", {"c": LARGE}, "c0"),), finish="tool_calls"),), USAGE)
    arguments = json.dumps({"c": LARGE})
    text = {"role": "assistant", "content": LARGE}
    return [
        Case("large-arguments", called, whole(calling(call(arguments))), fragments([call(arguments, index=0)])),
        Case("large-text", Answer((Said(LARGE),), USAGE), whole(completion(text)),
             stream(chunk(text), STOP, COUNTED)),
    ]  # fmt: skip


def _coded(name: str) -> list[Case]:
    """Answers of both kinds under one label, each asked for in both ways."""
    body = json.dumps(completion()).encode()
    return [
        Case(f"events-labelled-{name}", HELLO, labelled(name, EVENTS + DONE), labelled(name, EVENTS + DONE)),
        Case(f"completion-labelled-{name}", HELLO, labelled(name, body), labelled(name, body)),
    ]


CASES = [
    *_halves(),
    *_large(),
    *(case for name in LABELS for case in _coded(name)),
    Case("completion-then-done", HELLO, *[labelled("json", json.dumps(completion()).encode() + b"\n\n" + DONE)] * 2),
    Case("completion-as-the-event", HELLO, *[stream(completion())] * 2),
    Case("calls-as-the-event", BASH, *[stream(calling(call()))] * 2),
    Case("one-line-feed-between-events", HELLO, *[labelled("event-stream", LINES + b"data: [DONE]\n")] * 2),
    Case("a-field-in-the-field", HELLO, *[labelled("event-stream", TWICE + DONE)] * 2),
    Case("no-done", HELLO, stream=stream(FIRST, WORD, STOP, COUNTED, end=b"")),
    Case("compressed", HELLO,
         labelled("json", gzip.compress(json.dumps(completion()).encode()), **{"content-encoding": "gzip"}),
         labelled("event-stream", gzip.compress(EVENTS + DONE), **{"content-encoding": "gzip"})),
]  # fmt: skip

"""Answers that fail, and what a client has to be told (kinds 2 and 5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xrouter_asgi.testing.http import Handler
from xrouter_asgi.testing.openai import chunked, event, raw, refuse, stream, whole
from xrouter_asgi.testing.openai_answers import chunk

from .chunks import AZURE
from .parts import FIRST, WORD


@dataclass(frozen=True)
class Failure:
    """What an upstream sends that is no answer.

    Attributes:
        status: What the client gets; None if it comes in the middle of a stream.
        words: Part of the message that the client gets.
        falls_back: Whether another target answers in its place.
    """

    name: str
    script: Handler = field(repr=False)
    status: int | None
    code: str | None
    words: str
    falls_back: bool = True
    modes: tuple[str, ...] = ("whole", "stream")


OH: dict[str, Any] = {"error": {"message": "Oh.", "type": "server_error", "param": None, "code": None}}
LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
STREAM = ("stream",)

FAILURES = [
    Failure("quota", refuse(429, "You exceeded your current quota.", type="insufficient_quota"),
            429, "insufficient_quota", "quota"),
    Failure("quota-as-a-402", whole({"error": {"message": "Insufficient Balance"}}, status=402),
            429, "insufficient_quota", "quota"),
    Failure("context", refuse(400, LONG), 400, "context_length_exceeded", "8192", falls_back=False),
    Failure("context-as-a-500", refuse(500, LONG), 400, "context_length_exceeded", "8192", falls_back=False),
    Failure("rate", refuse(429, "Rate limit reached for tokens per minute (TPM). Try again in 9.8s.", type="tokens"),
            429, "rate_limit_exceeded", "9.8s"),
    Failure("overloaded", refuse(529, "Overloaded"), 503, "upstream_overloaded", "Overloaded"),
    Failure("model-gone", refuse(404, "The model `x` does not exist.", code="model_not_found"),
            404, "model_not_found", "does not exist"),
    Failure("caller", refuse(400, "'temperature' is too high.", param="temperature"),
            400, None, "temperature", falls_back=False),
    Failure("soft", whole({"code": 500, "msg": "Oh."}), 502, "upstream_error", "Oh."),
    Failure("error-as-the-event", stream(OH), 502, "upstream_error", "Oh."),
    Failure("azure-then-error", stream(AZURE, OH), 502, "upstream_error", "Oh.", modes=STREAM),
    Failure("azure-then-cut", raw(chunked(event(AZURE))[:-5]), 502, "truncated", "cut short", modes=STREAM),
    Failure("no-choice", stream(AZURE), 502, "empty_stream", "before it began", modes=STREAM),
    Failure("error-in-the-middle", stream(FIRST, WORD, OH), None, "upstream_error", "Oh.",
            falls_back=False, modes=STREAM),
    Failure("cut-in-the-middle", raw(chunked(event(FIRST), event(WORD))[:-5]),
            None, "stream_broken", "before the answer was finished", falls_back=False, modes=STREAM),
    Failure("no-end", stream(FIRST, WORD, end=b""), None, "stream_broken", "before the answer was finished",
            falls_back=False, modes=STREAM),
    Failure("bad-event-in-the-middle", stream(FIRST, b"data: {\n\n", chunk({}, "stop")), None, "bad_event", "read",
            falls_back=False, modes=STREAM),
]  # fmt: skip

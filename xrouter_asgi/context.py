"""What is known about one request, kept in one typed object under one scope key.

Whichever part meets the request first makes it. A copied scope still holds the same object, so what the inside
learns reaches the outside. Not a contextvar: those do not come back out of tasks.
"""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the upstream counted them; zero is a number, unknown is the absence of a `Usage`.

    Attributes:
        prompt_tokens: All input, cached tokens included.
        completion_tokens: All output, reasoning included.
    """

    prompt_tokens: int
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @classmethod
    def read(cls, value: object) -> Usage | None:
        """The `usage` of an OpenAI answer; None when it is absent or says nothing countable."""
        if not isinstance(value, dict):
            return None
        prompt = _count(value.get("prompt_tokens"))
        if prompt is None:
            return None
        details = value.get("prompt_tokens_details")
        return cls(
            prompt_tokens=prompt,
            completion_tokens=_count(value.get("completion_tokens")) or 0,
            cached_tokens=_count(details.get("cached_tokens")) or 0 if isinstance(details, dict) else 0,
        )


def _count(value: object) -> int | None:
    # A negative number would be credit.
    return value if type(value) is int and value >= 0 else None


@dataclass(slots=True)
class RequestContext:
    """The facts of one request; each has one writer."""

    request_id: str = field(default_factory=lambda: "req_" + os.urandom(16).hex())  # whoever makes it
    model: str | None = None  # LLMRouter: the name the client asked for
    provider: str | None = None  # LLMRouter: who answered
    upstream_model: str | None = None  # LLMRouter: which model there
    usage: Usage | None = None  # LLMRouter: from the answer or the end of the stream

    @classmethod
    def of(cls, scope: MutableMapping[str, Any]) -> RequestContext:
        """The context of this request, made on first use.

        A client's `x-request-id` is kept when it is 1 to 64 of `A-Z a-z 0-9 . _ -`, else replaced.
        """
        context = scope.get("xrouter")
        if isinstance(context, cls):
            return context
        context = cls()
        for name, value in scope.get("headers", ()):
            if name == b"x-request-id":
                wanted = value.decode("latin-1")
                if _WELL_FORMED.fullmatch(wanted):
                    context.request_id = wanted
                break
        scope["xrouter"] = context
        return context

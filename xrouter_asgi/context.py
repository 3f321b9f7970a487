"""What is known about one request, kept in one typed object under one scope key.

Whichever part meets the request first makes it. A copied scope still holds the same object, so what the inside
learns reaches the outside. Not a contextvar: those do not come back out of tasks.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .decision import Attempt as Attempt  # known to most by this place
from .decision import Decision
from .errors import XRouterError

logger = logging.getLogger("xrouter")

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Usage(NamedTuple):
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


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling.

    Attributes:
        id: The public id of a key, or what the host calls its user; never a secret.
        owner: Whom the key belongs to.
        scopes: The endpoints it may use: `chat`, `embeddings`, `models`; none means all.
        models: The models it may use, names or patterns with one `*`; none means all.
        limits: Limits of its own, such as `60/minute`, in place of the general ones of the same kind.
    """

    id: str
    owner: str | None = None
    scopes: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    def has_scope(self, scope: str) -> bool:
        return not self.scopes or scope in self.scopes

    def may_use(self, model: str) -> bool:
        return not self.models or any(matches(pattern, model) for pattern in self.models)


def matches(pattern: str, name: str) -> bool:
    """Whether a model's name is the pattern's; one `*` stands for anything."""
    return stem(pattern, name) is not None


def stem(pattern: str, name: str) -> str | None:
    """What the one `*` of the pattern stands for in the name, "" where there is no `*`; None if they do not match."""
    before, star, after = pattern.partition("*")
    if not star:
        return "" if name == pattern else None
    end = len(name) - len(after)
    return name[len(before) : end] if name.startswith(before) and name.endswith(after, len(before)) else None


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a request may come to cost, before anything is sent.

    Attributes:
        model: The name the client asked for.
        prompt_tokens: An upper bound of its input.
        completion_tokens: The bound the client set to the output of all choices; None when it set none.
    """

    model: str
    prompt_tokens: int
    completion_tokens: int | None = None


def tell(observers: Iterable[Callable[[object], None]], event: object) -> None:
    """Tell each observer of an event. One that fails goes to the log and harms nobody."""
    for observer in observers:
        try:
            observer(event)
        except Exception:
            logger.exception("An observer failed on %s", type(event).__name__)


@dataclass(slots=True)
class RequestContext:
    """The facts of one request; each has one writer."""

    request_id: str = field(default_factory=lambda: "req_" + os.urandom(16).hex())  # whoever makes it
    trace_id: str | None = None  # TracingMiddleware: 32 hexadecimal digits
    principal: Principal | None = None  # APIKeyMiddleware
    reserve_tokens: Callable[[CostEstimate], Awaitable[None]] | None = None  # RateLimitMiddleware, for LLMRouter to ask
    endpoint: str | None = None  # LLMRouter: chat, embeddings, models, …
    model: str | None = None  # LLMRouter: the name the client asked for
    provider: str | None = None  # LLMRouter: who answered
    upstream_model: str | None = None  # LLMRouter: which model there
    streamed: bool = False  # LLMRouter
    usage: Usage | None = None  # LLMRouter: from the answer or the end of the stream
    characters: int = 0  # LLMRouter: of text that a stream brought so far
    error: XRouterError | None = None  # whoever answers: what it was refused with, or broke off with
    attempts: list[Attempt] = field(default_factory=list)  # Target
    own_keys: frozenset[str] = frozenset()  # BringYourOwnKey: at which providers the caller's own credential was used
    decision: Decision = field(init=False, repr=False)  # Fallback: why it went where it went
    propagate: Callable[[Attempt], Sequence[tuple[bytes, bytes]]] | None = None  # TracingMiddleware, for Target to ask
    observers: list[Callable[[object], None]] = field(default_factory=list)  # whoever wants to be told of events

    def __post_init__(self) -> None:
        self.decision = Decision(self.attempts)

    @property
    def caller(self) -> str:
        """Whose turn it is in a queue: the principal's id. Requests without a principal share one name."""
        return "" if self.principal is None else self.principal.id

    @property
    def facts(self) -> dict[str, object]:
        """For a line in the log, as its `extra`: which request, and which attempt at which provider it came to."""
        last = self.attempts[-1].provider if self.attempts else None
        return {"request_id": self.request_id, "provider": last, "attempt": len(self.attempts)}

    def emit(self, event: object) -> None:
        """Tell every observer of this request."""
        tell(self.observers, event)

    def release(self) -> None:
        """Let go of the frames that errors went through. To be called by whoever has answered.

        They hold the request's body, and this context, which holds the errors: a ring that is not freed until the
        collector of cycles comes by, and then a thousand of them at once, while everybody waits.
        """
        errors = [self.error, *(attempt.error for attempt in self.attempts)]
        while errors:
            error = errors.pop()
            if error is not None and error.__traceback__ is not None:
                error.__traceback__ = None
                errors += (error.__cause__, error.__context__)

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

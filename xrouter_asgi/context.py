"""What is known about one request: one typed object under one key of its scope.

The first part of ours to see the request creates it. A copied scope still holds the same object, so what the inside
learns reaches the outside. It is no contextvar, because values set in a task do not come back out of it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .decision import Attempt as Attempt  # most modules import these from here
from .decision import Cost as Cost
from .decision import Decision
from .decision import Usage as Usage
from .envelopes import Envelope, anthropic, openai
from .errors import XRouterError

logger = logging.getLogger("xrouter")

CLIENT_CREDENTIAL = b"x-provider-key"
"""The header with the caller's own credential for the upstream."""

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling."""

    id: str  # the public id of a key, or the host's name for its user; never a secret
    owner: str | None = None  # whom the key belongs to
    scopes: frozenset[str] = frozenset()  # of endpoints: `chat`, `embeddings`, `models`; none means all
    models: tuple[str, ...] = ()  # that it may use, names or patterns with one `*`; none means all
    limits: tuple[str, ...] = ()  # such as `60/minute`; each replaces the general limit of the same kind
    groups: tuple[
        str, ...
    ] = ()  # that the owner belongs to: departments, projects; each has its own `per group` counts

    def has_scope(self, scope: str) -> bool:
        return not self.scopes or scope in self.scopes

    def may_use(self, model: str) -> bool:
        return not self.models or any(matches(pattern, model) for pattern in self.models)


def normal_form(model: str) -> str:
    """One spelling for all that an upstream may take for the same model, so that no other one passes a limit."""
    return model.strip().casefold()


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern matches a model's name. One `*` stands for anything."""
    return stem(pattern, name) is not None


def stem(pattern: str, name: str) -> str | None:
    """What the one `*` of the pattern stands for in the name, "" if it has no `*`; None if they do not match."""
    before, star, after = pattern.partition("*")
    if not star:
        return "" if name == pattern else None
    end = len(name) - len(after)
    return name[len(before) : end] if name.startswith(before) and name.endswith(after, len(before)) else None


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a request may cost, estimated before anything is sent."""

    model: str  # the name the client asked for
    prompt_tokens: int  # an upper bound
    completion_tokens: int | None = None  # the client's bound, for all choices together; None when it set none
    choices: int = 1  # answers to the same prompt (`n`), each of which may be as long as one


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """A limit of money, and how far it is used up."""

    limit: str  # as clients read it: `20 USD per calendar day`
    per: str  # whose it is, such as `owner`
    models: str | None  # the name or pattern of the models that it is for; None for all
    remaining: str  # such as `12.5 USD`
    reset: float  # seconds until all of it is free again


def tell(observers: Iterable[Callable[[object], None]], event: object) -> None:
    """Pass an event to each observer. An observer that raises is logged and harms nobody."""
    for observer in observers:
        try:
            observer(event)
        except Exception:
            logger.exception("An observer failed on %s", type(event).__name__)


def _nothing() -> None: ...


@dataclass(slots=True, eq=False)
class RequestContext:
    """The facts of one request. Behind each field stands the one part that sets it."""

    request_id: str = field(default_factory=lambda: "req_" + os.urandom(16).hex())  # this class
    trace_id: str | None = None  # TracingMiddleware; 32 hexadecimal digits
    principal: Principal | None = None  # APIKeyMiddleware, or the host by `vouch`
    vouched: bool = False  # vouch(); whether the host, in this process, has said who is calling: no key is needed
    reserve_tokens: Callable[[CostEstimate], Awaitable[None]] | None = None  # RateLimitMiddleware; LLMRouter awaits it
    budgets: Callable[[], Awaitable[Sequence[BudgetStatus]]] | None = None  # RateLimitMiddleware; the caller's own
    admit_stream: Callable[[], None] = _nothing  # AdmissionMiddleware; LLMRouter calls it before it begins a stream
    envelope: Envelope = openai  # this class by the headers, LLMRouter by the path; how this client is told errors
    endpoint: str | None = None  # LLMRouter; `chat`, `embeddings`, `models`, …
    model: str | None = None  # LLMRouter; the name the client asked for
    estimate: CostEstimate | None = None  # LLMRouter; what the request may cost
    metadata: object = None  # LLMRouter; what the client sent by this name, of whatever form
    provider: str | None = None  # LLMRouter; the provider that answered
    upstream_model: str | None = None  # LLMRouter; the model that answered
    streamed: bool = False  # LLMRouter
    is_priced: Callable[[str], bool] | None = None  # RateLimitMiddleware, within a budget; Fallback asks it of targets
    cost: Cost | None = None  # RateLimitMiddleware, if it has prices
    usage: Usage | None = None  # LLMRouter; from the answer, or from the end of the stream
    characters: int = 0  # LLMRouter; of the text that a stream has brought so far
    error: XRouterError | None = None  # fail()
    attempts: list[Attempt] = field(default_factory=list)  # this class; Target appends to it
    cache: Literal["hit", "miss", "bypass"] | None = None  # Cache
    own_keys: frozenset[str] = frozenset()  # BringYourOwnKey; the providers that were sent the caller's own credential
    decision: Decision = field(init=False, repr=False)  # this class; its fields name their writers
    propagate: Callable[[Attempt], Sequence[tuple[bytes, bytes]]] | None = None  # TracingMiddleware; Target asks it
    observers: list[Callable[[object], None]] = field(default_factory=list)  # this class; observers append themselves
    incident_observers: tuple[Callable[[object], None], ...] = ()  # RequestEventsMiddleware; told of all but attempts

    def __post_init__(self) -> None:
        self.decision = Decision(self.attempts)

    @property
    def caller(self) -> str:
        """Whose turn it is in a queue: the principal's id. Requests without a principal share one name."""
        return "" if self.principal is None else self.principal.id

    @property
    def facts(self) -> dict[str, object]:
        """The `extra` of a log line: the request, the last provider that was asked, and the number of attempts."""
        last = self.attempts[-1].provider if self.attempts else None
        return {"request_id": self.request_id, "provider": last, "attempt": len(self.attempts)}

    def emit(self, event: object) -> None:
        """Pass an event to every observer of this request. Those of attempts are for `observers` alone: see Target."""
        tell(self.observers, event)
        tell(self.incident_observers, event)

    def fail(self, error: XRouterError) -> None:
        """Note the error that refuses the request or breaks its stream. Whoever sends it to the client calls this."""
        self.error = error

    def vouch(self, principal: Principal) -> None:
        """Take the host's word for who is calling. No server puts anything here, so nothing from the network can."""
        self.principal = principal
        self.vouched = True

    def release(self) -> None:
        """Drop the tracebacks of all errors. Whoever has answered the client calls this.

        The frames of a traceback hold the request's body and this context, which holds the errors. Only the collector
        of cycles could free that ring, and it would free a thousand of them at once while all requests wait.
        """
        errors = [self.error, *[attempt.error for attempt in self.attempts]]
        while errors:
            error = errors.pop()
            if error is not None and error.__traceback__ is not None:
                error.__traceback__ = None
                errors += (error.__cause__, error.__context__)

    @classmethod
    def within(cls, scope: MutableMapping[str, Any]) -> tuple[MutableMapping[str, Any], RequestContext]:
        """A scope that holds the context of this request, and the context. The scope is a copy unless it is given one.

        Nobody changes the scope of whoever stands further out.
        """
        context = scope.get("xrouter")
        if isinstance(context, cls):
            return scope, context
        scope = {**scope}
        return scope, cls.of(scope)

    @classmethod
    def of(cls, scope: MutableMapping[str, Any]) -> RequestContext:
        """The context of this request, created at the first call.

        A client's `x-request-id` is kept if it is 1 to 64 of `A-Z a-z 0-9 . _ -`, and replaced otherwise. A client that
        sends `anthropic-version`, as all of Anthropic's do, is told errors in Anthropic's envelope.
        """
        context = scope.get("xrouter")
        if isinstance(context, cls):
            return context
        context = cls()
        wanted: bytes | None = None
        for name, value in scope.get("headers", ()):
            if name == b"x-request-id" and wanted is None:
                wanted = value
            elif name == b"anthropic-version":
                context.envelope = anthropic
        if wanted is not None and _WELL_FORMED.fullmatch(text := wanted.decode("latin-1")):
            context.request_id = text
        scope["xrouter"] = context
        return context

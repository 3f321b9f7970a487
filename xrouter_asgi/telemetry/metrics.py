"""What requests and attempts took, as metrics.

Labels come from the configuration, never from a client: a model is named as the router's table names it, a path is the
endpoint that it led to. So the number of series has a bound that no traffic moves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from .. import conventions as names
from ..context import Attempt, RequestContext
from ..decision import Decision
from ..events import (
    AttemptEnded,
    AttemptRetried,
    AttemptStarted,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    CooldownStarted,
    LimiterDegraded,
    LimiterRestored,
    ProviderReplaced,
    RequestEnded,
    RequestStarted,
)
from ..limits.prices import NANO
from . import definitions
from .instruments import Histogram, Instruments, OwnInstruments, Snapshot, Tally, Values
from .meter import MeterInstruments

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

_OTHER = "other"
_NONE = "none"
_ERROR_TYPES = 100  # a provider of somebody's own may make up words
_LAG_EVERY = 0.5  # seconds
_CLOSED, _HALF_OPEN, _OPEN = range(3)


class ModelNames(Protocol):
    """What models are called in labels. `ModelTable` is one."""

    def entry(self, name: str) -> str | None:
        """The name or pattern under which a model is served; None if it is not."""


class Metrics:
    """The observer that measures: requests, attempts, tokens, what is in flight, how late the event loop is, and how
    often which policy did something about a request.

    Args:
        meter_provider: OpenTelemetry's, whose readers then show and send what is measured. None keeps the numbers here,
            at a tenth of the price, for `MetricsApp` to show and `MetricsPush` to send.
        models: The router's table (`router.models`), whose names and patterns are the only models in labels. What it
            does not hold is `other`.
        refusals: How often this process had no room, by the reason (`Refusals.counts`); None measures nothing of it.
        backlog: How many settlements of limits are not counted yet (`store.backlog`).
        lost: How many spans did not come to the collector (`tracer.exporter.lost`); None measures nothing of it.
        dropped: How many requests the ledger did not write down (`ledger.dropped`).
        currency: Of what requests cost; None measures no cost.

    The overhead is the time of a request in which no upstream was at work: reading its body, checks, waiting, backoff.
    """

    def __init__(
        self,
        meter_provider: MeterProvider | None = None,
        *,
        models: ModelNames | None = None,
        refusals: Mapping[Any, int] | None = None,
        backlog: Callable[[], int] | None = None,
        lost: Callable[[], int] | None = None,
        dropped: Callable[[], int] | None = None,
        currency: str | None = None,
    ) -> None:
        self._models = models
        self._error_types: set[str] = set()
        self._instruments = instruments = _instruments(meter_provider)
        self._duration = instruments.histogram(definitions.REQUEST_DURATION)
        self._first_output = instruments.histogram(definitions.REQUEST_FIRST_OUTPUT)
        self._overhead = instruments.histogram(definitions.REQUEST_OVERHEAD)
        self._upstream = instruments.histogram(definitions.OPERATION_DURATION)
        self._first_chunk = instruments.histogram(definitions.OPERATION_FIRST_CHUNK)
        self._usage = instruments.histogram(definitions.USAGE)
        self._lag = _LoopLag(instruments.histogram(definitions.LOOP_LAG))
        self._requests = Tally(instruments, definitions.REQUESTS)
        self._attempts = Tally(instruments, definitions.ATTEMPTS)
        self._requests_in_flight = Tally(instruments, definitions.REQUESTS_IN_FLIGHT)
        self._attempts_in_flight = Tally(instruments, definitions.ATTEMPTS_IN_FLIGHT)
        self._degraded = Tally(instruments, definitions.LIMITER_DEGRADED)
        self._degraded.set(0)
        self._cached, self._prompt_cache = (Tally(instruments, each) for each in definitions.CACHES)
        _show_others(instruments, refusals or {}, backlog or (lambda: 0), lost, dropped)
        self._costs = None if currency is None else Tally(instruments, definitions.COST._replace(unit=currency))
        self._policies = _PolicyCounts(instruments, model=self._model, error_type=self._error_type)
        self._reactions: dict[type, Callable[[Any], None]] = {
            RequestStarted: self._request_started,
            AttemptStarted: self._attempt_started,
            AttemptEnded: self._attempt_ended,
            RequestEnded: self._request_ended,
            LimiterDegraded: lambda event: self._degraded.set(1),
            LimiterRestored: lambda event: self._degraded.set(0),
            **self._policies.reactions,
        }

    def snapshot(self) -> Snapshot:
        """What was measured so far; in any thread. Raises ValueError if a `MeterProvider` has the numbers."""
        return self._instruments.snapshot()

    def __call__(self, event: object) -> None:
        reaction = self._reactions.get(type(event))
        if reaction is not None:
            reaction(event)

    def _request_started(self, event: RequestStarted) -> None:
        self._requests_in_flight.add(1)
        self._lag.watch()

    def _request_ended(self, event: RequestEnded) -> None:
        context = event.context
        endpoint = context.endpoint or _OTHER
        model = self._model(context)
        served = (endpoint, model)
        self._requests_in_flight.add(-1)
        status = _NONE if event.status is None else str(event.status)
        self._requests.add(1, endpoint, model, status, "true" if event.complete else "false")
        self._duration.record(event.duration, served)
        self._overhead.record(max(0.0, event.duration - _upstream_time(context.attempts)), (endpoint,))
        if context.streamed and event.first_byte is not None:
            self._first_output.record(event.first_byte, served)
        if context.cache is not None:
            self._cached.add(1, model, context.cache)
        if (usage := context.usage) is not None and context.cache != "hit":
            operation, provider = names.operation(context.endpoint), context.provider or _NONE
            self._usage.record(usage.prompt_tokens, (operation, provider, model, "input"))
            self._usage.record(usage.completion_tokens, (operation, provider, model, "output"))
            for what, tokens in (("read", usage.cached_tokens), ("write", usage.cache_write_tokens)):
                if tokens:
                    self._prompt_cache.add(tokens, provider, model, what)
        if self._costs is not None and context.cost is not None and context.cost.amount:
            self._costs.add(context.cost.amount / NANO, context.provider or _NONE, model)
        if not context.decision.is_trivial:
            self._policies.went_round(context.decision, model)

    def _attempt_started(self, event: AttemptStarted) -> None:
        self._attempts_in_flight.add(1, event.attempt.provider)

    def _attempt_ended(self, event: AttemptEnded) -> None:
        context, attempt = event.context, event.attempt
        operation, provider, model = names.operation(context.endpoint), attempt.provider, self._model(context)
        self._attempts_in_flight.add(-1, provider)
        if context.streamed and attempt.first is not None:
            self._first_chunk.record(attempt.first - attempt.started, (operation, provider, model))
        failed = "" if attempt.error is None else self._error_type(attempt.error)
        self._attempts.add(1, provider, model, failed)
        self._upstream.record(_end(attempt) - attempt.started, (operation, provider, model, failed))

    def _model(self, context: RequestContext) -> str:
        if context.model is None:
            return _NONE
        return (self._models is not None and self._models.entry(context.model)) or _OTHER

    def _error_type(self, error: BaseException) -> str:
        word = names.error_type(error)
        if word not in self._error_types:
            if len(self._error_types) >= _ERROR_TYPES:
                return _OTHER
            self._error_types.add(word)
        return word


def _instruments(meter_provider: MeterProvider | None) -> Instruments:
    return OwnInstruments() if meter_provider is None else MeterInstruments(meter_provider)


def _show_others(
    instruments: Instruments,
    refusals: Mapping[Any, int],
    backlog: Callable[[], int],
    lost: Callable[[], int] | None,
    dropped: Callable[[], int] | None,
) -> None:
    """Show what others count."""
    instruments.observe(definitions.REFUSALS, lambda: {(reason,): number for reason, number in refusals.items()})
    instruments.observe(definitions.LIMITER_BACKLOG, lambda: {(): backlog()})
    if lost is not None:
        instruments.observe(definitions.SPANS_LOST, lambda: {(): lost()})
    if dropped is not None:
        instruments.observe(definitions.LEDGER_DROPPED, lambda: {(): dropped()})


class _PolicyCounts:
    """How often which policy did something about a request.

    Attributes:
        reactions: What to do about an event, by its type.
    """

    def __init__(
        self,
        instruments: Instruments,
        *,
        model: Callable[[RequestContext], str],
        error_type: Callable[[BaseException], str],
    ) -> None:
        self._model = model
        self._error_type = error_type
        self._retries = Tally(instruments, definitions.RETRIES)
        self._hedges = Tally(instruments, definitions.HEDGES)
        self._exclusions = Tally(instruments, definitions.EXCLUSIONS)
        self._opened = Tally(instruments, definitions.CIRCUIT_OPENED)
        self._states = Tally(instruments, definitions.CIRCUIT_STATE)
        self._cooldowns = Tally(instruments, definitions.COOLDOWNS)
        self.reactions: dict[type, Callable[[Any], None]] = {
            AttemptRetried: self._retried,
            CircuitOpened: self._circuit_opened,
            CircuitHalfOpened: lambda event: self._states.set(_HALF_OPEN, *self._circuit(event)),
            CircuitClosed: lambda event: self._states.set(_CLOSED, *self._circuit(event)),
            CooldownStarted: self._cooldown_started,
            # Its circuits are gone: the state of one that was open would stay as it is for ever.
            ProviderReplaced: lambda event: self._states.forget(event.provider),
        }

    def _retried(self, event: AttemptRetried) -> None:
        self._retries.add(1, event.provider, event.target, self._error_type(event.error))

    def _circuit_opened(self, event: CircuitOpened) -> None:
        self._opened.add(1, *self._circuit(event))
        self._states.set(_OPEN, *self._circuit(event))

    def _cooldown_started(self, event: CooldownStarted) -> None:
        self._cooldowns.add(1, event.provider, event.target, event.cooldown_kind)

    def _circuit(self, event: CircuitOpened | CircuitHalfOpened | CircuitClosed) -> Values:
        return event.provider, self._model(event.context), event.target

    def went_round(self, decision: Decision, model: str) -> None:
        if decision.hedges:
            self._hedges.add(decision.hedges, model)
        for name, why in decision.excluded.items():
            self._exclusions.add(1, model, name, why.kind)


def _upstream_time(attempts: Iterable[Attempt]) -> float:
    """Seconds in which at least one attempt ran; they are in the order of their beginnings and may overlap."""
    total, until = 0.0, 0.0
    for attempt in attempts:
        if (ended := _end(attempt)) > until:
            total += ended - max(attempt.started, until)
            until = ended
    return total


def _end(attempt: Attempt) -> float:
    return time.perf_counter() if attempt.ended is None else attempt.ended


class _LoopLag:
    """Asks each event loop, as long as it runs, for a call twice a second, and records how late it comes."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._watched: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    def watch(self) -> None:
        loop = asyncio.get_running_loop()
        if loop not in self._watched:
            self._watched.add(loop)
            self._ask(loop)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + _LAG_EVERY
        loop.call_at(due, self._answered, loop, due)

    def _answered(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        # A loop may call some of its clock's resolution too early.
        self._histogram.record(max(0.0, loop.time() - due), ())
        self._ask(loop)

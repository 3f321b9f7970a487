"""What requests and attempts took, as OpenTelemetry's metrics.

Labels come from the configuration, never from a client: a model is named as the router's table names it, a path is the
endpoint that it led to. So the number of series has a bound that no traffic moves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from .tally import Tally, gauge_of_backlog, tally_of_refusals

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, Meter, MeterProvider

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
        meter_provider: Where the instruments are made; None takes OpenTelemetry's global one.
        models: The router's table (`router.models`), whose names and patterns are the only models in labels. What it
            does not hold is `other`.
        refusals: How often this process had no room, by the reason (`Refusals.counts`); None measures nothing of it.
        backlog: How many settlements of limits are not counted yet (`store.backlog`).

    The overhead is the time of a request in which no upstream was at work: reading its body, checks, waiting, backoff.
    """

    def __init__(
        self,
        meter_provider: MeterProvider | None = None,
        *,
        models: ModelNames | None = None,
        refusals: Mapping[Any, int] | None = None,
        backlog: Callable[[], int] | None = None,
    ) -> None:
        from opentelemetry import metrics  # here, because OpenTelemetry takes long to import

        self._models = models
        self._error_types: set[str] = set()
        meter = (meter_provider or metrics.get_meter_provider()).get_meter(names.SCOPE)

        def seconds(name: str, what: str, bounds: Sequence[float] = names.SECONDS) -> Histogram:
            return meter.create_histogram(name, "s", what, explicit_bucket_boundaries_advisory=bounds)

        self._duration = seconds(names.REQUEST_DURATION, "From the request to the end of its answer")
        self._first_output = seconds(names.REQUEST_FIRST_OUTPUT, "From the request to the first token of a stream")
        self._overhead = seconds(names.REQUEST_OVERHEAD, "Of a request without an upstream at work", names.SHORT)
        self._upstream = seconds(names.OPERATION_DURATION, "Of an attempt")
        self._first_chunk = seconds(names.OPERATION_FIRST_CHUNK, "From the begin of an attempt to its first chunk")
        self._usage = meter.create_histogram(
            names.USAGE, "{token}", "Tokens of a request", explicit_bucket_boundaries_advisory=names.TOKENS
        )
        self._lag = _LoopLag(seconds(names.LOOP_LAG, "How late the event loop calls", names.SHORT))

        counter, number = meter.create_observable_counter, meter.create_observable_up_down_counter
        of_request = (names.ENDPOINT, names.REQUEST_MODEL, names.HTTP_STATUS, names.COMPLETE)
        of_attempt = (names.PROVIDER, names.REQUEST_MODEL, names.ERROR_TYPE)
        now, alone = "Those that run now", "1 while limits are counted in this process alone"
        self._requests = Tally(counter, names.REQUESTS, "{request}", "Requests that ended", of_request)
        self._attempts = Tally(counter, names.ATTEMPTS, "{attempt}", "Attempts that ended", of_attempt)
        self._requests_in_flight = Tally(number, names.REQUESTS_IN_FLIGHT, "{request}", now)
        self._attempts_in_flight = Tally(number, names.ATTEMPTS_IN_FLIGHT, "{attempt}", now, (names.PROVIDER,))
        self._degraded = Tally(meter.create_observable_gauge, names.LIMITER_DEGRADED, "", alone)
        self._degraded.set(0)
        tally_of_refusals(counter, refusals or {})
        gauge_of_backlog(meter.create_observable_gauge, backlog or (lambda: 0))
        self._policies = _PolicyCounts(meter, model=self._model, error_type=self._error_type)

    def __call__(self, event: object) -> None:
        match event:
            case RequestStarted():
                self._requests_in_flight.add(1)
                self._lag.watch()
            case AttemptStarted():
                self._attempts_in_flight.add(1, event.attempt.provider)
            case AttemptEnded():
                self._attempts_in_flight.add(-1, event.attempt.provider)
                self._attempt_ended(event.context, event.attempt)
            case RequestEnded():
                self._requests_in_flight.add(-1)
                self._request_ended(event)
            case LimiterDegraded():
                self._degraded.set(1)
            case LimiterRestored():
                self._degraded.set(0)
            case _:
                self._policies(event)

    def _request_ended(self, event: RequestEnded) -> None:
        context = event.context
        endpoint = context.endpoint or _OTHER
        model = self._model(context)
        status = _NONE if event.status is None else str(event.status)
        self._requests.add(1, endpoint, model, status, "true" if event.complete else "false")
        served = {names.ENDPOINT: endpoint, names.REQUEST_MODEL: model}
        self._duration.record(event.duration, served)
        self._overhead.record(max(0.0, event.duration - _upstream_time(context.attempts)), {names.ENDPOINT: endpoint})
        if context.streamed and event.first_byte is not None:
            self._first_output.record(event.first_byte, served)
        if context.usage is not None:
            who = _operation(context, context.provider or _NONE, model)
            self._usage.record(context.usage.prompt_tokens, {**who, names.USAGE_KIND: "input"})
            self._usage.record(context.usage.completion_tokens, {**who, names.USAGE_KIND: "output"})
        if not context.decision.is_trivial:
            self._policies.went_round(context.decision, model)

    def _attempt_ended(self, context: RequestContext, attempt: Attempt) -> None:
        model = self._model(context)
        labels = _operation(context, attempt.provider, model)
        if context.streamed and attempt.first is not None:
            self._first_chunk.record(attempt.first - attempt.started, labels)
        failed = "" if attempt.error is None else self._error_type(attempt.error)
        if failed:
            labels[names.ERROR_TYPE] = failed
        self._attempts.add(1, attempt.provider, model, failed)
        self._upstream.record(_end(attempt) - attempt.started, labels)

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


class _PolicyCounts:
    """How often which policy did something about a request."""

    def __init__(
        self, meter: Meter, *, model: Callable[[RequestContext], str], error_type: Callable[[BaseException], str]
    ) -> None:
        self._model = model
        self._error_type = error_type
        counter = meter.create_observable_counter
        upstream = (names.PROVIDER, names.TARGET)
        # By model as well: each has a breaker of its own around a target that several have.
        circuit = (names.PROVIDER, names.REQUEST_MODEL, names.TARGET)
        what = "Repetitions at the same upstream"
        self._retries = Tally(counter, names.RETRIES, "{retry}", what, (*upstream, names.ERROR_TYPE))
        what = "Upstreams that were asked because another one was late"
        self._hedges = Tally(counter, names.HEDGES, "{hedge}", what, (names.REQUEST_MODEL,))
        what = "Candidates that requests passed over"
        passed_over = (names.REQUEST_MODEL, names.TARGET, names.REASON)
        self._exclusions = Tally(counter, names.EXCLUSIONS, "{candidate}", what, passed_over)
        what = "How often a circuit breaker opened"
        self._opened = Tally(counter, names.CIRCUIT_OPENED, "{time}", what, circuit)
        what = "0 closed, 1 half-open, 2 open; of those that ever opened"
        self._states = Tally(meter.create_observable_gauge, names.CIRCUIT_STATE, "", what, circuit)
        what = "How often an upstream that is well was left alone for a while"
        self._cooldowns = Tally(counter, names.COOLDOWNS, "{time}", what, (*upstream, names.COOLDOWN_KIND))

    def __call__(self, event: object) -> None:
        match event:
            case AttemptRetried():
                self._retries.add(1, event.provider, event.target, self._error_type(event.error))
            case CircuitOpened():
                self._opened.add(1, *self._circuit(event))
                self._states.set(_OPEN, *self._circuit(event))
            case CircuitHalfOpened():
                self._states.set(_HALF_OPEN, *self._circuit(event))
            case CircuitClosed():
                self._states.set(_CLOSED, *self._circuit(event))
            case CooldownStarted():
                self._cooldowns.add(1, event.provider, event.target, event.cooldown_kind)
            case ProviderReplaced():
                # Its circuits are gone: the state of one that was open would stay as it is for ever.
                self._states.forget(event.provider)

    def _circuit(self, event: CircuitOpened | CircuitHalfOpened | CircuitClosed) -> tuple[str, str, str]:
        return event.provider, self._model(event.context), event.target

    def went_round(self, decision: Decision, model: str) -> None:
        if decision.hedges:
            self._hedges.add(decision.hedges, model)
        for name, why in decision.excluded.items():
            self._exclusions.add(1, model, name, why.kind)


def _operation(context: RequestContext, provider: str, model: str) -> dict[str, str]:
    operation = names.operation(context.endpoint)
    return {names.OPERATION: operation, names.PROVIDER: provider, names.REQUEST_MODEL: model}


def _upstream_time(attempts: Iterable[Attempt]) -> float:
    """Seconds in which at least one attempt ran; they are in the order of their beginnings and may overlap."""
    total, until = 0.0, 0.0
    for attempt in attempts:
        total += max(0.0, _end(attempt) - max(attempt.started, until))
        until = max(until, _end(attempt))
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
        self._histogram.record(max(0.0, loop.time() - due))
        self._ask(loop)

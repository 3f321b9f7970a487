"""What requests and attempts took, as metrics.

Labels come from the configuration, never from a client: a model is named as the router's table names it, a path is the
endpoint that it led to. So the number of series has a bound that no traffic moves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import ref

from .. import conventions as names
from ..context import Attempt, RequestContext
from ..events import (
    AttemptEnded,
    AttemptStarted,
    LimiterDegraded,
    LimiterRestored,
    RequestEnded,
    RequestStarted,
)
from ..limits.prices import NANO
from . import definitions
from .instruments import Cell, Instruments, OwnInstruments, Series, Snapshot, Tally
from .meter import MeterInstruments
from .policy_counts import PolicyCounts

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

_OTHER = "other"
_NONE = "none"
_ERROR_TYPES = 100  # a provider of somebody's own may make up words
_LAG_EVERY = 0.5  # seconds


class ModelNames(Protocol):
    """What models are called in labels. `ModelTable` is one."""

    def entry(self, name: str) -> str | None:
        """The name or pattern under which a model is served; None if it is not."""


class _RequestRow(NamedTuple):
    """What a request adds to when it ends. There is a row for whatever differs in a label, and so a bound."""

    in_flight: Cell
    requests: Cell
    duration: Series
    overhead: Series
    first_output: Series
    prompt: Series
    completion: Series


class _AttemptRow(NamedTuple):
    """What an attempt adds to when it ends."""

    in_flight: Cell
    attempts: Cell
    duration: Series
    first_chunk: Series


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
        self._entry: Callable[[str], str | None] = (lambda name: None) if models is None else models.entry
        self._error_types: set[str] = set()
        self._instruments = instruments = _instruments(meter_provider)
        self._duration = instruments.histogram(definitions.REQUEST_DURATION)
        self._first_output = instruments.histogram(definitions.REQUEST_FIRST_OUTPUT)
        self._overhead = instruments.histogram(definitions.REQUEST_OVERHEAD)
        self._upstream = instruments.histogram(definitions.OPERATION_DURATION)
        self._first_chunk = instruments.histogram(definitions.OPERATION_FIRST_CHUNK)
        self._usage = instruments.histogram(definitions.USAGE)
        self._lag = _LoopLag(instruments)
        self._requests = Tally(instruments, definitions.REQUESTS)
        self._attempts = Tally(instruments, definitions.ATTEMPTS)
        self._requests_in_flight = Tally(instruments, definitions.REQUESTS_IN_FLIGHT)
        self._attempts_in_flight = Tally(instruments, definitions.ATTEMPTS_IN_FLIGHT)
        limiter = _limiter_reactions(instruments)
        self._cached, self._prompt_cache = (Tally(instruments, each) for each in definitions.CACHES)
        _show_others(instruments, refusals or {}, backlog or (lambda: 0), lost, dropped)
        self._costs = None if currency is None else Tally(instruments, definitions.COST._replace(unit=currency))
        self._policies = PolicyCounts(instruments, model=self._model, error_type=self._error_type)
        self._request_row = cache(self._new_request_row)
        self._attempt_row = cache(self._new_attempt_row)
        self._reactions: dict[type, Callable[[Any], None]] = {
            RequestStarted: self._request_started,
            AttemptStarted: self._attempt_started,
            AttemptEnded: self._attempt_ended,
            RequestEnded: self._request_ended,
            **limiter,
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
        model, provider, usage = self._model(context), context.provider or _NONE, context.usage
        row = self._request_row(context.endpoint, model, provider, event.status, event.complete)
        overhead = max(0.0, event.duration - _upstream_time(context.attempts))
        if usage is not None and context.cache == "hit":
            usage = None  # nobody used them now
        with self._instruments.lock:
            row.in_flight[0] -= 1
            row.requests[0] += 1
            row.duration.record(event.duration)
            row.overhead.record(overhead)
            if context.streamed and event.first_byte is not None:
                row.first_output.record(event.first_byte)
            if usage is not None:
                row.prompt.record(usage.prompt_tokens)
                row.completion.record(usage.completion_tokens)
        if usage is not None and usage.cached_tokens:
            self._prompt_cache.add(usage.cached_tokens, provider, model, "read")
        if usage is not None and usage.cache_write_tokens:
            self._prompt_cache.add(usage.cache_write_tokens, provider, model, "write")
        if context.cache is not None:
            self._cached.add(1, model, context.cache)
        if self._costs is not None and context.cost is not None and context.cost.amount:
            self._costs.add(context.cost.amount / NANO, provider, model)
        if not context.decision.is_trivial:
            self._policies.went_round(context.decision, model)

    def _new_request_row(
        self, endpoint: str | None, model: str, provider: str, status: int | None, complete: bool
    ) -> _RequestRow:
        operation, endpoint = names.operation(endpoint), endpoint or _OTHER
        code = _NONE if status is None else str(status)
        return _RequestRow(
            self._requests_in_flight.cell(),
            self._requests.cell(endpoint, model, code, "true" if complete else "false"),
            self._duration.series(endpoint, model),
            self._overhead.series(endpoint),
            self._first_output.series(endpoint, model),
            self._usage.series(operation, provider, model, "input"),
            self._usage.series(operation, provider, model, "output"),
        )

    def _attempt_started(self, event: AttemptStarted) -> None:
        self._attempts_in_flight.add(1, event.attempt.provider)

    def _attempt_ended(self, event: AttemptEnded) -> None:
        context, attempt = event.context, event.attempt
        failed = "" if attempt.error is None else self._error_type(attempt.error)
        row = self._attempt_row(context.endpoint, attempt.provider, self._model(context), failed)
        with self._instruments.lock:
            row.in_flight[0] -= 1
            row.attempts[0] += 1
            row.duration.record(_end(attempt) - attempt.started)
            if context.streamed and attempt.first is not None:
                row.first_chunk.record(attempt.first - attempt.started)

    def _new_attempt_row(self, endpoint: str | None, provider: str, model: str, failed: str) -> _AttemptRow:
        labels = (names.operation(endpoint), provider, model)
        return _AttemptRow(
            self._attempts_in_flight.cell(provider),
            self._attempts.cell(provider, model, failed),
            self._upstream.series(*labels, failed),
            self._first_chunk.series(*labels),
        )

    def _model(self, context: RequestContext) -> str:
        return _NONE if context.model is None else self._entry(context.model) or _OTHER

    def _error_type(self, error: BaseException) -> str:
        word = names.error_type(error)
        if word not in self._error_types:
            if len(self._error_types) >= _ERROR_TYPES:
                return _OTHER
            self._error_types.add(word)
        return word


def _instruments(meter_provider: MeterProvider | None) -> Instruments:
    return OwnInstruments() if meter_provider is None else MeterInstruments(meter_provider)


def _limiter_reactions(instruments: Instruments) -> dict[type, Callable[[Any], None]]:
    """Show whether limits are counted in this process alone."""
    degraded = Tally(instruments, definitions.LIMITER_DEGRADED)
    degraded.set(0)
    return {LimiterDegraded: lambda event: degraded.set(1), LimiterRestored: lambda event: degraded.set(0)}


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

    def __init__(self, instruments: Instruments) -> None:
        self._lock = instruments.lock
        self._lag = instruments.histogram(definitions.LOOP_LAG).series()
        self._watched: set[ref[asyncio.AbstractEventLoop]] = set()

    def watch(self) -> None:
        loop = asyncio.get_running_loop()
        if ref(loop) not in self._watched:
            self._watched.add(ref(loop, self._watched.discard))
            self._ask(loop)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + _LAG_EVERY
        loop.call_at(due, self._answered, loop, due)

    def _answered(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        # A loop may call some of its clock's resolution too early.
        with self._lock:
            self._lag.record(max(0.0, loop.time() - due))
        self._ask(loop)

"""The one table of metrics. Whatever counts, shows, adds up or sends them reads it.

A new metric is a line here and, in `metrics.py`, its tally or histogram, which is told a value for each of its labels.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from .. import conventions as names

MetricKind: TypeAlias = Literal["counter", "up_down_counter", "gauge", "histogram"]
"""As OpenTelemetry names its instruments."""


class Metric(NamedTuple):
    """What a metric is called, what it measures, and by what.

    Attributes:
        unit: As UCUM writes it. What stands in braces is for people: Prometheus' names do without it.
        labels: The names of its labels, in the order in which their values are given.
        bounds: The upper bounds of a histogram's buckets, which hold them; a last bucket has none.
    """

    name: str
    kind: MetricKind
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


_SECONDS = tuple(0.01 * 2**power for power in range(14))  # of models, as the conventions give them: 10 ms to 82 s
_SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)  # of next to nothing
_TOKENS = tuple(4**power for power in range(14))  # as the conventions give them: 1 to 67 million

_SERVED = (names.ENDPOINT, names.REQUEST_MODEL)
_OPERATION = (names.OPERATION, names.PROVIDER, names.REQUEST_MODEL)
_UPSTREAM = (names.PROVIDER, names.TARGET)
# By model as well: each has a breaker of its own around a target that several have.
_CIRCUIT = (names.PROVIDER, names.REQUEST_MODEL, names.TARGET)

REQUESTS: Final = Metric(
    "xrouter.requests", "counter", "{request}", "Requests that ended", (*_SERVED, names.HTTP_STATUS, names.COMPLETE)
)
REQUESTS_IN_FLIGHT: Final = Metric("xrouter.requests.in_flight", "up_down_counter", "{request}", "Those that run now")
REQUEST_DURATION: Final = Metric(
    "xrouter.request.duration", "histogram", "s", "From the request to the end of its answer", _SERVED, _SECONDS
)
REQUEST_OVERHEAD: Final = Metric(
    "xrouter.request.overhead", "histogram", "s", "Of a request without an upstream at work", (names.ENDPOINT,), _SHORT
)
REQUEST_FIRST_OUTPUT: Final = Metric(
    "xrouter.request.time_to_first_token",
    "histogram",
    "s",
    "From the request to the first token of a stream",
    _SERVED,
    _SECONDS,
)
ATTEMPTS: Final = Metric(
    names.ATTEMPTS,
    "counter",
    "{attempt}",
    "Attempts that ended",
    (names.PROVIDER, names.REQUEST_MODEL, names.ERROR_TYPE),
)
ATTEMPTS_IN_FLIGHT: Final = Metric(
    "xrouter.attempts.in_flight", "up_down_counter", "{attempt}", "Those that run now", (names.PROVIDER,)
)
OPERATION_DURATION: Final = Metric(
    "gen_ai.client.operation.duration", "histogram", "s", "Of an attempt", (*_OPERATION, names.ERROR_TYPE), _SECONDS
)
OPERATION_FIRST_CHUNK: Final = Metric(
    "gen_ai.client.operation.time_to_first_chunk",
    "histogram",
    "s",
    "From the begin of an attempt to its first chunk",
    _OPERATION,
    _SECONDS,
)
USAGE: Final = Metric(
    "gen_ai.client.token.usage",
    "histogram",
    "{token}",
    "Tokens of a request",
    (*_OPERATION, names.USAGE_KIND),
    _TOKENS,
)
RETRIES: Final = Metric(
    "xrouter.retries", "counter", "{retry}", "Repetitions at the same upstream", (*_UPSTREAM, names.ERROR_TYPE)
)
CACHE: Final = Metric(
    "xrouter.cache",
    "counter",
    "{request}",
    "Requests for models with a cache",
    (names.REQUEST_MODEL, names.CACHE_RESULT),
)
PROMPT_CACHE: Final = Metric(
    "xrouter.prompt_cache.tokens",
    "counter",
    "{token}",
    "Tokens of input that upstreams read from their own caches, and wrote into them",
    (names.PROVIDER, names.REQUEST_MODEL, names.PROMPT_CACHE),
)
CACHES: Final = (CACHE, PROMPT_CACHE)
HEDGES: Final = Metric(
    names.HEDGES,
    "counter",
    "{hedge}",
    "Upstreams that were asked because another one was late",
    (names.REQUEST_MODEL,),
)
EXCLUSIONS: Final = Metric(
    "xrouter.exclusions",
    "counter",
    "{candidate}",
    "Candidates that requests passed over",
    (names.REQUEST_MODEL, names.TARGET, names.REASON),
)
CIRCUIT_OPENED: Final = Metric(
    "xrouter.circuit.opened", "counter", "{time}", "How often a circuit breaker opened", _CIRCUIT
)
CIRCUIT_STATE: Final = Metric(
    "xrouter.circuit.state", "gauge", "", "0 closed, 1 half-open, 2 open; of those that ever opened", _CIRCUIT
)
COOLDOWNS: Final = Metric(
    "xrouter.upstream.cooldowns",
    "counter",
    "{time}",
    "How often an upstream that is well was left alone for a while",
    (*_UPSTREAM, names.COOLDOWN_KIND),
)
LIMITER_DEGRADED: Final = Metric(
    "xrouter.limiter.degraded", "gauge", "", "1 while limits are counted in this process alone"
)
LIMITER_BACKLOG: Final = Metric("xrouter.limiter.backlog", "gauge", "{settlement}", "Settlements of limits that wait")
COST: Final = Metric(
    "xrouter.cost", "counter", "{currency}", "What requests cost", (names.PROVIDER, names.REQUEST_MODEL)
)
LEDGER_DROPPED: Final = Metric(
    "xrouter.ledger.dropped", "counter", "{entry}", "Requests whose cost is not written down"
)
REFUSALS: Final = Metric("xrouter.refusals", "counter", "{refusal}", "Refusals for want of room", (names.REASON,))
SPANS_LOST: Final = Metric("xrouter.spans.lost", "counter", "{span}", "Spans that did not come to the collector")
LOOP_LAG: Final = Metric("xrouter.event_loop.lag", "histogram", "s", "How late the event loop calls", (), _SHORT)

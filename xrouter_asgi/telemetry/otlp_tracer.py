"""Spans made without OpenTelemetry's SDK: at the end of a request, from what its context holds by then."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from random import getrandbits
from types import MappingProxyType
from typing import NamedTuple

from starlette.types import Scope

from ..asgi.exchange import Exchange
from ..decision import Attempt
from .collector import Collector
from .otlp_json import attributes, quoted, resource_of
from .span_exporter import SpanExporter
from .spans import (
    RequestSpans,
    attempt_name,
    failure,
    of_answer,
    of_attempt,
    of_call,
    of_decision,
    of_outcome,
    of_request,
    place_of,
    server_name,
)

_RATIO = 1 << 64  # the lower half of an id decides, so that services with one share sample the same traces
_SERVER, _CLIENT = 2, 3  # of SpanKind
_SAMPLED, _RANDOM = 1, 2  # flags of a trace (W3C Trace Context Level 2, 3.2.2.5): its id is random, as ours are
_LOCAL, _REMOTE = 0x100, 0x300  # of the parent's span, in the flags of a span: known to be of this process, or not
_STATE = 512  # characters of a client's `tracestate` (W3C Trace Context, 3.3.1.5)
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

logger = logging.getLogger("xrouter")


class OTLPTracer:
    """Samples requests, and sends their spans to a collector as OTLP/JSON, at a tenth of the price of the SDK's.

    It decides about the sample first. For a request that is not sampled it makes an id for the log and the upstreams,
    and nothing else. Spans of other instrumentation do not hang below its own: a host that has such takes the SDK's
    tracer provider.

    Args:
        collector: Where spans go. Closed by `aclose()`.
        service: What the spans are filed under.
        share: Of the traces that begin here, how many are sampled: 0 to 1. A trace that a client began is sampled as
            the client said.
        resource: More attributes of the process, such as `deployment.environment.name`.

    Attributes:
        exporter: What sends the spans, and counts those that are lost.

    Raises ValueError for a share that is none.
    """

    def __init__(
        self,
        collector: Collector,
        *,
        service: str = "xrouter",
        share: float = 1.0,
        resource: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"'share' is {share!r}. Write a number from 0 to 1.")
        self.exporter = SpanExporter(collector, resource_of(service, resource))
        self._bound = round(share * _RATIO)

    def begin(self, scope: Scope, exchange: Exchange, *, propagate: bool) -> RequestSpans | None:
        """See `Tracer`."""
        context = exchange.context
        parent = _parent_of(scope) if propagate else None
        if parent is None:
            trace = getrandbits(128)
            flags = _RANDOM | (trace % _RATIO < self._bound)
            context.trace_id = f"{trace:032x}"
        else:
            flags = parent.flags
            context.trace_id = parent.trace_id
        if flags & _SAMPLED:
            return OTLPSpans(self.exporter, scope, exchange, parent, flags, propagate=propagate)
        if propagate:
            context.propagate = partial(_not_sampled, context.trace_id, flags)
        return None

    async def aclose(self) -> None:
        """Send the spans that wait, within 3 s."""
        await self.exporter.aclose()


class OTLPSpans:
    """The spans of one request: their ids while it runs, the rest when it has ended."""

    __slots__ = ("_attempts", "_exchange", "_exporter", "_flags", "_id", "_parent", "_propagate", "_scope")

    def __init__(
        self,
        exporter: SpanExporter,
        scope: Scope,
        exchange: Exchange,
        parent: _Parent | None,
        flags: int,
        *,
        propagate: bool,
    ) -> None:
        self._exporter = exporter
        self._scope = scope
        self._exchange = exchange
        self._parent = parent
        self._flags = flags
        self._propagate = propagate
        self._id = f"{getrandbits(64):016x}"
        self._attempts: list[tuple[Attempt, str]] = []
        exchange.context.propagate = self.propagate

    def propagate(self, attempt: Attempt) -> Sequence[tuple[bytes, bytes]]:
        """Make the id of an attempt's span. Returns the headers that hang the upstream's spans below it."""
        span_id = f"{getrandbits(64):016x}"
        self._attempts.append((attempt, span_id))
        if not self._propagate:
            return ()
        return ((b"traceparent", _traceparent(self._exchange.context.trace_id, span_id, self._flags)),)

    def end(self, error: BaseException | None) -> None:
        """See `RequestSpans`."""
        self._exchange.context.propagate = None  # it holds this object, so neither would be freed before the other
        try:
            now = time.perf_counter()
            epoch = time.time_ns() - int(now * 1e9)
            spans = [self._server(error, now, epoch)]
            for attempt, span_id in self._attempts:
                spans.append(self._client(attempt, span_id, now, epoch))
            self._exporter.add(spans)
        except Exception:
            logger.exception("A span could not be ended")

    def _server(self, error: BaseException | None, now: float, epoch: int) -> str:
        scope, exchange, context, parent = self._scope, self._exchange, self._exchange.context, self._parent
        failed = failure(context, exchange.status, error)
        answer, decision = of_answer(scope, exchange.status, failed), of_decision(context.decision)
        said = attributes(of_call(context), repeated=(of_request(scope, context), answer, decision))
        name, times = server_name(scope, place_of(scope, context)), _times(context.decision.began, now, epoch)
        above, flags = ("", _LOCAL) if parent is None else (parent.members, _REMOTE)
        ids = f'"spanId":"{self._id}"{above},"flags":{flags | self._flags}'
        return self._span(f'{ids},"kind":{_SERVER}', name, times, said, failed=failed is not None)

    def _client(self, attempt: Attempt, span_id: str, now: float, epoch: int) -> str:
        context = self._exchange.context
        said = attributes(of_outcome(context, attempt), repeated=(of_attempt(context, attempt),))
        # One that nobody has ended ends now.
        times = _times(attempt.started, now if attempt.ended is None else attempt.ended, epoch)
        ids = f'"spanId":"{span_id}","parentSpanId":"{self._id}","flags":{_LOCAL | self._flags}'
        name, failed = attempt_name(context, attempt), attempt.error is not None
        return self._span(f'{ids},"kind":{_CLIENT}', name, times, said, failed=failed)

    def _span(self, members: str, name: str, times: str, said: str, *, failed: bool) -> str:
        status = ',"status":{"code":2}' if failed else ""
        trace_id = self._exchange.context.trace_id
        return f'{{"traceId":"{trace_id}",{members},"name":{quoted(name)},{times},"attributes":{said}{status}}}'


def _times(began: float, ended: float, epoch: int) -> str:
    """Begin and end.

    Args:
        began, ended: In seconds of `time.perf_counter()`.
        epoch: The time of Unix at which that clock was 0, in nanoseconds.
    """
    return f'"startTimeUnixNano":"{epoch + int(began * 1e9)}","endTimeUnixNano":"{epoch + int(ended * 1e9)}"'


class _Parent(NamedTuple):
    """The span of a client."""

    trace_id: str
    span_id: str
    flags: int
    state: str  # the client's `tracestate`

    @property
    def members(self) -> str:
        """What the JSON of a span below it has."""
        state = f',"traceState":{quoted(self.state)}' if self.state else ""
        return f',"parentSpanId":"{self.span_id}"{state}'


def _parent_of(scope: Scope) -> _Parent | None:
    """The span that a client names in its `traceparent`; None for none, or for one that is malformed."""
    found, states = None, []
    for name, value in scope["headers"]:
        if name == b"traceparent" and found is None:
            found = _TRACEPARENT.fullmatch(value)
        elif name == b"tracestate":
            states.append(value)
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    state = b",".join(states)
    kept = state.decode("ascii", "replace") if len(state) <= _STATE else ""
    flags = int(found[4], 16) & (_SAMPLED | _RANDOM)
    return _Parent(found[2].decode("ascii"), found[3].decode("ascii"), flags, kept)


def _not_sampled(trace_id: str, flags: int, attempt: Attempt) -> Sequence[tuple[bytes, bytes]]:
    """The headers that tell an upstream that nobody samples this trace."""
    return ((b"traceparent", _traceparent(trace_id, f"{getrandbits(64):016x}", flags)),)


def _traceparent(trace_id: str | None, span_id: str, flags: int) -> bytes:
    return f"00-{trace_id}-{span_id}-{flags:02x}".encode("ascii")

"""Metrics for a collector, as OTLP/JSON (https://opentelemetry.io/docs/specs/otlp).

They are cumulative: each document tells what was counted since the process began, so that a lost one loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from types import MappingProxyType

from ..events import RequestObserver
from .collector import Collector, ExportFailed
from .definitions import Metric, MetricKind
from .instruments import Measurements, Points, Snapshot, Values
from .otlp_json import SCOPE, SERVICE, attributes, quoted, resource_of
from .span_exporter import FLUSH

INTERVAL = 60.0
"""Seconds between two exports, the default of OpenTelemetry's SDKs."""

_CUMULATIVE = '"aggregationTemporality":2'
_DATA: dict[MetricKind, tuple[str, str]] = {
    "counter": ("sum", f',{_CUMULATIVE},"isMonotonic":true'),
    "up_down_counter": ("sum", f',{_CUMULATIVE},"isMonotonic":false'),
    "gauge": ("gauge", ""),
    "histogram": ("histogram", f",{_CUMULATIVE}"),
}

logger = logging.getLogger("xrouter")


class MetricsPush(RequestObserver):
    """The observer that sends what was measured to a collector, again and again from the end of the first request on.

        metrics = Metrics(models=router.models)
        push = MetricsPush(metrics, Collector("http://127.0.0.1:4318"))
        app = RequestEventsMiddleware(router, observers=[metrics, push])

    What the collector does not take is in the next document. Close it at shutdown: `await push.aclose()`.

    Args:
        metrics: `Metrics` without a `MeterProvider`.
        collector: Where to send it. `aclose` closes it.
        interval: Seconds between two exports.
        resource: Attributes of the process, such as `service.name`, which is `xrouter` without them.

    Raises ValueError for metrics that a `MeterProvider` has.
    """

    def __init__(
        self,
        metrics: Measurements,
        collector: Collector,
        *,
        interval: float = INTERVAL,
        resource: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        metrics.snapshot()  # raises now what it would raise at the first export
        self._metrics = metrics
        self._collector = collector
        self._interval = interval
        self._resource = resource_of(SERVICE, resource)
        self._began = time.time_ns()
        self._task: asyncio.Task[None] | None = None

    def __call__(self, event: object) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._push_often())

    async def aclose(self) -> None:
        """Send the numbers for the last time, within 3 s, and close the collector."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            await self._push(within=FLUSH)
        await self._collector.aclose()

    async def _push_often(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._push()

    async def _push(self, *, within: float = math.inf) -> None:
        try:
            # In a thread: many series take longer than a stream should wait for its next chunk.
            document = await asyncio.to_thread(self._document)
            await self._collector.post("/v1/metrics", document, within=within)
        except ExportFailed as error:
            logger.warning("The metrics are not sent. %s.", error)
        except Exception:
            logger.exception("The metrics could not be sent")

    def _document(self) -> bytes:
        return otlp(self._metrics.snapshot(), self._resource, began=self._began, now=time.time_ns())


def otlp(snapshot: Snapshot, resource: Mapping[str, str], *, began: int, now: int) -> bytes:
    """An `ExportMetricsServiceRequest` as JSON.

    Args:
        resource: The attributes that say which process measured.
        began, now: When the numbers were zero, and when they were read, in nanoseconds since 1970.
    """
    times = f'"startTimeUnixNano":"{began}","timeUnixNano":"{now}"'
    metrics = ",".join(_metric(metric, points, times) for metric, points in snapshot.items())
    scope = f'{{"scope":{SCOPE},"metrics":[{metrics}]}}'
    of = f'{{"attributes":{attributes(resource)}}}'
    return f'{{"resourceMetrics":[{{"resource":{of},"scopeMetrics":[{scope}]}}]}}'.encode("ascii")


def _metric(metric: Metric, points: Points, times: str) -> str:
    data, more = _DATA[metric.kind]
    told = ",".join(
        f'{{"attributes":{_attributes(metric.labels, values)},{times},{_numbers(metric, numbers)}}}'
        for values, numbers in points.items()
    )
    head = f'"name":"{metric.name}","unit":{quoted(metric.unit)},"description":{quoted(metric.description)}'
    return f'{{{head},"{data}":{{"dataPoints":[{told}]{more}}}}}'


def _attributes(labels: Values, values: Values) -> str:
    return attributes({label: value or None for label, value in zip(labels, values, strict=True)})


def _numbers(metric: Metric, numbers: list[float]) -> str:
    """The members of a data point. 64-bit integers are texts."""
    if metric.kind != "histogram":
        (number,) = numbers
        return f'"asInt":"{number}"' if isinstance(number, int) else f'"asDouble":{number!r}'
    *counts, total = numbers
    buckets = ",".join(f'"{count}"' for count in counts)
    bounds = ",".join(map(repr, map(float, metric.bounds)))
    return f'"count":"{sum(counts)}","sum":{float(total)!r},"bucketCounts":[{buckets}],"explicitBounds":[{bounds}]'

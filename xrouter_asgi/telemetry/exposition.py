"""Metrics as Prometheus reads them: in its text (https://prometheus.io/docs/instrumenting/exposition_formats), or in
OpenMetrics' (https://prometheus.io/docs/specs/om/open_metrics_spec).

Names follow OpenTelemetry's rules for Prometheus
(https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate, compress
from typing import NamedTuple

from .definitions import Metric
from .instruments import Points, Snapshot, Values

_UNITS = {"s": "seconds"}
_TYPES = {"counter": "counter", "up_down_counter": "gauge", "gauge": "gauge", "histogram": "histogram"}
_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_TEXT_1 = "text/plain; version=1.0.0; charset=utf-8"
_OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_ESCAPING = ("underscores", "allow-utf-8", "dots", "values")


class Format(NamedTuple):
    """How to write metrics.

    Attributes:
        dots: Whether an underscore of a name is doubled. A single one would be read as a dot.
    """

    content_type: str = _TEXT
    open_metrics: bool = False
    dots: bool = False

    def name(self, name: str) -> str:
        return name.replace("_", "__") if self.dots else name


def format_for(accept: str) -> Format:
    """The first known format of an `Accept` header, whatever its `q`, as Prometheus' own clients choose."""
    for media in accept.split(","):
        kind, *parameters = (part.strip() for part in media.split(";"))
        given = {name: value for name, _, value in (part.partition("=") for part in parameters)}
        version, escaping = given.get("version", ""), given.get("escaping", "")
        escaping = escaping if escaping in _ESCAPING else "underscores"
        if kind == "application/openmetrics-text":
            if not version:
                return Format(_OPEN_METRICS, open_metrics=True)
            if _is_1(version):
                return Format(f"{_OPEN_METRICS}; escaping={escaping}", open_metrics=True, dots=escaping == "dots")
        elif kind == "text/plain" and _is_1(version):
            return Format(f"{_TEXT_1}; escaping={escaping}", dots=escaping == "dots")
    return Format()


def _is_1(version: str) -> bool:
    """Whether a client reads version 1 or a later one."""
    major = version.partition(".")[0]
    return major.isdecimal() and major.strip("0") != ""  # a client may send more digits than `int` takes


def exposition(snapshot: Snapshot, format: Format, *, resource: Mapping[str, str]) -> bytes:
    """The text, in UTF-8.

    Args:
        resource: What is measured, as OpenTelemetry's attributes, such as `service.name`.
    """
    lines = list(_target(resource, format))
    for metric, points in snapshot.items():
        lines += _family(metric, points, format)
    if format.open_metrics:
        lines.append("# EOF\n")
    return "".join(lines).encode("utf-8")


def _target(resource: Mapping[str, str], format: Format) -> Iterator[str]:
    name = format.name("target_info")
    if format.open_metrics:
        yield "# HELP target Target metadata\n# TYPE target info\n"
    else:
        yield f"# HELP {name} Target metadata\n# TYPE {name} gauge\n"
    yield f"{name}{_braced(_pairs(tuple(resource), tuple(resource.values()), format))} 1.0\n"


def _family(metric: Metric, points: Points, format: Format) -> Iterator[str]:
    unit = _unit(metric)
    family = "_".join(filter(None, (metric.name.replace(".", "_"), unit)))
    sample = f"{family}_total" if metric.kind == "counter" else family
    name = format.name(family if format.open_metrics else sample)
    yield f"# HELP {name} {metric.description}\n# TYPE {name} {_TYPES[metric.kind]}\n"
    if unit and format.open_metrics:
        yield f"# UNIT {name} {unit}\n"
    # A label that no point has is not written; where some have it, it is empty for the others.
    used = [any(column) for column in zip(*points, strict=True)]
    labels = tuple(compress(metric.labels, used))
    for values, numbers in points.items():
        pairs = _pairs(labels, tuple(compress(values, used)), format)
        if metric.kind == "histogram":
            yield from _histogram(sample, pairs, metric.bounds, numbers, format)
        else:
            yield f"{format.name(sample)}{_braced(pairs)} {float(numbers[0])!r}\n"


def _histogram(
    name: str, pairs: list[str], bounds: tuple[float, ...], numbers: list[float], format: Format
) -> Iterator[str]:
    *counts, total = numbers
    bucket = format.name(f"{name}_bucket")
    before = "".join(f"{pair}," for pair in pairs if pair < "le")
    after = "".join(f",{pair}" for pair in pairs if pair > "le")
    for bound, count in zip((*bounds, "+Inf"), accumulate(counts), strict=True):
        yield f'{bucket}{{{before}le="{bound}"{after}}} {float(count)!r}\n'
    labels = _braced(pairs)
    yield f"{format.name(f'{name}_count')}{labels} {float(sum(counts))!r}\n"
    yield f"{format.name(f'{name}_sum')}{labels} {float(total)!r}\n"


def _unit(metric: Metric) -> str:
    """As Prometheus' names end; empty for a unit in braces."""
    return "" if metric.unit.startswith("{") else _UNITS.get(metric.unit, metric.unit)


def _pairs(labels: Values, values: Values, format: Format) -> list[str]:
    pairs = zip(labels, values, strict=True)
    return sorted(f'{format.name(label.replace(".", "_"))}="{value.translate(_ESCAPED)}"' for label, value in pairs)


def _braced(pairs: list[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""

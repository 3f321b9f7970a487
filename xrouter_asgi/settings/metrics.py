"""The tables of metrics: who is shown them, and where they are sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import model_validator

from ..checks import Seconds
from ..telemetry.instruments import Measurements
from ..telemetry.metrics_push import INTERVAL, MetricsPush
from ..telemetry.prometheus import SHORTEST_TOKEN, MetricsApp
from .base import AppPath, Port
from .references import Secret, reveal
from .telemetry import CollectorSettings, ResourceSettings


class MetricsPushSettings(CollectorSettings):
    """`[metrics.otlp]`: send metrics to a collector.

    Attributes:
        interval: Seconds between two exports.
    """

    interval: Seconds = INTERVAL


class MetricsSettings(ResourceSettings):
    """`[metrics]`: for Prometheus, on a path of the app or on a port of its own; or for a collector.

    Attributes:
        path: The path below the mount.
        token: The token that `Authorization: Bearer` must bring, of 16 characters or more. Not needed on a port of its
            own.
        port: Serve them only there, on every path. Only `xrouter serve` does this.
        host: The address of that port.
        otlp: The collector that they are sent to.
    """

    path: AppPath = "/metrics"
    token: Secret | None = None
    port: Port | None = None
    host: str = "127.0.0.1"
    otlp: MetricsPushSettings | None = None

    @property
    def shown_path(self) -> str | None:
        """The path of the app that shows them; None if a port or a collector has them."""
        return self.path if self.port is None and self.token is not None else None

    def show(self, metrics: Measurements, service: str) -> MetricsApp:
        """Make the app that shows Prometheus what was measured."""
        return MetricsApp(metrics, token=reveal(self.token), resource=self._resource(service))

    def push(self, metrics: Measurements, service: str) -> MetricsPush | None:
        """Make what sends to the collector what was measured; None without `[metrics.otlp]`."""
        if self.otlp is None:
            return None
        collector, interval = self.otlp.collector(), self.otlp.interval
        return MetricsPush(metrics, collector, interval=interval, resource=self._resource(service))

    def _resource(self, service: str) -> Mapping[str, str]:
        return {"service.name": service, **self.resource}

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        is_for_prometheus = self.otlp is None or "path" in self.model_fields_set
        if self.port is None and self.token is None and is_for_prometheus:
            raise ValueError('would be shown to everybody. Write token = "env:NAME", or a port of its own.')
        if self.token is not None and (length := len(self.token.get_secret_value())) < SHORTEST_TOKEN:
            raise ValueError(f"has a token of {length} characters. Take {SHORTEST_TOKEN} or more: openssl rand -hex 32")
        return self

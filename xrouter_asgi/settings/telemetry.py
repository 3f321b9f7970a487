"""The tables of what is told about requests: tracing, access log and metrics."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ..asgi import ExcludedPaths
from ..providers.http import Instrument
from ..telemetry.access_log import AccessLog, LineBuffer
from ..telemetry.otlp import otlp_tracer_provider
from ..telemetry.prometheus import SHORTEST_TOKEN
from .base import Port, Table
from .providers import BaseURL
from .references import Hidden, Secret

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


class TracingSettings(Table):
    """`[tracing]`: send spans to a collector by OTLP over HTTP.

    Attributes:
        endpoint: The collector's base URL; without it `OTEL_EXPORTER_OTLP_ENDPOINT`, else `http://localhost:4318`.
        headers: Sent with every export. A value may be a reference.
        service: The `service.name` of the spans.
        sampling: The share of new traces to keep, 0 to 1.
        propagate: Continue the traces of clients, and send `traceparent` to the upstreams.
        http_spans: Also make a span for each HTTP request to an upstream, including those for tokens and models.
    """

    endpoint: BaseURL | None = None
    headers: dict[str, Hidden] = Field(default_factory=dict)
    service: str = "xrouter"
    sampling: Annotated[float, Field(ge=0, le=1)] = 1.0
    propagate: bool = True
    http_spans: bool = False

    def instrument(self, spans: TracerProvider) -> Instrument | None:
        """Make what wraps each transport in HTTP spans; None if the table wants none."""
        if not self.http_spans:
            return None
        from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport  # here, because it takes long

        return partial(AsyncOpenTelemetryTransport, tracer_provider=spans)

    def build(self) -> TracerProvider:
        """Make the tracer provider. Starts the thread that exports."""
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        return otlp_tracer_provider(self.endpoint, headers=headers or None, service=self.service, share=self.sampling)

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        _need("opentelemetry.exporter.otlp.proto.http", extra="otlp")
        return self


def _excludable(paths: tuple[str, ...]) -> tuple[str, ...]:
    try:
        ExcludedPaths(paths)
    except ValueError as error:
        raise ValueError(f"cannot be used: {error}") from error
    return paths


class AccessLogSettings(Table):
    """`[access_log]`.

    Attributes:
        format: `auto` is `text` on a terminal and `json` elsewhere, both on the standard output; `logging` hands JSON
            to the logger `xrouter.access`.
        exclude_paths: Paths that get no line, such as `/health` or `/docs/*`.
    """

    format: Literal["auto", "json", "text", "logging", "off"] = "auto"
    exclude_paths: Annotated[tuple[str, ...], AfterValidator(_excludable)] = ()

    @property
    def readable(self) -> bool:
        return self.format == "text" or (self.format == "auto" and sys.stdout.isatty())

    def build(self, lines: LineBuffer) -> AccessLog | None:
        """Make the observer that writes the lines; None for no access log."""
        match self.format:
            case "off":
                return None
            case "logging":
                return AccessLog(logging.getLogger("xrouter.access").info, exclude_paths=self.exclude_paths)
        return AccessLog(lines, readable=self.readable, exclude_paths=self.exclude_paths)


def _path(path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or not path.isprintable():
        raise ValueError(f'is {path!r}. Write a path such as "/metrics".')
    return path


class MetricsSettings(Table):
    """`[metrics]`: for Prometheus, on a path of the app or on a port of its own.

    Attributes:
        path: The path below the mount.
        token: The token that `Authorization: Bearer` must bring, of 16 characters or more. Not needed on a port of its
            own.
        port: Serve them only there, on every path. Only `xrouter serve` does this.
        host: The address of that port.
    """

    path: Annotated[str, AfterValidator(_path)] = "/metrics"
    token: Secret | None = None
    port: Port | None = None
    host: str = "127.0.0.1"

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.port is None and self.token is None:
            raise ValueError('would be shown to everybody. Write token = "env:NAME", or a port of its own.')
        _need("opentelemetry.exporter.prometheus", extra="prometheus")
        if self.token is not None and (length := len(self.token.get_secret_value())) < SHORTEST_TOKEN:
            raise ValueError(f"has a token of {length} characters. Take {SHORTEST_TOKEN} or more: openssl rand -hex 32")
        return self


def _need(module: str, *, extra: str) -> None:
    """Raise ValueError now for an import that would fail later. It does not import, which takes long."""
    with suppress(ModuleNotFoundError):  # a package above it
        if find_spec(module) is not None:
            return
    raise ValueError(f'needs more than is installed. Run: pip install "xrouter-asgi[{extra}]"')

"""The tables of what is told about requests: tracing and the access log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import unquote

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, model_validator

from ..asgi import ExcludedPaths
from ..asgi.lifespan import Close, in_thread
from ..checks import Seconds
from ..providers.http import SYSTEM, TLS, Instrument
from ..telemetry.access_log import AccessLog, LineBuffer
from ..telemetry.collector import LOCAL, TIMEOUT, Collector
from ..telemetry.otlp import otlp_tracer_provider
from ..telemetry.otlp_json import SERVICE
from ..telemetry.otlp_tracer import OTLPTracer
from ..telemetry.spans import Tracer
from .base import Table, need
from .references import CABundle, ExistingPath, Hidden, reveal, sources_of
from .upstreams import BaseURL


class CollectorSettings(Table):
    """A collector of OpenTelemetry, which takes OTLP over HTTP.

    Attributes:
        endpoint: The base URL; without it `OTEL_EXPORTER_OTLP_ENDPOINT`, else `http://localhost:4318`.
        headers: Sent with every export; without them `OTEL_EXPORTER_OTLP_HEADERS`. A value may be a reference.
        ca_bundle: File or folder with certificates to trust besides the public ones, or `system`.
        cert, key: The client certificate of this gateway.
        proxy: `http://` or `https://` address. May be a reference, since it may hold a password.
        timeout: Seconds for an export with its repetitions.
        compression: `gzip` takes time here and spares the network.
    """

    endpoint: BaseURL = LOCAL
    headers: dict[str, Hidden] = Field(default_factory=dict)
    ca_bundle: CABundle = None
    cert: ExistingPath | None = None
    key: ExistingPath | None = None
    proxy: Hidden | None = None
    timeout: Seconds = TIMEOUT
    compression: Literal["none", "gzip"] = "none"

    def collector(self) -> Collector:
        """Make the collector. Opens nothing but the files with certificates."""
        return Collector(
            self.endpoint,
            headers=self._headers,
            tls=TLS(self.ca_bundle, cert=_text(self.cert), key=_text(self.key)),
            proxy=reveal(self.proxy),
            timeout=self.timeout,
            compress=self.compression == "gzip",
        )

    @property
    def _headers(self) -> dict[str, str]:
        return {name: value.get_secret_value() for name, value in self.headers.items()}

    @model_validator(mode="before")
    @classmethod
    def _read_the_environment(cls, table: Any, info: ValidationInfo) -> Any:
        """What OpenTelemetry's variables say stands for what the table leaves out."""
        environment = sources_of(info).environment
        found: dict[str, Any] = {}
        if endpoint := environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            found["endpoint"] = endpoint
        if headers := environment.get("OTEL_EXPORTER_OTLP_HEADERS"):
            found["headers"] = {name: SecretStr(value) for name, value in _pairs(headers)}
        return found | table if isinstance(table, dict) else table

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        try:
            self.collector()
        except ValueError as exc:
            raise ValueError(f"cannot be used: {exc}") from exc
        return self


class ResourceSettings(Table):
    """What is said of this process.

    Attributes:
        resource: More attributes than the name of the service; also those of `OTEL_RESOURCE_ATTRIBUTES`.
    """

    resource: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_the_resource(cls, table: Any, info: ValidationInfo) -> Any:
        named = sources_of(info).environment.get("OTEL_RESOURCE_ATTRIBUTES")
        if not named or not isinstance(table, dict) or not isinstance(own := table.get("resource", {}), dict):
            return table
        return {**table, "resource": {**dict(_pairs(named)), **own}}


class TracingSettings(CollectorSettings, ResourceSettings):
    """`[tracing]`: send spans to a collector.

    Attributes:
        protocol: `protobuf` is for collectors that take no JSON. It needs the extra `otlp-protobuf`, and costs ten
            times as much, because OpenTelemetry's SDK then makes and sends the spans.
        service: The `service.name` of the spans.
        sampling: The share of new traces to keep, 0 to 1.
        propagate: Continue the traces of clients, and send `traceparent` to the upstreams.
        http_spans: Also make a span for each HTTP request to an upstream, including those for tokens and models. Needs
            `protobuf`.
    """

    protocol: Literal["json", "protobuf"] = "json"
    service: str = SERVICE
    sampling: Annotated[float, Field(ge=0, le=1)] = 1.0
    propagate: bool = True
    http_spans: bool = False

    def build(self) -> Tracing:
        """Make the tracer. With `protobuf` it starts the thread that exports."""
        if self.protocol == "json":
            tracer = OTLPTracer(self.collector(), service=self.service, share=self.sampling, resource=self.resource)
            return Tracing(tracer, self.propagate, None, tracer.aclose, lambda: tracer.exporter.lost)
        from opentelemetry.exporter.otlp.proto.http import Compression  # here, because the import is slow

        from ..telemetry.sdk_tracer import SDKTracer

        provider = otlp_tracer_provider(
            self.endpoint,
            headers=self._headers or None,
            service=self.service,
            share=self.sampling,
            resource=self.resource,
            timeout=self.timeout,
            compression=Compression(self.compression),
            certificate_file=_text(self.ca_bundle),
            client_certificate_file=_text(self.cert),
            client_key_file=_text(self.key),
        )
        instrument = None
        if self.http_spans:
            from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport

            instrument = partial(AsyncOpenTelemetryTransport, tracer_provider=provider)
        return Tracing(SDKTracer(provider), self.propagate, instrument, partial(in_thread, provider.shutdown), None)

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        if self.protocol == "protobuf":
            need("opentelemetry.exporter.otlp.proto.http", extra="otlp-protobuf")
            if self.proxy is not None:
                raise ValueError('has a proxy, which only protocol = "json" can use.')
            if self.ca_bundle == SYSTEM:
                raise ValueError('has ca_bundle = "system", which only protocol = "json" can use.')
        elif self.http_spans:
            raise ValueError('has http_spans, which OpenTelemetry makes. Write protocol = "protobuf" as well.')
        return self


class Tracing(NamedTuple):
    """What `[tracing]` comes to.

    Attributes:
        instrument: Wraps each transport in HTTP spans, if the table wants any.
        close: Sends the spans that wait.
        lost: How many spans did not come to the collector, if the tracer counts them.
    """

    tracer: Tracer
    propagate: bool
    instrument: Instrument | None
    close: Close
    lost: Callable[[], int] | None


def _text(path: Path | str | None) -> str | None:
    return None if path is None else str(path)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """The pairs of a variable such as `a=1,b=2`, whose values are written as in a URL (W3C Baggage, 3.2.1)."""
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        if equals:
            yield name.strip(), unquote(value.strip())


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


class LogSettings(Table):
    """`[log]`: what `xrouter serve` tells of itself on the standard error. The access log is another one.

    Attributes:
        level: The least weighty lines that are written.
        format: `auto` is `text` on a terminal and `json` elsewhere.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"

    @property
    def readable(self) -> bool:
        return self.format == "text" or (self.format == "auto" and sys.stderr.isatty())

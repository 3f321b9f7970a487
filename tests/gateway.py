"""`xrouter` as a program of its own, with settings, keys and what it said; and who takes its spans."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .fakes.http import Exchange

PROGRAM = Path(sys.executable).with_name("xrouter")


async def xrouter(*arguments: str, env: Mapping[str, str] = MappingProxyType({})) -> str:
    """What a command that does its work says on the standard output."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *arguments, stdout=PIPE, stderr=PIPE, env={**os.environ, **env}
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def new_key(config: Path, env: Mapping[str, str], *options: str) -> dict[str, Any]:
    """A key made by `xrouter keys create`: what it says as JSON, with the `secret`."""
    said = await xrouter("keys", "create", "--config", str(config), "--json", *options, env=env)
    key: dict[str, Any] = json.loads(said)
    return key


@dataclass
class Gateway:
    """A running `xrouter serve`.

    Attributes:
        url: Without a path.
        metrics: Where metrics are on a port of their own; None without one.
        out, errors: What it said, once it has ended.
    """

    process: Process = field(repr=False)
    url: str = ""
    metrics: str | None = None
    out: str = ""
    errors: str = ""

    async def begin(self) -> None:
        assert self.process.stderr is not None
        while not (found := re.search(r"serves at (http://\S+)/v1\n", self.errors)):
            line = await self.process.stderr.readline()
            assert line, f"it said only: {self.errors}"
            self.errors += line.decode()
        self.url = found[1]
        shown = re.search(r"Metrics are shown at (\S+)", self.errors)
        self.metrics = shown and shown[1]

    async def end(self) -> None:
        """SIGTERM, and all that it says until then."""
        if self.process.returncode is None:
            self.process.terminate()
        out, errors = await self.process.communicate()
        self.out += out.decode()
        self.errors += errors.decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Of the access log."""
        return [json.loads(line) for line in self.out.splitlines()]


@asynccontextmanager
async def serving(config: Path, environment: Mapping[str, str]) -> AsyncIterator[Gateway]:
    """`xrouter serve` with these settings; ended by SIGTERM, unless it has been."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "serve", "--config", str(config), stdout=PIPE, stderr=PIPE, env={**os.environ, **environment}
    )
    gateway = Gateway(process)
    try:
        await gateway.begin()
        yield gateway
    finally:
        await gateway.end()


class Collector:
    """Takes spans, of either kind of OTLP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.spans: list[str] = []
        """Their names."""

    async def __call__(self, exchange: Exchange) -> None:
        packed = exchange.headers.get("content-encoding") == "gzip"
        body = gzip.decompress(exchange.body) if packed else exchange.body
        self.bodies.append(body)
        kind = exchange.headers["content-type"]
        self.spans += _of_json(body) if kind == "application/json" else _of_protobuf(body)
        await exchange.answer(200, b"", {"content-type": kind})


def _of_protobuf(body: bytes) -> list[str]:
    resources = ExportTraceServiceRequest.FromString(body).resource_spans
    return [span.name for each in resources for scope in each.scope_spans for span in scope.spans]


def _of_json(body: bytes) -> list[str]:
    resources = json.loads(body)["resourceSpans"]
    return [span["name"] for each in resources for scope in each["scopeSpans"] for span in scope["spans"]]

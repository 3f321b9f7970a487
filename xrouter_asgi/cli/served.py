"""What `xrouter serve` serves, and at which addresses."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from starlette.types import ASGIApp

from ..server.listener import listener_at
from ..settings import Settings
from ..telemetry.instruments import Measurements
from .base import fail
from .log import Announcer

Beside: TypeAlias = Callable[[ASGIApp, str, int], str]
"""Serves an app at another address. Returns the address. Raises OSError."""


class Served(NamedTuple):
    """What is served, and how it is told."""

    settings: Settings
    options: argparse.Namespace
    announce: Callable[[str], None]
    announcer: Announcer
    passed: socket.socket | None = None

    def listener(self) -> socket.socket:
        """The socket to serve at. Raises OSError."""
        return self.passed or listener_at(*place_of(self.settings, self.options))


def show_metrics(served: Served, measured: Measurements | None, beside: Beside) -> int:
    """Serve metrics at a port of their own, if they have one. Returns 0, or what the program ends with."""
    own = served.settings.metrics
    if measured is None or own is None or own.port is None:
        return 0
    try:
        address = beside(own.show(measured, served.settings.service), own.host, own.port)
    except OSError as error:
        return cannot_listen(own.host, own.port, error, "Write another port in [metrics].")
    served.announcer.tell(f"Metrics are shown at {address}/metrics")
    return 0


def show_admin(served: Served, admin: ASGIApp | None, beside: Beside) -> int:
    """Serve the operator's app at a port of its own, if it has one. Returns 0, or what the program ends with."""
    own = served.settings.admin
    if admin is None or own is None or own.own_port is None:
        return 0
    try:
        address = beside(admin, own.host, own.own_port)
    except OSError as error:
        return cannot_listen(own.host, own.own_port, error, "Write another port in [admin].")
    served.announcer.tell(f"The operator's pages are at {address}/")
    return 0


def place_of(settings: Settings, options: argparse.Namespace) -> tuple[str, int]:
    """The host and the port to serve at."""
    return options.host or settings.server.host, settings.server.port if options.port is None else options.port


def cannot_listen(host: str, port: int, error: OSError, remedy: str) -> int:
    return fail(f"Cannot listen at {host}:{port}: {error.strerror}. {remedy}")

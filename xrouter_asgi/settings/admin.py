"""The table of the operator's API and pages."""

from __future__ import annotations

from typing import Final, Self

from pydantic import model_validator

from .base import AppPath, Network, Port, Table, need

PORT: Final = 9101


class AdminSettings(Table):
    """`[admin]`: the operator's API and pages, on a port of its own or on a path of the app. Needs `[keys]`.

    Attributes:
        port: Serve it only there, which only `xrouter serve` does; by default 9101, if there is no path.
        host: The address of that port.
        path: The path below the mount, in place of a port.
        allow: Networks of the peers that may come, such as `["10.0.0.0/8"]`; none means all.
    """

    port: Port | None = None
    host: str = "127.0.0.1"
    path: AppPath | None = None
    allow: tuple[Network, ...] = ()

    @property
    def own_port(self) -> int | None:
        """The port that it has to itself; None if a path of the app has it."""
        if self.path is not None:
            return None
        return PORT if self.port is None else self.port

    @model_validator(mode="after")
    def _can_be_shown(self) -> Self:
        need("jinja2", extra="admin")
        return self

    @model_validator(mode="after")
    def _in_one_place(self) -> Self:
        if self.path is not None and self.port is not None:
            raise ValueError("has a path and a port. Take one of them out.")
        return self

"""What all tables of a settings file have in common, and the table of the server."""

from __future__ import annotations

import ipaddress
import math
from abc import abstractmethod
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..checks import Amount, Count, Seconds

Value = TypeVar("Value")
Port = Annotated[int, Field(ge=0, le=65535)]

OPEN = ("/health", "/ready")
"""Paths that need no key and count against no limit, for whoever watches the process."""

NoBound = BeforeValidator(lambda value: None if value == math.inf else value)


def _some(values: tuple[Value, ...]) -> tuple[Value, ...]:
    if not values:  # `min_length` would count only the values that are right
        raise ValueError("is empty. Write at least one.")
    return values


Some = Annotated[tuple[Value, ...], AfterValidator(_some)]


class Table(BaseModel):
    """A table whose unknown keys are mistakes. So are those of dataclasses below it, which take this configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, ser_json_inf_nan="strings")


class Buildable(Table):
    """A table that something is built from. A failure to build it is reported with the other mistakes of the file."""

    @abstractmethod
    def build(self, *args: Any, **kwargs: Any) -> object: ...

    def _try(self) -> None:
        self.build()

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        try:
            self._try()
        except (ValueError, ImportError) as exc:
            raise ValueError(f"cannot be used: {exc}") from exc
        return self


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as exc:
        raise ValueError(f'is {text!r}. Write an address or a network, such as "10.0.0.0/8".') from exc


class ServerSettings(Table):
    """`[server]`.

    Attributes:
        port: 0 takes a free one.
        max_body: The largest body of a request, in bytes.
        workers: How many processes serve.
        drain: Seconds that running requests get to finish after SIGTERM.
        reload: Whether `xrouter serve` reloads the file when it changes. It always reloads on SIGHUP.
        explain: Whether callers may ask how their request was routed (`x-xrouter-explain: 1`).
        docs: Whether browsers are shown `/docs`. It and `/openapi.json` need no key then.
        commit_after: Seconds of silence in a stream until a comment keeps the connection open; see `LLMRouter`.
        trusted_proxies: Addresses or networks of the proxies whose `X-Forwarded-For` names the client.
    """

    host: str = "127.0.0.1"
    port: Port = 8000
    max_body: Count = 32 << 20
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    drain: Amount = 30.0
    reload: bool = True
    explain: bool = False
    docs: bool = False
    commit_after: Annotated[Seconds | None, NoBound] = 15.0
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()

    @property
    def open_paths(self) -> tuple[str, ...]:
        """Paths that need no key and count against no limit: those of `OPEN`, and what the page at `/docs` reads."""
        return (*OPEN, "/openapi.json") if self.docs else OPEN

"""What all tables of a settings file have in common, and the table of the server."""

from __future__ import annotations

import ipaddress
from abc import abstractmethod
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Value = TypeVar("Value")
Count = Annotated[int, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65535)]


def _some(values: tuple[Value, ...]) -> tuple[Value, ...]:
    # Not `min_length`, which counts what is left after wrong ones were taken out.
    if not values:
        raise ValueError("is empty. Write at least one.")
    return values


Some = Annotated[tuple[Value, ...], AfterValidator(_some)]


class Table(BaseModel):
    """A table whose unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Buildable(Table):
    """A table that something is built from. If that fails, it is reported with the other mistakes of the file."""

    @abstractmethod
    def _try(self) -> None:
        """Build it and throw it away. Raises ValueError or ImportError."""

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
        max_body: Bytes that a request may have.
        drain: Seconds that running requests get to finish after SIGTERM.
        reload: Whether `xrouter serve` notices that the file has changed. SIGHUP it always heeds.
        explain: Whether callers may ask how their request was routed (`x-xrouter-explain: 1`).
        commit_after: Seconds of silence in a stream until a comment keeps it awake, as of `LLMRouter`; `inf`: never.
        trusted_proxies: Addresses or networks of proxies whose `X-Forwarded-For` tells who is calling.
    """

    host: str = "127.0.0.1"
    port: Port = 8000
    max_body: Count = 32 << 20
    drain: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    reload: bool = True
    explain: bool = False
    commit_after: Annotated[float, Field(gt=0)] = 15.0
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()

"""What all tables of a settings file have in common."""

from __future__ import annotations

import ipaddress
import math
from abc import abstractmethod
from contextlib import suppress
from importlib.util import find_spec
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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


Network = Annotated[str, AfterValidator(_network)]


def _path(path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or not path.isprintable():
        raise ValueError(f'is {path!r}. Write a path such as "/metrics".')
    return path


AppPath = Annotated[str, AfterValidator(_path)]


def need(module: str, *, extra: str) -> None:
    """Raise ValueError now for an import that would fail later. It does not import, which takes long."""
    with suppress(ModuleNotFoundError):  # a package above it
        if find_spec(module) is not None:
            return
    raise ValueError(f'needs more than is installed. Run: pip install "xrouter-asgi[{extra}]"')

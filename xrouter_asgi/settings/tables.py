"""What all tables of a settings file have in common, and the tables of models and of the server."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


class Table(BaseModel):
    """A table whose unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TargetName(Table):
    """`provider/model`. A `*` in the model stands for what the `*` in the client's name matched."""

    provider: str
    model: str

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        provider, _, model = value.partition("/")
        if not provider or not model or model.count("*") > 1:
            raise ValueError(f'is {value!r}. Write "PROVIDER/MODEL", with at most one "*" in the model.')
        return {"provider": provider, "model": model}

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class ModelSettings(Table):
    """`[models.NAME]`: the name clients use, and what it stands for, in the order of preference."""

    targets: Annotated[tuple[TargetName, ...], Field(min_length=1)]


class ServerSettings(Table):
    """`[server]`.

    Attributes:
        port: 0 takes a free one.
        max_body: Bytes that a request may have.
        drain: Seconds that running requests get to finish after SIGTERM.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    max_body: Count = 32 << 20
    drain: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0

"""Values that the requests of several APIs have in common, with OpenAI's ranges."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

Text = Annotated[str, Field(strict=True)]
Name = Annotated[str, Field(strict=True, min_length=1)]
Flag = Annotated[bool, Field(strict=True)]
ModelName = Annotated[Name, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
"""Without control characters: names go into logs, headers and paths of upstreams."""

Integer = Annotated[int, Field(strict=True, ge=-(1 << 31), le=(1 << 31) - 1)]
Seed = Annotated[int, Field(strict=True, ge=-(1 << 63), le=(1 << 63) - 1)]  # OpenAI's own range
Penalty = Annotated[float, Field(strict=True, ge=-2, le=2)]
StopText = Annotated[Text, Field(max_length=1024)]  # how far an answer is searched for the beginning of one


def _first_wrong(biases: object) -> object:
    """The first bias alone if it is wrong: there is no `FailFast` for objects."""
    if isinstance(biases, dict):
        wrong = (name for name, bias in biases.items() if type(bias) not in (int, float) or not -100 <= bias <= 100)
        if (name := next(wrong, None)) is not None:
            return {name: biases[name]}
    return biases


LogitBias = Annotated[dict[str, Annotated[float, Field(strict=True, ge=-100, le=100)]], BeforeValidator(_first_wrong)]


def unknown(*known: str) -> WithJsonSchema:
    """The schema of a `type` that is none of those with a model of their own."""
    return WithJsonSchema({"type": "string", "minLength": 1, "not": {"enum": list(known)}})

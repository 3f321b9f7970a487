"""The smallest values of the types of an SDK: a shape of each kind of event, also of those that nobody recorded."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel


def kinds_of(union: Any) -> Iterator[type[BaseModel]]:
    """The models of a union, in its order."""
    if isinstance(union, type) and issubclass(union, BaseModel):
        yield union
    for argument in typing.get_args(union):
        yield from kinds_of(argument)


def sample(kind: Any) -> Any:
    """The JSON of a value of this type, with all that it needs and nothing else."""
    arguments = typing.get_args(kind)
    match typing.get_origin(kind):
        case typing.Literal:
            return arguments[0]
        case typing.Annotated | typing.Union | types.UnionType:
            return sample(arguments[0])
        case origin if origin is list:
            return [sample(arguments[0])]
        case origin if origin is dict:
            return {}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields.items()
        return {field.alias or name: sample(field.annotation) for name, field in fields if field.is_required()}
    return {str: "x", int: 0, float: 0.0, bool: False}.get(kind)

"""The keys that the tables of settings may have, read from their types: pydantic models and dataclasses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

Location: TypeAlias = tuple[str | int, ...]
Schema: TypeAlias = Any
"""The type of a value. A tuple of tables stands for a table whose `kind` chooses one of them."""


def is_table(schema: Schema) -> bool:
    """Whether a value of this type is a table with known keys."""
    return isinstance(schema, type) and (issubclass(schema, BaseModel) or is_dataclass(schema))


def fields_of(table: type) -> Mapping[str, Schema]:
    """The keys of a table, each with its type."""
    if issubclass(table, BaseModel):
        return {name: resolved(field.annotation) for name, field in table.model_fields.items()}
    return {name: resolved(hint) for name, hint in get_type_hints(table).items()}


def kinds_of(tables: Iterable[type[BaseModel]]) -> Mapping[str, type[BaseModel]]:
    """The tables, each by its `kind`."""
    return {get_args(table.model_fields["kind"].annotation)[0]: table for table in tables}


def schema_at(table: type, loc: Location) -> tuple[Location, Schema]:
    """Turn a location of pydantic into a path in the file, and find the type of what stands there."""
    path: list[str | int] = []
    schema: Schema = table
    for step in loc:
        if isinstance(schema, tuple):  # pydantic names the kind as a step of its own
            schema = kinds_of(schema)[str(step)]
            continue
        path.append(step)
        schema = fields_of(schema).get(str(step)) if is_table(schema) else _inside(schema, step)
    return tuple(path), schema


def _inside(schema: Schema, step: str | int) -> Schema:
    """The type of the values of a mapping, or of the items of a sequence."""
    arguments = get_args(schema)[isinstance(step, str) :]
    return resolved(next(iter(arguments), None))


def resolved(annotation: Schema) -> Schema:
    """The type without metadata, and for an optional table, the table."""
    origin: Any = get_origin(annotation)
    if origin is Annotated:
        return resolved(get_args(annotation)[0])
    if origin not in (Union, UnionType):
        return annotation
    tables = tuple(each for each in map(resolved, get_args(annotation)) if is_table(each))
    return tables if len(tables) > 1 else next(iter(tables), annotation)

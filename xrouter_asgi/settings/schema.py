"""Which keys the tables of settings may have, read from their types. A table is a pydantic model or a dataclass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

Location: TypeAlias = tuple[str | int, ...]
Schema: TypeAlias = Any
"""A table, a tuple of the tables that the `kind` chooses from, or any other type."""


def is_table(schema: Schema) -> bool:
    """Whether values of this type are written as a table whose keys are known."""
    return isinstance(schema, type) and (issubclass(schema, BaseModel) or is_dataclass(schema))


def fields_of(table: type) -> Mapping[str, Schema]:
    """The keys of a table, each with what may stand there."""
    if issubclass(table, BaseModel):
        return {name: resolved(field.annotation) for name, field in table.model_fields.items()}
    return {name: resolved(hint) for name, hint in get_type_hints(table).items()}


def kinds_of(tables: Iterable[type[BaseModel]]) -> Mapping[str, type[BaseModel]]:
    """The tables by the `kind` that chooses each."""
    return {get_args(table.model_fields["kind"].annotation)[0]: table for table in tables}


def schema_at(table: type, loc: Location) -> tuple[Location, Schema]:
    """Where in the file a location of pydantic is, and what may stand there."""
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
    """What a mapping holds under a key, or a sequence at an index."""
    arguments = get_args(schema)
    return resolved(arguments[isinstance(step, str)]) if arguments else None


def resolved(annotation: Schema) -> Schema:
    """The type without its metadata, and without the None of what may be left out."""
    if get_origin(annotation) is Annotated:
        return resolved(get_args(annotation)[0])
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    tables = tuple(each for each in map(resolved, get_args(annotation)) if is_table(each))
    return tables if len(tables) > 1 else next(iter(tables), annotation)

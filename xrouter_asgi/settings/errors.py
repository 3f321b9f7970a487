"""Mistakes in settings as sentences: where each is, what is wrong, and what to write instead.

What could be written instead is read from the types of the tables: pydantic models and dataclasses.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

Location: TypeAlias = tuple[str | int, ...]
Schema: TypeAlias = Any
"""The type of a value. A tuple of tables stands for a table whose `kind` chooses one of them."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class SettingsError(ValueError):
    """Settings that cannot be used. `problems` are all mistakes, one sentence or more each, without secrets."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def show(path: Location) -> str:
    """A path as TOML writes it: `models."local-*".targets[1]`."""
    if not path:
        return "the file"
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            quoted = step if _BARE.fullmatch(step) else f'"{step}"'
            text += f".{quoted}" if text else quoted
    return text


def sentences(error: ValidationError, table: type[BaseModel], *, below: Location = ()) -> list[tuple[Location, str]]:
    """The mistakes that pydantic found in the table that stands at `below` in the file.

    Each has its path in the file and a sentence that continues the path.
    """
    return [_sentence(found, table, below) for found in error.errors(include_url=False)]


def _sentence(found: Mapping[str, Any], table: type[BaseModel], below: Location) -> tuple[Location, str]:
    loc: Location = found["loc"]
    if found["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        *above, key = loc
        path, schema = schema_at(table, tuple(above))
        return (*below, *path), f"has no key '{key}'. {known_instead(str(key), fields_of(schema))}"
    path, schema = schema_at(table, loc)
    return (*below, *path), _about_value(found, (*below, *path), schema)


def _about_value(found: Mapping[str, Any], path: Location, schema: Schema) -> str:
    given, context = reprlib.repr(found["input"]), found.get("ctx", {})
    match found["type"]:
        case "value_error":
            # The class of a part knows nothing of the file, so its sentence does not continue the path.
            return f"cannot be used: {context['error']}" if is_dataclass(schema) else str(context["error"])
        case "missing":
            return "is missing. Write it."
        case "union_tag_not_found":
            return f"has no 'kind'. Write kind = one of {_listed(kinds_of(schema))}."
        case "union_tag_invalid":
            return f"has the kind {context['tag']!r}. {known_instead(context['tag'], kinds_of(schema))}"
        case "literal_error":
            expected = context["expected"].replace("True", "true").replace("False", "false")
            return f"is {given}. Write {expected}."
        case "tuple_type" | "sequence_str" | "list_type":
            return f"is {given}. Write a list."
        case "model_type" | "dict_type" | "model_attributes_type" | "dataclass_type" | "mapping_type":
            return (
                f"is no table. Write one, [{show(path)}]."  # without the value, which may be an address with a password
            )
    return f"is {given}. {found['msg'].replace('Input should', 'It should')}."


def known_instead(name: str, known: Iterable[str]) -> str:
    """What to write instead of an unknown name."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}Known: {', '.join(known)}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def is_table(schema: Schema) -> bool:
    """Whether a value of this type is a table with known keys."""
    return isinstance(schema, type) and (issubclass(schema, BaseModel) or is_dataclass(schema))


def fields_of(table: type) -> Mapping[str, Schema]:
    """The keys of a table, each with its type."""
    if issubclass(table, BaseModel):
        return {name: resolved(field.annotation) for name, field in table.model_fields.items()}
    hints = get_type_hints(table, include_extras=True)
    named = fields(table) if is_dataclass(table) else ()
    return {field.name: resolved(hints[field.name]) for field in named if field.init}


def kinds_of(tables: Iterable[type[BaseModel]]) -> Mapping[str, type[BaseModel]]:
    """The tables by their `kind`. One table may have several."""
    return {kind: table for table in tables for kind in get_args(table.model_fields["kind"].annotation)}


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

"""Settings from a text of TOML, what is said about a wrong one, and all that could be written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from xrouter_asgi.settings import Settings, SettingsError
from xrouter_asgi.settings.errors import fields_of, is_table, resolved

ECHO = 'providers.a.kind = "echo"\nmodels.bird.targets = ["a/echo"]\nmodels."cat-*".targets = ["a/*"]\n'
"""A provider and two models, for files that are about something else."""


def read(text: str, *, folder: Path = Path(), **environment: str) -> Settings:
    return Settings.parse(tomllib.loads(ECHO + text), source="x.toml", environment=environment, folder=folder)


def mistakes(text: str, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(text, folder=Path(), **environment)
    return [problem.removeprefix("x.toml: ") for problem in caught.value.problems]


def settings_below(schema: Any = Settings, above: tuple[Any, ...] = ()) -> Iterator[str]:
    """Every setting that is no table itself, as `Table.key`. A table inside itself is told once."""
    if schema in above:
        return
    above = (*above, schema)
    if is_table(schema):
        for key, inner in fields_of(schema).items():
            yield from settings_below(inner, above) if holds_tables(inner, above) else (f"{schema.__name__}.{key}",)
        return
    for inner in schema if isinstance(schema, tuple) else map(resolved, get_args(schema)):
        yield from settings_below(inner, above)


def holds_tables(schema: Any, above: tuple[Any, ...] = ()) -> bool:
    """Whether tables with known keys, others than those above, stand somewhere in a value of this type."""
    inner = schema if isinstance(schema, tuple) else tuple(map(resolved, get_args(schema)))
    return (is_table(schema) and schema not in above) or any(holds_tables(each, above) for each in inner)

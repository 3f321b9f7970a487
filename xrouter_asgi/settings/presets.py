"""How a row of `providers.presets` becomes a table of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from ..providers.presets import PRESETS


def filled_in(table: Any, environment: Mapping[str, str]) -> Any:
    """A raw table of a provider, with what the row of its `kind` says and the table does not."""
    row = PRESETS.get(str(table.get("kind"))) if isinstance(table, Mapping) else None
    if row is None:
        return table
    known: dict[str, Any] = {} if row.base_url is None else {"base_url": row.base_url}
    if row.key is not None and environment.get(row.key):
        known["api_key"] = f"env:{row.key}"
    options = table.get("options", {})
    if isinstance(options, Mapping):  # otherwise a mistake, which pydantic tells
        options = asdict(row.options) | dict(options)
    return known | dict(table) | {"options": options}


def missing(kind: str, given: Mapping[str, bool], *, own_key: Literal[False, True, "required"]) -> str | None:
    """What a table of this kind lacks or has too much, as a sentence that its name begins.

    Args:
        given: Whether `api_key` and `folder` are there.
    """
    row = PRESETS.get(kind)
    if given["folder"] and (row is None or row.model_prefix is None):
        return "has a 'folder', which only kind = \"yandex\" knows."
    if row is None:
        return None
    if row.model_prefix is not None and not given["folder"]:
        return "has no 'folder'. Write the id of the folder, or a reference to it."
    if row.model_prefix is not None and own_key:
        return "has 'own_key', but its 'folder' belongs to one account. Take one of them out."
    if row.key is not None and not given["api_key"] and own_key != "required":
        return f'has no key. Set the environment variable {row.key}, or write api_key = "env:NAME".'
    return None

"""Tables as TOML, as people write them: short tables in one line, the others below a heading."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_INLINE = ("timeouts", "headers", "patience", "cache", "price", "capabilities", "models")
_LINE = 100


def toml_text(tables: Mapping[str, Any]) -> str:
    """The text of a file with these tables, which hold texts, numbers, truth values, lists and tables."""
    return "\n".join("\n".join(_section((name,), table)) for name, table in tables.items())


def _section(path: tuple[str, ...], table: Any) -> Iterator[str]:
    """The lines of a table and of those below it, or of a list of tables."""
    if isinstance(table, list):
        for each in table:
            yield f"[[{'.'.join(map(_key, path))}]]"
            yield from (f"{_key(key)} = {_value(value)}" for key, value in each.items())
            yield ""
        return
    below = {key: value for key, value in table.items() if _has_heading(path, key, value)}
    if len(below) < len(table) or not table:
        yield f"[{'.'.join(map(_key, path))}]"
        for key, value in table.items():
            if key not in below:
                yield from _pair(key, value)
        yield ""
    for key, inner in below.items():
        yield from _section((*path, key), inner)


def _has_heading(path: tuple[str, ...], key: str, value: Any) -> bool:
    """Whether a value is a table below a heading of its own: such as those that users name."""
    return isinstance(value, Mapping) and (path in (("providers",), ("models",)) or key not in _INLINE)


def _pair(key: str, value: Any) -> Iterator[str]:
    line = f"{_key(key)} = {_value(value)}"
    if len(line) <= _LINE or not isinstance(value, list):
        yield line
        return
    yield f"{_key(key)} = ["
    yield from (f"    {_value(each)}," for each in value)
    yield "]"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {_value(each)}' for key, each in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # A text of JSON is one of TOML, and so are its numbers and truth values.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)

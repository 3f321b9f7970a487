"""Write the tables of docs/settings.md, from the classes that read the settings and from examples/settings.toml."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from xrouter_asgi.limits.prices import Rate
from xrouter_asgi.settings import Settings
from xrouter_asgi.settings.base import Buildable, NoBound, Table
from xrouter_asgi.settings.environment import variable
from xrouter_asgi.settings.errors import fields_of, is_table, resolved
from xrouter_asgi.settings.layers import Limits
from xrouter_asgi.settings.providers import GigaChatSettings
from xrouter_asgi.settings.references import CABundle, Hidden, Secret
from xrouter_asgi.settings.spend import SpendSettings
from xrouter_asgi.settings.upstreams import AccountSettings

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/settings.md"
EXAMPLES = ROOT / "examples/settings.toml"
BELOW = "<!-- .ci/settings_page.py writes what stands below. -->\n"


def _types(table: type) -> dict[str, Any]:
    return get_type_hints(table, include_extras=True)


_SPECIAL = {  # what a check of ours makes of a type
    get_args(Secret)[1]: "reference",
    get_args(Hidden)[1]: "text, or reference",
    get_args(CABundle)[1]: 'path, or `"system"`',
    get_args(Limits)[1]: "limit, or list of limits",
    get_args(Rate)[1]: "number, 0 to 1,000,000",
    get_args(_types(SpendSettings)["prices"])[1]: "path",
    get_args(get_args(_types(AccountSettings)["max_parallel"])[0])[1]: 'integer above 0, or `"adaptive"`',
}
_PLAIN = {
    str: "text",
    int: "integer",
    float: "number",
    Decimal: "number",
    bool: "`true` or `false`",
    Path: "path",
    date: "date",
}
_MANY = {"[table]": "[tables]", "text": "texts", "integer": "integers", "number": "numbers"}


# Which tables there are.


class Section(NamedTuple):
    """A heading of the page, and the table below it. `title` is its path in the file, or what it is."""

    title: str
    table: type

    @property
    def anchor(self) -> str:
        return re.sub(r"[^\w\- ]", "", self.title.lower()).replace(" ", "-")


def sections() -> list[Section]:
    """Every table of the settings, each class once, what several tables share in front of them."""
    found: dict[type, Section] = {}
    for name, schema in fields_of(Settings).items():
        _add(found, f"[{name}]", schema)
    return list(found.values())


def _add(found: dict[type, Section], path: str, schema: Any, of_kind: str = "") -> None:
    """Add the tables that a value of this type holds, which stands at `path`."""
    name = path.strip("[]")
    if isinstance(schema, tuple):  # the `kind` chooses one of them
        for table in schema:
            _add(found, path, table, f" of kind {get_args(table.model_fields['kind'].annotation)[0]}")
    elif is_table(schema):
        _add_table(found, path, schema, of_kind)
    elif get_origin(schema) is dict:
        _add(found, f"[{name}.NAME]", resolved(get_args(schema)[1]), of_kind)
    else:
        for inner in get_args(schema):
            _add(found, f"[[{name}]]", resolved(inner), of_kind)


def _add_table(found: dict[type, Section], path: str, table: type, of_kind: str, title: str = "") -> None:
    if table in found:
        return
    for above in shared(table):
        _add_table(found, path, above, "", introduction(above).rstrip("."))
    found[table] = Section(title or path + of_kind, table)
    for key in own(table):
        if _special(_types(table)[key]) is None:
            _add(found, f"[{path.strip('[]')}.{key}]", fields_of(table)[key], of_kind)


def shared(table: type) -> list[type]:
    """The classes above one that have keys, too."""
    above = [each for each in table.__bases__ if issubclass(each, BaseModel) and each not in (Table, Buildable)]
    return [each for each in above if fields_of(each)]


def own(table: type) -> list[str]:
    """The keys that a table does not share."""
    return [key for key in fields_of(table) if key in table.__annotations__]


# What is said of them.


def introduction(table: type) -> str:
    """What the docstring of a table says before it comes to its keys, without its path."""
    text = re.split(r"\n\n(?:Attributes|Args|Raises):\n", inspect.getdoc(table) or "")[0].replace("\n", " ")
    text = re.sub(r'^`(\[+[\w.]+\]+|kind = "\w+")`[:.] ', "", text)
    return text[:1].upper() + text[1:]


def descriptions(table: type) -> dict[str, str]:
    """What is said of each key, by the docstring of the table, or by that of the table which is its value."""
    said = {key: introduction(inner) for key, inner in fields_of(table).items() if is_table(inner)}
    listed = re.search(r"^(?:Attributes|Args):\n(.*?)(?=^\S|\Z)", inspect.getdoc(table) or "", re.M | re.S)
    for names, text in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {5,}.*)*)", listed[1] if listed else "", re.M):
        told = re.sub(r" See `\w+`\.$", "", re.sub(r"\s+", " ", text))
        said |= dict.fromkeys(names.split(", "), told)
    return said


def kind_of(annotation: Any, at: dict[type, Section]) -> str:
    """A type in words, with its bounds."""
    if (special := _special(annotation)) is not None:
        return special
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounded(inner[0], kind_of(inner[0], at), inner[1:])
    if origin in (Union, UnionType):
        return ", or ".join(kind_of(each, at) for each in inner if each is not NoneType)
    if origin is Literal:
        return ", ".join(f"`{json.dumps(each)}`" for each in inner)
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"list of two: {' and '.join(kind_of(each, at) for each in inner)}"
    if origin is not None:
        mapping = not issubclass(origin, Sequence)
        return f"{'table' if mapping else 'list'} of {_many(kind_of(inner[mapping], at))}"
    return f"[table](#{at[annotation].anchor})" if annotation in at else _PLAIN[annotation]


def _special(annotation: Any) -> str | None:
    checks = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((words for each in checks for check, words in _SPECIAL.items() if check == each), None)


def _many(kind: str) -> str:
    if kind == _SPECIAL[get_args(Limits)[1]]:
        return "limits, or of lists of limits"
    one = next((one for one in _MANY if kind.startswith(one)), None)
    return kind if one is None else _MANY[one] + kind.removeprefix(one)


def _bounded(annotation: Any, kind: str, checks: tuple[Any, ...]) -> str:
    """A kind of number with its bounds. A float without an upper bound may be infinite."""
    checks = tuple(inner for each in checks for inner in getattr(each, "metadata", (each,)))
    bounds = {name: getattr(each, name) for each in checks for name in ("gt", "ge", "le", "lt") if hasattr(each, name)}
    if "le" in bounds:
        low = f" above {bounds['gt']}, up to" if "gt" in bounds else f", {bounds.get('ge', 0)} to"
        return f"{kind}{low} {bounds['le']:,}"
    if "ge" in bounds:
        return f"{kind}, {bounds['ge']} or more"
    endless = NoBound in checks or (annotation is float and "gt" in bounds and "lt" not in bounds)
    return kind + (f" above {bounds['gt']}" if "gt" in bounds else "") + (", or `inf`" if endless else "")


def default_of(table: type, key: str) -> str:
    """The default as TOML writes it; empty where there is none, or where it is a table."""
    if is_dataclass(table):
        (field,) = (each for each in fields(table) if each.name == key)
        default, made = field.default, field.default_factory is not MISSING
    else:
        info = table.model_fields[key]
        default, made = info.default, info.default_factory is not None
    if default in (MISSING, PydanticUndefined):
        return "" if made else "needed"
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None or is_table(type(default)) or (default == () and _special(_types(table)[key]) == "path"):
        return ""
    return f"`{_toml(default)}`"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f"{value:g}" if isinstance(value, float | Decimal) else json.dumps(value)


# The page.


def examples() -> dict[str, str]:
    """The parts of examples/settings.toml, by the heading that the first line of each is."""
    parts = re.split(r"^# (?=\[)", EXAMPLES.read_text("utf-8"), flags=re.M)[1:]
    return {title: text.strip() for title, text in (part.split("\n", 1) for part in parts)}


def below() -> str:
    """What stands below the mark."""
    at = {section.table: section for section in sections()}
    parts = ["## Every table", *(_section(section, at) for section in at.values()), "## GigaChat's variables"]
    named = {key: variable(("providers", "gigachat", key)) for key in GigaChatSettings.model_fields}
    rows = [f"| `{name}` | `{key}` |" for key, name in named.items() if name is not None]
    parts.append("\n".join(["| variable | key of `[providers.gigachat]` |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _section(section: Section, at: dict[type, Section]) -> str:
    title, table = section
    said, types = descriptions(table), _types(table)
    rows = [f"| `{key}` | {kind_of(types[key], at)} | {default_of(table, key)} | {said[key]} |" for key in own(table)]
    also = " and ".join(f"[{at[each].title}](#{at[each].anchor})" for each in shared(table))
    about = [] if introduction(table).rstrip(".") == title else [introduction(table)]
    about += [f"Also: {also}."] if also else []
    parts = ["### " + re.sub(r"^(\[.*?\]+)", r"`\1`", title), " ".join(about)]
    parts.append("\n".join(["| key | type | default | what |", "|---|---|---|---|", *rows]))
    if (example := examples().get(title)) is not None:
        parts.append(f"```toml\n{example}\n```")
    return "\n\n".join(filter(None, parts))


def page() -> str:
    """The whole page, with what stands above the mark as it is."""
    return PAGE.read_text("utf-8").partition(BELOW)[0] + BELOW + "\n" + below()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

"""OTLP as JSON, in the parts that spans and metrics share.

It is protobuf's JSON mapping with two rules of its own: ids are hexadecimal digits, and names of members are in
lowerCamelCase (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). 64-bit integers are texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from json.encoder import encode_basestring_ascii
from typing import TypeAlias
from uuid import uuid4

from .. import conventions as names

Attribute: TypeAlias = str | bool | int | float | list[str] | tuple[str, ...]

VERSION = version("xrouter-asgi")
SERVICE = "xrouter"
"""The `service.name` unless somebody says otherwise."""


def quoted(text: str) -> str:
    """A text as JSON in ASCII. Collectors refuse a whole document for a lone surrogate, so it becomes a `?`."""
    return encode_basestring_ascii(text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8"))


def attributes(*tables: Mapping[str, Attribute | None]) -> str:
    """The array of these attributes. None stands for what is not known, and is left out."""
    pairs = [
        _array(name, value) if isinstance(value, list | tuple) else _plain(name, value)
        for table in tables
        for name, value in table.items()
        if value is not None
    ]
    return f"[{','.join(pairs)}]"


def resource_of(service: str, more: Mapping[str, str]) -> dict[str, str]:
    """The attributes that say which process measured.

    Args:
        service: Its `service.name`.
        more: Other attributes. They win.
    """
    return {
        "service.name": service,
        "service.instance.id": str(uuid4()),  # workers of one service differ in nothing else
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "xrouter_asgi",
        "telemetry.sdk.version": VERSION,
        **more,
    }


SCOPE = f'{{"name":"{names.SCOPE}","version":"{VERSION}"}}'
"""The object that says which library measured."""


def _array(name: str, texts: Sequence[str]) -> str:
    values = ",".join([f'{{"stringValue":{quoted(each)}}}' for each in texts])
    return f'{{"key":"{name}","value":{{"arrayValue":{{"values":[{values}]}}}}}}'


@lru_cache(maxsize=1024, typed=True)  # most attributes of a span are those of the one before; saves 2 % of a chat
def _plain(name: str, value: str | bool | int | float) -> str:
    match value:
        case str():
            inner = f'"stringValue":{quoted(value)}'
        case bool():
            inner = f'"boolValue":{"true" if value else "false"}'
        case int():
            inner = f'"intValue":"{value}"'
        case float():
            inner = f'"doubleValue":{value!r}'
    return f'{{"key":"{name}","value":{{{inner}}}}}'

"""OTLP as JSON, in the parts that spans and metrics share.

It is protobuf's JSON mapping with two rules of its own: ids are hexadecimal digits, and names of members are in
lowerCamelCase (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). 64-bit integers are texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from json.encoder import encode_basestring_ascii
from typing import Any, TypeAlias
from uuid import uuid4

from .. import conventions as names

Attribute: TypeAlias = str | bool | int | float | tuple[str, ...]
Attributes: TypeAlias = Mapping[str, Attribute | None]
"""None stands for what is not known, and is left out. The values of one name are of one type."""

VERSION = version("xrouter-asgi")
SERVICE = "xrouter"
"""The `service.name` unless somebody says otherwise."""


def quoted(text: str) -> str:
    """A text as JSON in ASCII. Collectors refuse a whole document for a lone surrogate, so it becomes a `?`."""
    return encode_basestring_ascii(text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8"))


def attributes(*tables: Attributes, repeated: Sequence[Attributes] = ()) -> str:
    """The array of these attributes. None stands for what is not known, and is left out.

    Args:
        repeated: Tables that say what others before them have said, so that it need not be written again.
    """
    parts = [_remembered(tuple(table), tuple(table.values())) for table in repeated]
    parts += [_written(table.items()) for table in tables]
    return f"[{','.join(filter(None, parts))}]"


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


@lru_cache(maxsize=1024)  # saves 3 % of a traced chat
def _remembered(names: tuple[str, ...], values: tuple[Attribute | None, ...]) -> str:
    return _written(zip(names, values, strict=True))


def _written(table: Iterable[tuple[str, Attribute | None]]) -> str:
    pairs = []
    for name, value in table:
        # By the type itself: a `match` takes twice as long.
        if type(value) is str and value.isascii():
            pairs.append(f'{{"key":"{name}","value":{{"stringValue":{encode_basestring_ascii(value)}}}}}')
        elif value is not None:
            encode = _ENCODERS.get(type(value)) or _encoder(type(value))
            pairs.append(f'{{"key":"{name}","value":{{{encode(value)}}}}}')
    return ",".join(pairs)


def _array(texts: Sequence[str]) -> str:
    values = ",".join([f'{{"stringValue":{quoted(each)}}}' for each in texts])
    return f'"arrayValue":{{"values":[{values}]}}'


def _text(text: str) -> str:
    return f'"stringValue":{quoted(text)}'


_ENCODERS: Mapping[type, Callable[[Any], str]] = {
    str: _text,
    bool: {True: '"boolValue":true', False: '"boolValue":false'}.__getitem__,
    int: '"intValue":"%d"'.__mod__,
    float: '"doubleValue":%r'.__mod__,
    tuple: _array,
}
"""How a value is written, by its type."""


def _encoder(kind: type) -> Callable[[Any], str]:
    """That of the type that this one is made of: the status of an answer may be an `HTTPStatus`."""
    return next(encoder for base, encoder in _ENCODERS.items() if issubclass(kind, base))

"""OTLP as JSON, in the parts that spans and metrics share.

It is protobuf's JSON mapping with two rules of its own: ids are hexadecimal digits, and names of members are in
lowerCamelCase (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). 64-bit integers are texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from json.encoder import encode_basestring_ascii
from typing import Any, TypeAlias
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
    pairs = []
    for table in tables:
        for name, value in table.items():
            # By the type itself: a `match`, or a cache of what was written, takes twice as long.
            if type(value) is str and value.isascii():
                pairs.append(f'{{"key":"{name}","value":{{"stringValue":{encode_basestring_ascii(value)}}}}}')
            elif value is not None:
                encode = _ENCODERS.get(type(value)) or _encoder(type(value))
                pairs.append(f'{{"key":"{name}","value":{{{encode(value)}}}}}')
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
    list: _array,
    tuple: _array,
}
"""How a value is written, by its type."""


def _encoder(kind: type) -> Callable[[Any], str]:
    """That of the type that this one is made of: the status of an answer may be an `HTTPStatus`."""
    return next(encoder for base, encoder in _ENCODERS.items() if issubclass(kind, base))

"""JSON in and out: strict and bounded for clients, plain and fast for upstreams."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from math import inf, isinf
from typing import Any, NoReturn

from pydantic_core import PydanticSerializationError, from_json, to_json

from ..errors import InvalidRequest

MAX_DEPTH = 64
MAX_VALUES = 250_000

(_BACKSLASH,) = b"\\"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile(  # an escaped half of a surrogate pair that has no other half, behind any escape that looks like one
    rb"(\\[^u]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")


def encode(value: object) -> bytes:
    """Compact JSON as UTF-8.

    A lone surrogate, which UTF-8 cannot hold, stays an escape. NaN and Infinity, which JSON cannot hold, become null.
    """
    try:
        return to_json(value, inf_nan_mode="null")
    except (PydanticSerializationError, UnicodeEncodeError):
        finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
        return json.dumps(finite, separators=(",", ":")).encode("ascii")


def decode(data: bytes) -> Any:
    """Parse JSON from an upstream. Raises ValueError unless it is JSON in UTF-8, at most 200 levels deep.

    NaN and Infinity are errors. A number beyond a double becomes infinite. Half a surrogate pair stays half a pair
    (RFC 8259, 8.2): a stream may send the other half in its next event, and the client puts them together.
    """
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError:
        whole, halves = _HALF.subn(lambda escape: escape[1] or rb"\ufffd", data)
        if not halves or whole == data:
            raise
        from_json(whole, allow_inf_nan=False)  # all else must be as strict as above
        return json.loads(data)


def parse_request(body: bytes) -> dict[str, Any]:
    """Parse one JSON object from a client. Checks its bounds first.

    Raises:
        InvalidRequest: The body is not an object or not UTF-8, is deeper than `MAX_DEPTH`, holds more than
            `MAX_VALUES` values, NaN, Infinity, a number beyond a double, a key twice or half a surrogate pair.
    """
    _check_size(body)
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError:
        value = _parse_slowly(body)
    else:
        # The fast parser keeps the last of two equal keys, and makes a number beyond a double infinite.
        members = _count_members(value)
        if members != body.count(b":") and members != _without_strings(body).count(b":"):
            value = _parse_slowly(body)
    if not isinstance(value, dict):
        raise _invalid("the top level must be an object")
    return value


def count_values(text: bytes) -> int:
    """How many values there are in a JSON text, or a few more."""
    structure = _without_strings(text)
    return structure.count(b",") + 2 * _opening(structure) + 1


def _count_members(value: object) -> float:
    """The number of members in all objects together; infinite if a number in them is."""
    count: float = 0
    nodes: list[Iterable[Any]] = [[value]]
    for node in nodes:
        for member in node:
            # The parser makes exactly these types, and comparing a type takes a third of the time of isinstance.
            kind = type(member)
            if kind is dict:
                count += len(member)
                nodes.append(member.values())
            elif kind is list:
                nodes.append(member)
            elif kind is float and isinf(member):
                count = inf
    return count


def _parse_slowly(body: bytes) -> Any:
    """Parse with a slower parser that says what is wrong."""
    if body.startswith(b"\xef\xbb\xbf"):
        raise _invalid("it starts with a byte order mark")
    try:
        text = body.decode("utf-8")
        value = _decoder.decode(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError:
        raise _invalid("it is not valid UTF-8") from None
    except UnicodeEncodeError:
        raise _invalid("a \\u escape is half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise _invalid(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _invalid(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except _Refused as error:
        raise _invalid(str(error)) from None
    except ValueError:
        raise _invalid("a number has too many digits") from None  # CPython converts 4300 at most
    return value


class _Refused(ValueError):
    """Python accepts this JSON, and we do not."""


def _invalid(reason: str) -> InvalidRequest:
    return InvalidRequest(f"We could not parse the JSON body of your request: {reason}.")


def _check_size(body: bytes) -> None:
    """Raise InvalidRequest if the body is too deep or holds too many values."""
    if _opening(body) <= MAX_DEPTH and body.count(b",") + MAX_DEPTH < MAX_VALUES:
        return  # nearly always, even counting the brackets and commas inside strings
    structure = _without_strings(body)
    opening = _opening(structure)
    if structure.count(b",") + opening >= MAX_VALUES:
        raise _invalid(f"it holds more than {MAX_VALUES} values")
    if opening <= MAX_DEPTH:
        return
    brackets = structure.translate(_AS_SQUARE, delete=_NOT_BRACKETS)
    if brackets.count(b"]") != opening:
        return  # not JSON: the parser gives the better message
    for _ in range(MAX_DEPTH):
        # Each pass removes the innermost level everywhere.
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return
    raise _invalid(f"it is nested deeper than {MAX_DEPTH} levels")


def _opening(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _without_strings(body: bytes) -> bytes:
    if _BACKSLASH in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A member has at most two strings, each with two quotes.
    parts = body.split(b'"', 4 * MAX_VALUES)
    if len(parts) > 4 * MAX_VALUES:
        raise _invalid(f"it holds more than {MAX_VALUES} values")
    return b"".join(parts[::2])


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise _Refused(f"the key {name[:64]!r} is given twice")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise _Refused(f"the number {text[:32]} is too large")
    return number


_decoder = json.JSONDecoder(
    object_pairs_hook=_object_without_duplicates, parse_constant=_refuse_constant, parse_float=_finite
)

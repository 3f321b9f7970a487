"""JSON in and out: strict and bounded for clients, plain and fast for upstreams."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from math import inf, isinf
from typing import Any, NamedTuple, NoReturn

from pydantic_core import PydanticSerializationError, from_json, to_json

from ..errors import InvalidRequest

MAX_DEPTH = 64
MAX_VALUES = 250_000
MAX_DIGITS = 100
"""Of a number in more than 64 KiB of structure. Parsing takes time by the square of them."""

SMALL = 64 << 10
"""Bytes that cannot hold enough to take long."""

_SLOWLY = 1 << 20  # bytes that the slower parser may read
_PIECE = 1 << 20
_TOO_MANY = f"it holds more than {MAX_VALUES} values"
_TOO_DEEP = f"it is nested deeper than {MAX_DEPTH} levels"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile(  # an escaped half of a surrogate pair that has no other half, behind any escape that looks like one
    rb"(\\[^u]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_NEITHER = bytes(set(range(256)) - set(b'"[{,0123456789'))  # what neither begins a value nor separates two
_LETTERS = bytes(set(range(256)) - set(rb'"\[]{},:.0123456789' + b"bfnrtu/eE"))  # and what nothing is made of
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * (MAX_DIGITS + 1)


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

    More than 64 KiB may hold no more than a request. NaN and Infinity are errors. A number beyond a double becomes
    infinite. Half a surrogate pair stays half a pair (RFC 8259, 8.2): a stream may send the other half in its next
    event, and the client puts them together.
    """
    if len(data) > SMALL and (reason := scan(data).excess or _depth_excess(data)):
        raise ValueError(reason)
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError:
        if len(data) > _SLOWLY:
            raise
        whole, halves = _HALF.subn(lambda escape: escape[1] or rb"\ufffd", data)
        if not halves or whole == data:
            raise
        from_json(whole, allow_inf_nan=False)  # all else must be as strict as above
        return json.loads(data)


class Scan(NamedTuple):
    """What a JSON text holds, told before it is parsed.

    Attributes:
        values: An upper bound of its values, objects and arrays included.
        quotes: How many quotes there are. Escaped ones may be among them.
        excess: Why the text must not be parsed; None if it may.
    """

    values: int
    quotes: int
    excess: str | None = None


def scan(data: bytes, *, doubt: int = MAX_VALUES) -> Scan:
    """Find out how much a text holds, in a fraction of the time that it takes to parse it.

    Args:
        doubt: Count the values again, without what only looks like one inside of strings, if there are more than this.
    """
    if data.find(rb"\"", 0, SMALL) < 0:  # else `parse_request` has to know how many quotes are escaped
        sieved = data.translate(_AS_ZERO, delete=_NEITHER)
        quotes, values = sieved.count(b'"'), sieved.count(b",") + _opening(sieved) + 1
        if values <= doubt and quotes < 4 * MAX_VALUES and _LONG_NUMBER not in sieved:
            return Scan(values, quotes)
    parts = _apart(data)
    structure, quotes = b"".join(parts[::2]), len(parts) - 1
    values = _opening(structure) + structure.count(b",") + 1
    if quotes >= 4 * MAX_VALUES or values > MAX_VALUES:
        return Scan(MAX_VALUES + 1, quotes, _TOO_MANY)
    if len(structure) > SMALL and _LONG_NUMBER in structure.translate(_AS_ZERO):
        return Scan(values, quotes, f"a number has more than {MAX_DIGITS} digits")
    return Scan(values, quotes)


def _depth_excess(data: bytes) -> str | None:
    if _opening(data) <= MAX_DEPTH:
        return None  # even with the brackets inside of strings
    brackets = (_without_strings(data) or b"").translate(_AS_SQUARE, delete=_NOT_BRACKETS)
    if 2 * brackets.count(b"]") != len(brackets):
        return None  # not JSON: the parser gives the better message
    for _ in range(MAX_DEPTH):
        # Each pass removes the innermost level everywhere.
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return None
    return _TOO_DEEP


def parse_request(body: bytes, scanned: Scan | None = None) -> dict[str, Any]:
    """Parse one JSON object from a client.

    Args:
        scanned: What `scan` found in it, if that is known.

    Raises:
        InvalidRequest: The body is not an object or not UTF-8, is deeper than `MAX_DEPTH`, holds more than
            `MAX_VALUES` values, NaN, Infinity, a number beyond a double, a key twice or half a surrogate pair; or it is
            large and holds a number of more than `MAX_DIGITS` digits.
    """
    if scanned is None and len(body) > SMALL:
        scanned = scan(body)
    if scanned is not None and scanned.excess is not None:
        raise _invalid(scanned.excess)
    try:
        # 125,000 names that differ push each other out of the parser's cache, which takes longer than all the rest.
        value = from_json(body, allow_inf_nan=False, cache_strings="all" if len(body) <= SMALL else "none")
    except ValueError as error:
        value = _parse_slowly(body, str(error))
    else:
        strings, depth = _count(value)
        if depth > MAX_DEPTH:
            raise _invalid(_TOO_DEEP)
        # The fast parser keeps the last of two equal keys, and makes a number beyond a double infinite.
        quotes = body.count(b'"') if scanned is None else scanned.quotes
        if quotes != 2 * strings and len(_apart(body)) - 1 != 2 * strings:
            value = _parse_slowly(body, "a key is given twice, or a number is too large")
    if not isinstance(value, dict):
        raise _invalid("the top level must be an object")
    return value


def count_values(text: bytes) -> int:
    """How many values there are in a JSON text, or a few more; `MAX_VALUES` if there are more than these."""
    structure = _without_strings(text)
    return MAX_VALUES if structure is None else structure.count(b",") + 2 * _opening(structure) + 1


def _count(value: object) -> tuple[float, int]:
    """The number of strings, names of members included, and of levels. The first is infinite if a number is."""
    strings: float = 0
    depth = -1
    level: list[Iterable[Any]] = [[value]]
    while level:
        below: list[Iterable[Any]] = []
        for node in level:
            for member in node:
                # The parser makes exactly these types, and comparing a type takes a third of the time of isinstance.
                kind = type(member)
                if kind is str:
                    strings += 1
                elif kind is dict:
                    strings += len(member)
                    below.append(member.values())
                elif kind is list:
                    below.append(member)
                elif kind is float and isinf(member):
                    strings = inf
        level = below
        depth += 1
    return strings, depth


def _parse_slowly(body: bytes, reason: str) -> Any:
    """Parse with a slower parser that says what is wrong.

    Args:
        reason: What to say about a body that would take it too long.
    """
    if excess := _depth_excess(body):
        raise _invalid(excess)
    if len(body) > _SLOWLY:
        raise _invalid(reason)
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
        raise _invalid(_TOO_DEEP) from None
    except _Refused as error:
        raise _invalid(str(error)) from None
    except ValueError:
        raise _invalid("a number has too many digits") from None  # CPython converts 4300 at most
    return value


class _Refused(ValueError):
    """Python accepts this JSON, and we do not."""


def _invalid(reason: str) -> InvalidRequest:
    return InvalidRequest(f"We could not parse the JSON body of your request: {reason}.")


def _opening(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _without_strings(data: bytes) -> bytes | None:
    """The text without its strings; None if it holds more of them than `MAX_VALUES` values can have."""
    parts = _apart(data)
    return None if len(parts) > 4 * MAX_VALUES else b"".join(parts[::2])


def _apart(data: bytes) -> list[bytes]:
    """What stands between two quotes, by turns outside and inside of a string, for as many as a request may have."""
    if b"\\" in data:
        data = b"".join(_without_escapes(data))
    return data.split(b'"', 4 * MAX_VALUES)  # a member has at most two strings, each with two quotes


def _without_escapes(data: bytes) -> Iterator[bytes]:
    """The text without escaped backslashes and quotes, in pieces: 32 MiB of them would take 0.2 s at once.

    Without most of its letters first: of the rest, to take out the escapes takes a quarter of the time, or a tenth.
    """
    start = 0
    while piece := data[start : start + _PIECE]:
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # it ends inside an escape
            piece = data[start : start + _PIECE + 1]
        start += len(piece)
        yield piece.translate(None, delete=_LETTERS).replace(rb"\\", b"").replace(rb"\"", b"")


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

"""Top-level members of a JSON object, set and taken out in its text: all other bytes stay as they were written."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from typing import Any

from .codec import decode, encode

_PLAIN_STRING_MEMBER = re.compile(rb'\s*:\s*("[^"\\]*")')
_BACKSLASH = ord("\\")
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
_NAME = re.compile(rb'\s*("[^"]*")')
_STRUCTURE = re.compile(rb'[^"{}\[\],]*+(?:"[^"]*+"[^"{}\[\],]*+)*+([{}\[\],])')


def splice(data: bytes, value: Mapping[str, Any], changes: Mapping[str, Any]) -> bytes:
    r"""Set top-level members of the object `value`, whose JSON text is `data`, and return the new text.

    No name stands in the object twice. Edits the text where that is certain to be right: it appends an absent member,
    and replaces a string member that stands before all other objects, or whose quoted name occurs exactly once.
    Otherwise it encodes the whole object again, so that an odd spelling of a name, such as `"mod\u0065l"`, cannot send
    the upstream another value than ours.
    """
    for name, new in changes.items():
        edited = _replaced(data, name, new) if name in value else _appended(data, name, new)
        if edited is None:
            return encode({**value, **changes})
        data = edited
    return data


def _appended(data: bytes, name: str, new: object) -> bytes:
    head = data.rstrip()[:-1].rstrip()
    comma = b"" if head.endswith(b"{") else b","
    return head + comma + encode(name) + b":" + encode(new) + b"}"


def _replaced(data: bytes, name: str, new: object) -> bytes | None:
    key = encode(name)
    start = data.find(key)
    if not (_is_outermost(data, start) or _is_unique(data, key)):
        return None
    member = _PLAIN_STRING_MEMBER.match(data, start + len(key))
    return None if member is None else b"".join((data[: member.start(1)], encode(new), data[member.end(1) :]))


def _is_outermost(data: bytes, start: int) -> bool:
    """Whether no other object can have begun before. Of a text that starts with the name, this reads no more."""
    return start > 0 and data.count(b"{", 0, start) == 1 and data[start - 1] != _BACKSLASH


def _is_unique(data: bytes, key: bytes) -> bool:
    # If the name occurs twice, one place may be nested. If a letter is escaped, the only place may be the nested one.
    return data.count(key) == 1 and not (rb"\u00" in data and _ESCAPED_LETTER.search(data))


def without(data: bytes, names: Container[str]) -> bytes:
    """Take members out of the object whose JSON text is `data`. `data` must be valid JSON."""
    # As long as before, so that positions stay; then a quote is the beginning or the end of a string.
    plain = data.replace(rb"\\", b"__").replace(rb"\"", b"__")
    spans = list(_spans(plain))
    kept = [data[start:end] for start, end in spans if _name(data, plain, start) not in names]
    return data[: spans[0][0]] + b",".join(kept) + data[spans[-1][1] :]


def _spans(plain: bytes) -> Iterator[tuple[int, int]]:
    """Where each member begins and ends, without the commas around it."""
    depth = start = 0
    for found in _STRUCTURE.finditer(plain):
        match found[1]:
            case b"{" | b"[":
                depth += 1
                start = found.end() if depth == 1 else start
            case b"," if depth == 1:
                yield start, found.end() - 1
                start = found.end()
            case b"}" | b"]":
                depth -= 1
                if not depth:
                    yield start, found.end() - 1


def _name(data: bytes, plain: bytes, start: int) -> str | None:
    found = _NAME.match(plain, start)
    return None if found is None else decode(data[found.start(1) : found.end(1)])

"""Parsers of arguments and of the lines of an import."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ...keys import KeyFields, KeySpec
from ...keys.issuer import MIN_BITS
from ...keys.secret import bits, importable

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = 100 * 365 * 86_400  # seconds
_TEXTS = {"name", "owner"}
_LISTS = {"groups", "models", "scopes", "limits"}

CLEARED: Final = {
    "name": "name",
    "owner": "owner",
    "group": "groups",
    "model": "models",
    "scope": "scopes",
    "limit": "limits",
    "not-before": "not_before",
    "expires": "expires_at",
}
"""The fields of a key by the options that set them, and that `--clear` takes."""


def duration(text: str) -> float:
    """Seconds, from `45s`, `30m`, `24h`, `90d` or `0`."""
    match = re.fullmatch(r"(\d{1,9})([smhd])", "0s" if text == "0" else text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else _LONGEST + 1
    if seconds > _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration. Write 30m, 24h or 90d, up to 100 years.")
    return float(seconds)


def moment(text: str) -> datetime:
    """A time from now, such as `90d`, or an ISO 8601 date or time, in UTC unless it names a zone."""
    if re.fullmatch(r"\d+[smhd]?", text):
        return datetime.now(UTC) + timedelta(seconds=duration(text))
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time. Write 90d, 2027-01-31 or 2027-01-31T18:00Z."
        ) from None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def count(text: str) -> int:
    """A number from 1."""
    if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1.")
    return int(text)


def fields_of(options: argparse.Namespace) -> KeyFields:
    """The fields of a key that the options name."""
    named = {field: getattr(options, option.replace("-", "_")) for option, field in CLEARED.items()}
    fields: Any = {
        field: tuple(value) if isinstance(value, list) else value for field, value in named.items() if value is not None
    }
    if "scopes" in fields:
        fields["scopes"] = frozenset(fields["scopes"])
    given: KeyFields = fields
    return given


def imported(number: int, line: str, spec: KeySpec, *, currency: str | None) -> tuple[str, KeySpec]:
    """The secret in a line of an import, and the key's spec with the fields of the line.

    Raises:
        ValueError: The line is neither a secret nor such an object. The message never shows the line.
    """
    try:
        secret, fields = _parts(line)
        if not importable(secret) or bits(secret) < MIN_BITS:
            raise ValueError(f"its secret has less than {MIN_BITS} bits, or is not printable ASCII without spaces.")
        spec = replace(spec, **fields)
        spec.check_currency(currency)
        return secret, spec
    except ValueError as exc:
        raise ValueError(f"Line {number}: {exc} Nothing was imported.") from None


def _parts(line: str) -> tuple[str, dict[str, Any]]:
    if not line.startswith("{"):
        return line, {}
    try:
        document = json.loads(line)
    except ValueError:
        raise ValueError("it is no JSON object.") from None
    secret = document.pop("secret", None)
    if not isinstance(secret, str):
        raise ValueError('it has no text "secret".')
    if unknown := sorted(document.keys() - _TEXTS - _LISTS):
        raise ValueError(f"{unknown[0]!r} is unknown. Known: {', '.join(sorted(_TEXTS | _LISTS))}.")
    fields: dict[str, Any] = {}
    for name, value in document.items():
        items = value if name in _LISTS else [value]
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError(f"{name!r} is not {'a list of texts' if name in _LISTS else 'a text'}.")
        fields[name] = frozenset(items) if name == "scopes" else tuple(items) if name in _LISTS else value
    return secret, fields

"""Keys in a file of CSV: one spec a row, and every mistake with its line."""

from __future__ import annotations

import csv
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Final

from ...keys import KeyFields, KeySpec
from ...keys.base import utc_now
from .arguments import moment

MAX_ROWS: Final = 10_000
MAX_BYTES: Final = 8 << 20
MAX_TOLD: Final = 20  # mistakes

_TEXTS = ("name", "owner")
_LISTS = ("groups", "models", "scopes", "limits")
_TIMES = ("not_before", "expires_at")
COLUMNS: Final = (*_TEXTS, *_LISTS, *_TIMES)


def read_specs(file: str, defaults: KeyFields, *, currency: str | None) -> list[KeySpec]:
    """The specs of a file, `-` for standard input. What a row leaves empty comes from the defaults.

    Raises ValueError, which tells each mistake with its line.
    """
    text = _text(file)
    header = text.partition("\n")[0]
    # Spreadsheets write semicolons where the comma stands in numbers.
    rows = csv.DictReader(StringIO(text), delimiter=";" if ";" in header and "," not in header else ",", strict=True)
    specs: list[KeySpec] = []
    mistakes: list[str] = []
    try:
        _check_header(rows.fieldnames or ())
        for number, row in _numbered(rows):
            try:
                specs.append(_spec(row, defaults))
                specs[-1].check_currency(currency)
            except (ValueError, ArgumentTypeError) as error:
                mistakes.append(f"line {number}: {error}")
    except (csv.Error, ValueError) as error:
        mistakes.append(f"line {max(rows.reader.line_num, 1)}: {error}")
    if not (specs or mistakes):
        mistakes.append("it holds no row below the header.")
    if mistakes:
        more = [f"and {len(mistakes) - MAX_TOLD} more."] if len(mistakes) > MAX_TOLD else []
        lines = "\n".join(f"  {mistake}" for mistake in (*mistakes[:MAX_TOLD], *more))
        raise ValueError(f"{file} cannot be used, and no key was made:\n{lines}")
    return specs


def _text(file: str) -> str:
    too_much = ValueError(f"{file} has more than {MAX_BYTES >> 20} MiB. Take several files.")
    try:
        if file != "-" and Path(file).stat().st_size > MAX_BYTES:
            raise too_much
        # Spreadsheets begin a file with a mark.
        text = sys.stdin.read(MAX_BYTES + 1) if file == "-" else Path(file).read_text("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not a text in UTF-8. Save it as CSV in UTF-8.") from None
    if len(text) > MAX_BYTES:
        raise too_much
    return text


def _check_header(names: Sequence[str]) -> None:
    known = f"The first line names columns: {', '.join(COLUMNS)}."
    for name in names:
        if name not in COLUMNS:
            raise ValueError(f"column {name[:40]!r} is unknown. {known}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"a column is missing, or there twice. {known}")


def _numbered(rows: csv.DictReader[str]) -> Iterator[tuple[int, dict[str | Any, Any]]]:
    for count, row in enumerate(rows, start=1):
        if count > MAX_ROWS:
            raise ValueError(f"more than {MAX_ROWS} keys. Take several files.")
        yield rows.line_num, row


def _spec(row: dict[str | Any, Any], defaults: KeyFields) -> KeySpec:
    if None in row or None in row.values():
        raise ValueError("it has not as many cells as the header.")
    fields: dict[str, Any] = {}
    for name, cell in row.items():
        if not (cell := cell.strip()):
            continue
        if name in _LISTS:
            items = tuple(item.strip() for item in cell.split(";") if item.strip())
            fields[str(name)] = frozenset(items) if name == "scopes" else items
        else:
            fields[str(name)] = moment(cell) if name in _TIMES else cell
    spec = KeySpec(**{**defaults, **fields})
    spec.check_end(utc_now())
    return spec

"""What was asked, and how it answered; as tables of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartStatus:
    """Whether a part that the settings need is there.

    Attributes:
        part: What was asked: a provider, or a table of the settings.
        answer: In words. Without control characters, which a terminal would obey.
        models: What a provider lists.
    """

    part: str
    ok: bool
    answer: str
    models: Sequence[str] = ()


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """The rows as lines. All have as many cells; each column is as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def describe_statuses(statuses: Iterable[PartStatus], *, colours: bool = False) -> str:
    """The statuses as a table. Colours are those of ANSI terminals."""
    # All cells of the column have as many invisible characters, so that they do not shift the next column.
    good, bad = ("\x1b[32mok    \x1b[0m", "\x1b[31mfailed\x1b[0m") if colours else ("ok", "failed")
    rows = [("asked", "\x1b[39mstatus\x1b[0m" if colours else "status", "answer")]
    rows += [(each.part, good if each.ok else bad, each.answer) for each in statuses]
    return in_columns(rows)


def printable(text: str) -> str:
    """Text of others without control characters."""
    return "".join(char if char.isprintable() else "?" for char in text)
